"""Which checks are part of which alerts now.

Rules of this file:
- Pure: one run after the other goes in, and what that changes comes out.
- A check that is well costs nothing: it has no watch.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from smtpcheck.alerts.grouping import AGENT, FAILURE, Key, Trouble, says, troubles
from smtpcheck.alerts.thresholds import Thresholds, Watch, after_success, after_trouble
from smtpcheck.model.check import Check
from smtpcheck.model.report import Outcome, Report

Watches = Mapping[str, Watch]
"""The watches of one check, by name."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a run changed."""

    watches: Watches | None
    """Those of the check after it; None where they are as they were."""
    left: tuple[Key, ...] = ()
    joined: tuple[Key, ...] = ()
    showing: tuple[Trouble, ...] = ()
    """The troubles of the run that belong to alerts which the check is part of."""


class Board:
    """The alerts that fire, and the checks that are part of each."""

    def __init__(self) -> None:
        """Begin with all checks well."""
        self._watches: dict[str, dict[str, Watch]] = {}
        self._shown: dict[Key, dict[str, None]] = {}

    @property
    def watches(self) -> Mapping[str, Watches]:
        """Return a live view of the watches of each check that is not well."""
        return MappingProxyType(self._watches)

    def restore(self, name: str, watches: Watches) -> None:
        """Take a check's watches as they were kept."""
        for slot, watch in watches.items():
            self._put(name, slot, watch)

    def observe(self, check: Check, report: Report, thresholds: Thresholds, *, muted: bool = False) -> Change | None:
        """Take a run, and return what it changed; None for nothing. While `muted` only success counts."""
        if report.outcome is Outcome.OK and check.name not in self._watches:
            return None
        before = dict(self._watches.get(check.name, {}))
        seen = {} if muted else troubles(check, report)
        for slot in before.keys() - seen.keys():
            if says(report, slot) and not (muted and _shows_trouble(report, slot)):
                self._put(check.name, slot, after_success(before[slot], thresholds))
        for slot, trouble in seen.items():
            self._put(check.name, slot, after_trouble(before.get(slot), trouble.key, thresholds))
        now = self._watches.get(check.name, {})
        showing = tuple(each for slot, each in seen.items() if now[slot].alert == each.key)
        if now == before:
            return Change(None, showing=showing) if showing else None
        old, new = _alerts(before), _alerts(now)
        return Change(dict(now), tuple(old - new), tuple(new - old), showing)

    def drop(self, name: str) -> tuple[Key, ...]:
        """Forget a check, and return the alerts that it was part of."""
        left = tuple(_alerts(self._watches.get(name, {})))
        for slot in tuple(self._watches.get(name, {})):
            self._put(name, slot, None)
        return left

    def firing(self) -> Iterator[tuple[Key, str]]:
        """Yield each alert that fires with each check that is part of it."""
        for name, watches in self._watches.items():
            for key in _alerts(watches):
                yield key, name

    def shown_by(self, key: Key) -> Collection[str]:
        """Return the checks that are part of an alert, or on their way into it."""
        return self._shown.get(key, {}).keys()

    def of_check(self, name: str) -> frozenset[Key]:
        """Return the alerts that a check is part of."""
        return frozenset(_alerts(self._watches.get(name, {})))

    def _put(self, name: str, slot: str, watch: Watch | None) -> None:
        watches = self._watches.setdefault(name, {})
        before = watches.pop(slot, None)
        for key in before.keys if before else ():
            shown = self._shown[key]
            shown.pop(name, None)
            if not shown:
                del self._shown[key]
        if watch is not None:
            watches[slot] = watch
            for key in watch.keys:
                self._shown.setdefault(key, {})[name] = None
        if not watches:
            del self._watches[name]


def _shows_trouble(report: Report, slot: str) -> bool:
    """Return whether a run shows the trouble that is watched there."""
    if slot == FAILURE:
        return report.outcome is Outcome.CRITICAL
    if slot == AGENT:
        return report.outcome is Outcome.UNKNOWN
    return any(finding.cause == slot for finding in report.warnings)


def _alerts(watches: Watches) -> set[Key]:
    return {watch.alert for watch in watches.values() if watch.alert is not None}
