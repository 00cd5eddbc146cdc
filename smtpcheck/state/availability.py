"""How much of the time a check was healthy, and how long its runs took: figures for hours, days and longer.

Rules of this file:
- Pure: the present time is an argument.
- Every hour weighs the same, and within an hour every run: a check that is run less often while it is refused does not
  look better for it. An hour without a run in the midst of an outage, up to a day long, counts as failed, for then the
  check waits; so does none of a check that is run less often than once an hour.
- A run whose outcome is unknown counts neither for nor against, and an hour without any other run is no part of the
  figure.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from smtpcheck.state.history import DAY_SECONDS, Day, Hour, day_of
from smtpcheck.state.outage import Outage

HOUR_SECONDS = 3600
_LONGEST_WAIT_HOURS = 24
_NOTHING = Hour(0, 0, 0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Span:
    """What is known of a stretch of time."""

    begin: float
    """Unix seconds."""
    hours: int
    """How long it is."""
    runs: int = 0
    failures: int = 0
    """How many of the runs were critical."""
    unknown: int = 0
    """How many of the runs say nothing of the server."""
    seconds: float = 0.0
    """What the runs took, in sum."""
    longest: float = 0.0
    """What the longest run took, in seconds."""
    known_hours: int = 0
    """In how many of the hours something is known of the server."""
    healthy_hours: float = 0.0
    """How many of these hours it was healthy, parts of an hour too."""

    @property
    def availability(self) -> float | None:
        """Return the share of time in which the check was healthy, from 0 to 1; None where nothing is known."""
        return min(self.healthy_hours / self.known_hours, 1.0) if self.known_hours else None

    @property
    def mean(self) -> float | None:
        """Return the mean time of a run in seconds, None without any."""
        return self.seconds / self.runs if self.runs else None


def by_hour(
    days: Iterable[Day], outages: Iterable[Outage], *, interval: float, now: float, last_days: int
) -> tuple[Span, ...]:
    """Return every hour of the last days (the day of `now` is the last), oldest first, up to the hour of `now`."""
    known = {each.day: each.hours for each in days}
    today = day_of(now)
    hours = [
        (float(number * DAY_SECONDS + place * HOUR_SECONDS), hour)
        for number in range(today - last_days + 1, today + 1)
        for place, hour in enumerate(known.get(number, (_NOTHING,) * 24))
        if number * DAY_SECONDS + place * HOUR_SECONDS <= now
    ]
    waits = _waits(hours, tuple(outages), now) if interval <= HOUR_SECONDS else frozenset()
    return tuple(_span(begin, hour, waited=begin in waits) for begin, hour in hours)


def grouped(spans: Sequence[Span], size: int) -> tuple[Span, ...]:
    """Return the spans in groups of `size`, each as one; the last group may be smaller."""
    return tuple(total(spans[place : place + size]) for place in range(0, len(spans), size))


def total(spans: Sequence[Span]) -> Span:
    """Return one span for all of at least one."""
    return Span(
        begin=spans[0].begin,
        hours=sum([span.hours for span in spans]),
        runs=sum([span.runs for span in spans]),
        failures=sum([span.failures for span in spans]),
        unknown=sum([span.unknown for span in spans]),
        seconds=sum([span.seconds for span in spans]),
        longest=max([span.longest for span in spans]),
        known_hours=sum([span.known_hours for span in spans]),
        healthy_hours=sum([span.healthy_hours for span in spans]),
    )


def _span(begin: float, hour: Hour, *, waited: bool) -> Span:
    known = hour.runs - hour.unknown
    healthy = (known - hour.failures) / known if known else 0.0
    return Span(begin, 1, *hour, known_hours=int(known > 0 or waited), healthy_hours=healthy)


def _waits(hours: Sequence[tuple[float, Hour]], outages: Sequence[Outage], now: float) -> frozenset[float]:
    """Return the begins of the hours without a run in which the check waited, within an outage."""
    return frozenset(
        begin
        for gap in _gaps(hours)
        if len(gap) <= _LONGEST_WAIT_HOURS
        for begin in gap
        if any(each.began <= begin and (now if each.ended is None else each.ended) > begin for each in outages)
    )


def _gaps(hours: Sequence[tuple[float, Hour]]) -> Iterator[list[float]]:
    """Yield every row of hours without a run."""
    gap: list[float] = []
    for begin, hour in hours:
        if hour.runs == 0:
            gap.append(begin)
        elif gap:
            yield gap
            gap = []
    if gap:
        yield gap
