"""Outages, and the reports of runs that failed, in the state file.

Rules of this file:
- Bounded by their form: of every check there is a fixed number of places, and what comes takes the place of the oldest.
  So an outage of ten thousand checks fills no disk, whenever old rows are dropped. Kept are the last
  `KEPT_OUTAGES` outages, the first report of the last `KEPT_FIRST`, and the last `KEPT_LAST` reports.
- Memory holds only the latest outage of each check; everything else is read when it is shown.
"""

import json
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass
from functools import cache, partial

import structlog

from smtpcheck.model.report import Outcome, Report
from smtpcheck.state.check_state import CheckState
from smtpcheck.state.database import Database, Make, Write
from smtpcheck.state.outage import Outage, transition
from smtpcheck.state.serialization import UnreadableReportError, pack, unpack

KEPT_OUTAGES = 100
KEPT_FIRST = 15
KEPT_LAST = 10

_OUTAGE = Write(
    "INSERT OR REPLACE INTO outages (name, place, number, began, ended, cause) VALUES (?, ?, ?, ?, ?, ?)", every=2.0
)
_FAILED = Write(
    "INSERT INTO failed (name, place, outage, at, cause, report) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name, place)"
    " DO UPDATE SET outage = excluded.outage, at = excluded.at, cause = excluded.cause, report = excluded.report",
    every=2.0,
)
_LATEST = (  # of several columns beside max() SQLite takes the values of the row that has it (lang_select.html)
    "SELECT name, max(number), began, ended, cause FROM outages"
    " WHERE name IN (SELECT value FROM json_each(?)) GROUP BY name"
)
_OUTAGES = "SELECT number, began, ended, cause FROM outages WHERE name = ? ORDER BY number DESC"
_FAILURES = "SELECT DISTINCT at, outage, cause FROM failed WHERE name = ? ORDER BY at DESC"
_REPORT = "SELECT report FROM failed WHERE name = ? AND CAST(at AS INTEGER) = ? ORDER BY at LIMIT 1"
_OLD_OUTAGES = Write("DELETE FROM outages WHERE ended < ?", every=60.0)
_OLD_FAILED = Write("DELETE FROM failed WHERE at < ?", every=60.0)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that failed, of which the report is kept."""

    at: float
    """When it began (Unix seconds)."""
    outage: int
    """The number of its outage."""
    cause: str


class Archive:
    """The past of all checks."""

    def __init__(self, file: Database | None) -> None:
        """Keep it in this file; None: nowhere."""
        self._file = file
        self._latest: dict[str, Outage] = {}

    async def fetch(self, names: Iterable[str]) -> None:
        """Take into memory the latest outage of these checks."""
        rows = await self._file.read(_LATEST, (json.dumps(sorted(names)),)) if self._file else []
        self._latest |= {name: Outage(*values) for name, *values in rows if name not in self._latest}

    def only(self, names: Collection[str]) -> None:
        """Drop from memory every check that is not among `names`."""
        for name in [name for name in self._latest if name not in names]:
            del self._latest[name]

    def record(self, before: CheckState | None, after: CheckState) -> None:
        """Record a run, by the state of its check before and after it."""
        name, latest = after.report.check, self._latest.get(after.report.check)
        outage = transition(latest, before, after)
        if outage is not None:
            self._latest[name] = outage
        if self._file is None or (outage is None and after.report.outcome is not Outcome.CRITICAL):
            return
        rows: list[tuple[Write, Hashable, Make]] = [_outage_row(name, outage)] if outage else []
        if after.report.outcome is Outcome.CRITICAL:
            number = self._latest[name].number
            packed = cache(partial(pack, after.report))
            places = [after.failures % KEPT_LAST]
            if outage is not None:
                places.append(KEPT_LAST + number % KEPT_FIRST)
            rows += [_failed_row(name, place, number, after.report, packed) for place in places]
        self._file.put(*rows)

    def put_all(self) -> None:
        """Have what is in memory written into a new file."""
        if self._file is not None:
            self._file.put(*(_outage_row(name, outage) for name, outage in self._latest.items()))

    async def outages(self, name: str) -> tuple[Outage, ...]:
        """Return the outages of a check, newest first."""
        rows = await self._file.read(_OUTAGES, (name,), settled=False) if self._file else []
        latest = self._latest.get(name)
        before = tuple(Outage(*values) for values in rows if latest is None or values[0] != latest.number)
        return before if latest is None else (latest, *before)

    async def failures(self, name: str) -> tuple[Failure, ...]:
        """Return the runs of a check that failed and of which the report is kept, newest first, within seconds."""
        rows = await self._file.read(_FAILURES, (name,), settled=False) if self._file else []
        return tuple(Failure(*values) for values in rows)

    async def report(self, name: str, second: int) -> Report | None:
        """Return the kept report of a check's run that failed and began in this second (Unix time), None without it."""
        rows = await self._file.read(_REPORT, (name, second), settled=False) if self._file else []
        try:
            return unpack(rows[0][0]) if rows else None
        except UnreadableReportError as error:
            _log.warning("a stored report cannot be read", check=name, error=str(error))
            return None

    def forget_old(self, before: float) -> None:
        """Have the file drop what ended before that Unix time."""
        if self._file is not None:
            self._file.put((_OLD_OUTAGES, "", lambda: (before,)), (_OLD_FAILED, "", lambda: (before,)))


def _outage_row(name: str, outage: Outage) -> tuple[Write, Hashable, Make]:
    place = outage.number % KEPT_OUTAGES
    values = (name, place, outage.number, outage.began, outage.ended, outage.cause)
    return _OUTAGE, (name, place), lambda: values


def _failed_row(
    name: str, place: int, number: int, report: Report, packed: Callable[[], bytes]
) -> tuple[Write, Hashable, Make]:
    cause = report.cause or "unknown"
    return _FAILED, (name, place), lambda: (name, place, number, report.started_at, cause, packed())
