"""The past of checks, read from a state file that an agent may have open: what reports are made of.

Rules of this file:
- An agent has its file for itself, so a snapshot is read. What the file does not have yet, a minute at most, is not in
  the report.
- Whole tables are read at once: a report of ten thousand checks is no ten thousand queries.
- It blocks: callers in an event loop use a thread.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from smtpcheck.alerts.silence import Silence
from smtpcheck.state.history import Day, day, day_of, is_day
from smtpcheck.state.outage import Outage
from smtpcheck.state.serialization import UnreadableReportError, unpack_as
from smtpcheck.state.snapshot import snapshot
from smtpcheck.state.state import FILE_NAME


class PastUnreadableError(Exception):
    """The file cannot be read; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class PastOfCheck:
    """What is kept of one check."""

    days: tuple[Day, ...]
    outages: tuple[Outage, ...]
    """Oldest first."""


@dataclass(frozen=True, slots=True)
class Past:
    """What is kept of some checks."""

    checks: Mapping[str, PastOfCheck]
    silences: tuple[Silence, ...]
    """Those that people made, also those that have ended."""


def read_past(folder: Path, names: Collection[str], *, last_days: int, now: float) -> Past:
    """Return what the state folder has of these checks over the last days; the day of `now` (Unix seconds) is the last.

    Raises PastUnreadableError.
    """
    path = (folder / FILE_NAME).absolute()
    if not path.exists():
        raise PastUnreadableError(f"there is no state file {path}: has an agent run with this configuration?")
    try:
        with snapshot(path) as copy, closing(sqlite3.connect(copy)) as connection:
            days = _days(connection, set(names), day_of(now) - last_days)
            outages = _outages(connection, set(names))
            silences = _silences(connection)
    except (sqlite3.Error, OSError) as error:
        raise PastUnreadableError(f"the state file {path} cannot be read: {error}") from error
    checks = {name: PastOfCheck(tuple(days.get(name, ())), tuple(outages.get(name, ()))) for name in names}
    return Past(checks, silences)


def _days(connection: sqlite3.Connection, names: Collection[str], first: int) -> Mapping[str, list[Day]]:
    found: defaultdict[str, list[Day]] = defaultdict(list)
    query = "SELECT day, name, hours FROM days WHERE day >= ? ORDER BY day"
    for number, name, hours in connection.execute(query, (first,)):
        if name in names and is_day(hours):
            found[name].append(day(number, hours))
    return found


def _outages(connection: sqlite3.Connection, names: Collection[str]) -> Mapping[str, list[Outage]]:
    found: defaultdict[str, list[Outage]] = defaultdict(list)
    query = "SELECT name, number, began, ended, cause FROM outages ORDER BY name, number"
    for name, *values in connection.execute(query):
        if name in names:
            found[name].append(Outage(*values))
    return found


def _silences(connection: sqlite3.Connection) -> tuple[Silence, ...]:
    found = []
    for (packed,) in connection.execute("SELECT silence FROM silences ORDER BY ends_at"):
        try:
            found.append(unpack_as(packed, Silence))
        except UnreadableReportError:
            continue
    return tuple(found)
