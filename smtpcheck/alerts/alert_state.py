"""Which checks are part of which alerts now.

Rules of this file:
- Pure: one run after the other goes in, and what that changes comes out.
- A healthy check costs nothing: it has no streak.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from smtpcheck.alerts.grouping import AGENT, FAILURE, Issue, Key, Severity, concerns, issues_of
from smtpcheck.alerts.thresholds import Streak, Thresholds, after_issue, after_success
from smtpcheck.model.check import Check
from smtpcheck.model.report import Outcome, Report

Streaks = Mapping[str, Streak]
"""The streaks of one check, by name."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a run changed."""

    streaks: Streaks | None
    """Those of the check after it; None if they are as before."""
    left: tuple[Key, ...] = ()
    joined: tuple[Key, ...] = ()
    current: tuple[Issue, ...] = ()
    """The issues of the run that belong to alerts which the check is part of."""


class AlertState:
    """The alerts that fire, and the checks that are part of each."""

    def __init__(self) -> None:
        """Begin with every check healthy."""
        self._streaks: dict[str, dict[str, Streak]] = {}
        self._members: dict[Key, dict[str, None]] = {}

    @property
    def streaks(self) -> Mapping[str, Streaks]:
        """Return a live view of the streaks of each check that is not healthy."""
        return MappingProxyType(self._streaks)

    def restore(self, name: str, streaks: Streaks) -> None:
        """Restore the kept streaks of a check."""
        for kind, streak in streaks.items():
            self._put(name, kind, streak)

    def observe(
        self,
        check: Check,
        report: Report,
        thresholds: Thresholds,
        *,
        agent_severity: Severity = Severity.CRITICAL,
        muted: bool = False,
        amends: Report | None = None,
    ) -> Change | None:
        """Count a run, and return what it changed; None for nothing. While `muted` only success counts.

        With `amends` no run has ended: the report replaces that one, and only what differs between them counts.
        """
        if report.outcome is Outcome.OK and check.name not in self._streaks:
            return None
        before = dict(self._streaks.get(check.name, {}))
        seen = {} if muted else issues_of(check, report, agent_severity)
        counted = None if amends is None else issues_of(check, amends, agent_severity)
        for kind in before.keys() - seen.keys():
            if (
                (counted is None or kind in counted)
                and concerns(report, kind)
                and not (muted and _shows_issue(report, kind))
            ):
                self._put(check.name, kind, after_success(before[kind], thresholds))
        for kind, issue in seen.items():
            if counted and kind in before and kind in counted and counted[kind].key == issue.key:
                continue
            self._put(check.name, kind, after_issue(before.get(kind), issue.key, thresholds))
        now = self._streaks.get(check.name, {})
        current = tuple(each for kind, each in seen.items() if now[kind].alert == each.key)
        if now == before:
            return Change(None, current=current) if current else None
        old, new = _alerts(before), _alerts(now)
        return Change(dict(now), tuple(old - new), tuple(new - old), current)

    def drop(self, name: str) -> tuple[Key, ...]:
        """Forget a check, and return the alerts that it was part of."""
        left = tuple(_alerts(self._streaks.get(name, {})))
        for kind in tuple(self._streaks.get(name, {})):
            self._put(name, kind, None)
        return left

    def firing(self) -> Iterator[tuple[Key, str]]:
        """Yield each alert that fires with each check that is part of it."""
        for name, streaks in self._streaks.items():
            for key in _alerts(streaks):
                yield key, name

    def checks_of(self, key: Key) -> Collection[str]:
        """Return the checks that are part of an alert, or on their way into it."""
        return self._members.get(key, {}).keys()

    def of_check(self, name: str) -> frozenset[Key]:
        """Return the alerts that a check is part of."""
        return frozenset(_alerts(self._streaks.get(name, {})))

    def _put(self, name: str, kind: str, streak: Streak | None) -> None:
        streaks = self._streaks.setdefault(name, {})
        before = streaks.pop(kind, None)
        for key in before.keys if before else ():
            shown = self._members[key]
            shown.pop(name, None)
            if not shown:
                del self._members[key]
        if streak is not None:
            streaks[kind] = streak
            for key in streak.keys:
                self._members.setdefault(key, {})[name] = None
        if not streaks:
            del self._streaks[name]


def _shows_issue(report: Report, kind: str) -> bool:
    """Return whether a run shows the issue that the streak of that name counts."""
    if kind == FAILURE:
        return report.outcome is Outcome.CRITICAL
    if kind == AGENT:
        return report.outcome is Outcome.UNKNOWN
    return any(finding.cause == kind for finding in report.warnings)


def _alerts(streaks: Streaks) -> set[Key]:
    return {streak.alert for streak in streaks.values() if streak.alert is not None}
