"""Silences: dated windows in which nobody is notified of some checks.

Rules of this file:
- Pure: the present time (Unix seconds) is an argument.
- A silenced check still runs and counts, and its alerts still fire; what fires is only not sent. That is the difference
  from maintenance, in which failures do not count.
- A silence is dated by the wall clock, as people write it. Where a clock is set, it begins and ends by the new time.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from fnmatch import fnmatchcase

from smtpcheck.model.check import Check
from smtpcheck.model.report import Outcome

LONGEST_SECONDS = 7 * 86400.0
"""How long a silence that was not written into the configuration may last."""
MONDAY_HOUR = 8
"""When "until Monday" ends."""
DURATIONS = {"1h": "1 hour", "8h": "8 hours", "monday": "until Monday", "repaired": "until repaired"}
"""How long a silence that people make may last, with its words."""
_HOURS = {"1h": 1, "8h": 8}


@dataclass(frozen=True, slots=True)
class Silence:
    """Which checks are silenced, from when to when, and why."""

    id: str
    starts_at: float
    ends_at: float
    checks: tuple[str, ...] = ()
    """Names, in which `*` and `?` stand for anything."""
    credentials: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    comment: str = ""
    author: str = ""
    """Who made it; empty for one that is in the configuration."""
    until_gone: Outcome | None = None
    """It also ends when none of its checks has this outcome any more; None: it does not."""

    @property
    def is_configured(self) -> bool:
        """Return whether it is in the configuration, and so ends only by its time."""
        return not self.author

    def covers(self, check: Check) -> bool:
        """Return whether it is for a check: by its name, by its credential, or by having all of the labels."""
        return (
            any(fnmatchcase(check.name, pattern) for pattern in self.checks)
            or check.credential in self.credentials
            or (bool(self.labels) and set(self.labels) <= set(check.labels))
        )

    def is_active(self, now: float) -> bool:
        """Return whether it is in force."""
        return self.starts_at <= now < self.ends_at


def silence_id(*parts: object) -> str:
    """Return the id of a silence: 12 hex digits of what makes it up."""
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "replace")).hexdigest()[:12]


def end_of(duration: str, now: float, zone: tzinfo) -> float:
    """Return when a silence of `1h`, `8h`, `monday` or `repaired` ends that begins now.

    `monday` is the next Monday morning in a zone; `repaired` ends by itself, and at the latest with the longest time.

    Raises:
        ValueError: It is none of these.
    """
    if duration in _HOURS:
        return now + _HOURS[duration] * 3600.0
    if duration == "repaired":
        return now + LONGEST_SECONDS
    if duration == "monday":
        local = datetime.fromtimestamp(now, zone)
        morning = local.replace(hour=MONDAY_HOUR, minute=0, second=0, microsecond=0)
        monday = morning + timedelta(days=(7 - local.weekday()) % 7)
        return (monday if monday > local else monday + timedelta(days=7)).timestamp()
    raise ValueError(duration)


def outcome_to_outlast(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the outcome that must be gone before checks count as repaired: the worst that they have now.

    Checks of which none has a problem are silenced for what may come: then it is any failure.
    """
    worst = Outcome.worst([outcome for outcome in outcomes if outcome is not Outcome.OK])
    return Outcome.WARNING if worst is Outcome.WARNING else Outcome.CRITICAL
