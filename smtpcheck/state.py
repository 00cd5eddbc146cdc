"""What the agent remembers of every check: the last reports, counts and a short history.

Rules of this file:
- Pure and in memory; time comes with the reports. A `CheckState` is never mutated: `State.record` puts a new one in
  its place, so what a page or a scrape holds stays whole.
- Ten thousand checks fit: the last runs are packed rows, and what reports have in common (replies, certificates) is
  held once.
"""

import struct
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple, TypeVar, cast

from smtpcheck.cause import Cause
from smtpcheck.model import Check, Outcome, Report, Step

HISTORY_LENGTH = 60
"""How many of the last runs the history of a check holds."""

_ROW = struct.Struct("<ddBB")
_OUTCOMES = tuple(Outcome)
_CAUSES = (None, *Cause)
_OUTCOME_INDEX = {outcome: index for index, outcome in enumerate(_OUTCOMES)}
_CAUSE_INDEX = {cause: index for index, cause in enumerate(_CAUSES)}

_POOL_SIZE = 4_096
_T = TypeVar("_T", bound=Hashable)


class Run(NamedTuple):
    """One row of the history."""

    started_at: float
    """Unix seconds."""
    seconds: float
    outcome: Outcome
    cause: Cause | None


@dataclass(frozen=True, slots=True)
class CheckState:
    """What is remembered of one check that has run at least once."""

    report: Report
    """The last run."""
    failure: Report | None
    """The last run that was critical; the same as `report` while it still fails."""
    runs: int
    failures: int
    """How many runs were critical."""
    last_success_at: float | None
    """When the last run that reached its depth began (Unix seconds)."""
    since: float
    """When the first run with the present outcome began (Unix seconds)."""
    packed_history: bytes
    """The last runs as packed rows, oldest first; read them by `history`."""

    def history(self) -> tuple[Run, ...]:
        """Return the last `HISTORY_LENGTH` runs, oldest first."""
        return tuple(
            Run(started_at, seconds, _OUTCOMES[outcome], _CAUSES[cause])
            for started_at, seconds, outcome, cause in _ROW.iter_unpack(self.packed_history)
        )


class State:
    """The states of all checks."""

    def __init__(self) -> None:
        self._checks: dict[str, CheckState] = {}
        self._pool = _Pool()

    @property
    def checks(self) -> Mapping[str, CheckState]:
        """Return a live view of the states by name; a check that has not run yet is absent."""
        return MappingProxyType(self._checks)

    def record(self, check: Check, report: Report) -> CheckState:
        """Remember a run and return the new state of its check."""
        report = self._pool.compact(report)
        before = self._checks.get(check.name)
        failed = report.outcome is Outcome.CRITICAL
        succeeded = report.outcome in (Outcome.OK, Outcome.WARNING)
        unchanged = before is not None and before.report.outcome is report.outcome
        state = CheckState(
            report=report,
            failure=report if failed else before.failure if before else None,
            runs=(before.runs if before else 0) + 1,
            failures=(before.failures if before else 0) + failed,
            last_success_at=report.started_at if succeeded else before.last_success_at if before else None,
            since=before.since if before and unchanged else report.started_at,
            packed_history=_appended(before.packed_history if before else b"", report),
        )
        self._checks[check.name] = state
        return state

    def forget(self, name: str) -> None:
        """Drop one check; an unknown name is fine."""
        self._checks.pop(name, None)

    def keep(self, names: Collection[str]) -> None:
        """Drop every check that is not among `names`."""
        for name in self._checks.keys() - set(names):
            del self._checks[name]


def _appended(rows: bytes, report: Report) -> bytes:
    """Return the packed rows with one more run; the oldest leaves when they are too many."""
    row = _ROW.pack(report.started_at, report.seconds, _OUTCOME_INDEX[report.outcome], _CAUSE_INDEX[report.cause])
    return (rows + row)[-HISTORY_LENGTH * _ROW.size :]


class _Pool:
    """One copy of each value that many reports hold: exchanges, TLS facts, findings' evidence.

    Values that only one report ever holds (a banner with a time in it) collect here as well; so the pool is emptied
    when it is full, which costs some sharing and never correctness.
    """

    def __init__(self) -> None:
        self._values: dict[Hashable, Hashable] = {}

    def compact(self, report: Report) -> Report:
        """Return an equal report that shares its parts with other reports."""
        if len(self._values) > _POOL_SIZE:
            self._values.clear()
        steps = tuple(
            Step(step.phase, step.start, step.seconds, self._shared(step.exchanges), step.fault)
            if step.exchanges
            else step
            for step in report.steps
        )
        return replace(report, steps=steps, tls=self._shared(report.tls), attempts=self._shared(report.attempts))

    def _shared(self, value: _T) -> _T:
        """Return the copy of an equal value that came first."""
        return cast(_T, self._values.setdefault(value, value))
