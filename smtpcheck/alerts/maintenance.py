"""Hours in which failures are expected.

Rules of this file:
- Pure: the present time is an argument, and the time zone comes as `tzinfo`.
- A window is of the wall clock in its zone: where a clock is set back within it, it is an hour longer, and where the
  clock is set forward an hour shorter. It may go over midnight and over the end of the week.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DAY_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Window:
    """A part of each week, or of each day."""

    start: int
    """Minutes since the beginning of the week (Monday 00:00), or of the day."""
    end: int
    """The first minute that is no more part of it; less than `start` where it goes over the end."""
    weekly: bool
    zone: tzinfo
    labels: tuple[tuple[str, str], ...] = ()
    """The checks that it is for have all of these; every check if there are none."""

    def covers(self, labels: Mapping[str, str], now: float) -> bool:
        """Return whether a check with these labels is under maintenance at Unix time `now`."""
        return all(labels.get(name) == value for name, value in self.labels) and self._is_open(now)

    def _is_open(self, now: float) -> bool:
        local = datetime.fromtimestamp(now, self.zone)
        minute = (local.weekday() if self.weekly else 0) * DAY_MINUTES + local.hour * 60 + local.minute
        if self.start < self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end
