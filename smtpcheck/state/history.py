"""What is kept of many runs: the last ones as packed rows, and each day as 24 packed hours.

Rules of this file:
- Pure. The packed forms are written to disk and read by later versions: they never change their meaning. So a cause is
  kept as a checksum of its id, which depends neither on the order nor on the length of the list of causes.
- Days and hours are those of UTC.
"""

import struct
from binascii import crc32
from typing import Any, NamedTuple, TypeGuard

from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome, Report

HISTORY_LENGTH = 60
"""How many of the last runs of a check are kept."""
DAY_SECONDS = 86400

_RUN = struct.Struct("<ddBH")
_HOUR = struct.Struct("<HHHff")
_MOST = 0xFFFF
_LATEST = 1e11
"""No Unix time is later."""
_NO_RUNS = bytes(24 * _HOUR.size)


def cause_code(cause: Cause | None) -> int:
    """Return the number that stands for a cause: 0 for none, else the low 16 bits of its id's CRC-32."""
    return crc32(cause.encode()) & 0xFFFF if cause else 0


_OUTCOMES = {outcome.exit_code: outcome for outcome in Outcome}
_CODES = {cause: cause_code(cause) for cause in (None, *Cause)}
_CAUSES = {code: cause for cause, code in _CODES.items()}


class Run(NamedTuple):
    """One of the last runs."""

    started_at: float
    """Unix seconds."""
    seconds: float
    outcome: Outcome
    cause: Cause | None


class Hour(NamedTuple):
    """All runs that began in one hour."""

    runs: int
    failures: int
    """How many of them were critical."""
    unknown: int
    """How many of them say nothing of the server."""
    seconds: float
    """What they took, in sum."""
    longest: float
    """What the longest of them took, in seconds."""


class Day(NamedTuple):
    """One day of a check."""

    day: int
    """Days since 1970-01-01 UTC."""
    hours: tuple[Hour, ...]
    """24 of them."""


def with_run(rows: bytes, report: Report) -> bytes:
    """Return the packed runs with one more; the oldest leaves when they are too many."""
    row = _RUN.pack(report.started_at, report.seconds, report.outcome.exit_code, _CODES[report.cause])
    return (rows + row)[-HISTORY_LENGTH * _RUN.size :]


def runs(rows: bytes) -> tuple[Run, ...]:
    """Return packed runs, oldest first; a cause that this version does not know is `unknown`."""
    return tuple(
        Run(started_at, seconds, _OUTCOMES[outcome], _CAUSES.get(code, Cause.UNKNOWN))
        for started_at, seconds, outcome, code in _RUN.iter_unpack(rows)
    )


def readable(rows: bytes) -> bytes:
    """Return the packed runs without those that a damaged file made nonsense of."""
    whole = rows[: len(rows) - len(rows) % _RUN.size]
    return b"".join(
        _RUN.pack(*values)
        for values in _RUN.iter_unpack(whole)
        if 0 <= values[0] < _LATEST and 0 <= values[1] < DAY_SECONDS and values[2] in _OUTCOMES
    )


def day_of(timestamp: float) -> int:
    """Return the day of a Unix time, in days since 1970-01-01 UTC."""
    return int(timestamp // DAY_SECONDS)


def with_hour(hours: bytes, report: Report) -> bytes:
    """Return the packed hours of the report's day with one more run; `hours` is empty at the day's first."""
    hours = hours or _NO_RUNS
    offset = int(report.started_at % DAY_SECONDS // 3600) * _HOUR.size
    count, failures, unknown, seconds, longest = _HOUR.unpack_from(hours, offset)
    hour = _HOUR.pack(
        min(count + 1, _MOST),
        min(failures + (report.outcome is Outcome.CRITICAL), _MOST),
        min(unknown + (report.outcome is Outcome.UNKNOWN), _MOST),
        seconds + report.seconds,
        max(longest, report.seconds),
    )
    return hours[:offset] + hour + hours[offset + _HOUR.size :]


def is_day(hours: object) -> TypeGuard[bytes]:
    """Return whether this is the packed hours of a day, as far as their form tells."""
    return isinstance(hours, bytes) and len(hours) == len(_NO_RUNS)


def merged_hours(kept: object, hours: bytes) -> bytes:
    """Return the packed hours of a day of which others are kept: of each hour whichever figures are greater.

    A clock that was set back begins a day again, and what was counted of it before stays. What is kept but is no packed
    hours is replaced.
    """
    if not is_day(kept):
        return hours
    return b"".join(map(_merged, _HOUR.iter_unpack(kept), _HOUR.iter_unpack(hours)))


def _merged(kept: tuple[Any, ...], hour: tuple[Any, ...]) -> bytes:
    count, failures, unknown, seconds, longest = map(max, kept, hour)
    failures = min(failures, count)
    return _HOUR.pack(count, failures, min(unknown, count - failures), seconds, longest)


def day(number: int, hours: bytes) -> Day:
    """Return a day from its packed hours."""
    return Day(number, tuple(Hour(*values) for values in _HOUR.iter_unpack(hours)))
