"""What one notifier has been told of each alert, and what it has to be told next.

Rules of this file:
- Pure: the time (Unix seconds) is an argument. Nothing is sent here; whoever sends says what was told.
- A notifier sees of an alert only the checks that it is for. It is told first that the alert fires, then that it is
  resolved, and nothing twice; an alert that ended before anything could be told is told once, as resolved.
- An alert that fires again before its end was told goes on: there was nothing to tell in between. Where that was tried,
  it is told anew that it fires.
- What waits is bounded: of too many the oldest are given up, and counted.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from smtpcheck.alerts.grouping import Key, Severity
from smtpcheck.model.check import Check
from smtpcheck.model.report import Finding

MOST_WAITING = 1_000
"""How many alerts wait to be told at most."""
MAX_NAMED = 20
"""How many of its checks an alert names."""
GROWN_SECONDS = 300.0
"""How long after an alert was told it is told again that more checks have joined it."""


class Reason(StrEnum):
    """Why an alert is told."""

    NEW = "new"
    GROWN = "grown"
    """More checks are part of it."""
    REMINDER = "reminder"
    REFRESH = "refresh"
    """The notifier forgets it otherwise."""
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known and told of one alert."""

    since: float
    findings: tuple[Finding, ...]
    names: tuple[str, ...]
    """Checks that are or were part of it, the first `MOST_NAMED`."""
    told_at: float | None = None
    told_checks: int = 0
    """How many checks were part of it when it was told last."""
    ended_at: float | None = None
    """When it ended; None while it fires."""
    ending: bool = False
    """Whether it was tried to tell its end: then nobody knows what the notifier believes."""


@dataclass(frozen=True, slots=True)
class RepeatIntervals:
    """When an alert that was told is told again."""

    remind_every: float | None
    """None: never."""
    refresh_every: float | None = None
    """For a notifier that forgets what it is not told again; None for any other."""


@dataclass(frozen=True, slots=True)
class DueNotification:
    """One alert that has to be told now."""

    key: Key
    entry: Entry
    reason: Reason
    checks: int
    """How many checks are part of it; 0 when it is resolved."""

    @property
    def id(self) -> str:
        """Return what tells this time that the alert fires from every other one."""
        return alert_id(self.key, self.entry.since)


def alert_id(key: Key, since: float) -> str:
    """Return the id of an alert that fires since that time (Unix seconds): 16 hex digits."""
    text = "\0".join((key.subject, key.name, key.severity, key.cause or "", repr(since)))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


class NotificationLog:
    """The alerts of one notifier."""

    def __init__(self, match: Mapping[str, str], intervals: RepeatIntervals) -> None:
        """Take the labels that a check must have (and `severity`, `check`, `credential`), and the pace."""
        self._match = dict(match)
        self._severity = self._match.pop("severity", None)
        self._intervals = intervals
        self._entries: dict[Key, Entry] = {}
        self._checks: dict[Key, int] = defaultdict(int)
        self._tries: dict[Key, int] = defaultdict(int)
        self._changed: set[Key] = set()

    @property
    def entries(self) -> Mapping[Key, Entry]:
        """Return a live view of all that is not over and told."""
        return MappingProxyType(self._entries)

    def is_for(self, check: Check, severity: Severity) -> bool:
        """Return whether the notifier is told of this check's alerts of this severity."""
        if self._severity not in {None, severity}:
            return False
        if not self._match:
            return True
        own = {**dict(check.labels), "check": check.name, "credential": check.credential or ""}
        return all(own.get(name) == value for name, value in self._match.items())

    def restore(self, key: Key, entry: Entry) -> None:
        """Take an entry as it was kept; `settle` follows when all are there."""
        self._entries[key] = entry

    # -- what happens -------------------------------------------------------------------------------------------------

    def joined(self, key: Key, name: str, findings: tuple[Finding, ...], now: float) -> None:
        """Take note that a check has become part of an alert."""
        self._checks[key] += 1
        entry = self._entries.get(key)
        if entry is None:
            self._put(key, Entry(now, findings, (name,)))
        elif entry.ended_at is not None or (name not in entry.names and len(entry.names) < MAX_NAMED):
            names = entry.names if name in entry.names else (*entry.names, name)[:MAX_NAMED]
            told_at = None if entry.ending else entry.told_at
            self._put(key, replace(entry, names=names, told_at=told_at, ended_at=None, ending=False))

    def left(self, key: Key, now: float) -> None:
        """Take note that a check is no longer part of an alert."""
        self._checks[key] -= 1
        if self._checks[key] <= 0:
            del self._checks[key]
            if (entry := self._entries.get(key)) is not None and entry.ended_at is None:
                self._put(key, replace(entry, ended_at=now))

    def update_findings(self, key: Key, findings: tuple[Finding, ...]) -> None:
        """Take note of what a check of the alert shows now: a mailbox may fail for another cause than at first."""
        entry = self._entries.get(key)
        if entry is not None and findings and _causes(entry.findings) != _causes(findings):
            self._put(key, replace(entry, findings=findings))

    def reconcile(
        self, firing: Iterable[tuple[Key, str]], findings_of: Callable[[Key, str], tuple[Finding, ...]], now: float
    ) -> None:
        """Take note of all that fires now, as (alert, check): after a start, or with other settings."""
        self._checks.clear()
        for key, name in firing:
            known = key in self._entries
            self.joined(key, name, () if known else findings_of(key, name), now)
        for key, entry in tuple(self._entries.items()):
            if key not in self._checks and entry.ended_at is None:
                self._put(key, replace(entry, ended_at=now))

    # -- what is told -------------------------------------------------------------------------------------------------

    def due(self, now: float, is_muted: Callable[[Key], bool] = lambda _: False) -> list[DueNotification]:
        """Return what has to be told, what was tried least and waits longest first; no reminder of what is `quiet`."""
        found = []
        for key, entry in self._entries.items():
            reason = self._reason(key, entry, now)
            if reason is None or (reason in {Reason.GROWN, Reason.REMINDER} and is_muted(key)):
                continue
            found.append(DueNotification(key, entry, reason, self._checks.get(key, 0)))
        return sorted(found, key=lambda due: (self._tries.get(due.key, 0), due.entry.since))

    def _reason(self, key: Key, entry: Entry, now: float) -> Reason | None:
        if entry.ended_at is not None:
            return Reason.RESOLVED
        if entry.told_at is None:
            return Reason.NEW
        # A clock that was set back makes nothing wait longer than it is meant to.
        age = abs(now - entry.told_at)
        if self._intervals.refresh_every is not None:
            return Reason.REFRESH if age >= self._intervals.refresh_every else None
        if self._intervals.remind_every is not None and age >= self._intervals.remind_every:
            return Reason.REMINDER
        return Reason.GROWN if self._checks.get(key, 0) > entry.told_checks and age >= GROWN_SECONDS else None

    def mark_started(self, due: DueNotification) -> None:
        """Take note that this is about to be told."""
        entry = self._entries.get(due.key)
        if due.reason is Reason.RESOLVED and entry is not None and entry.ended_at is not None and not entry.ending:
            self._put(due.key, replace(entry, ending=True))

    def mark_sent(self, due: DueNotification, now: float) -> None:
        """Take note that this was told, or given up."""
        self._tries.pop(due.key, None)
        entry = self._entries.get(due.key)
        if entry is None:
            return
        if due.reason is Reason.REFRESH:  # not worth keeping: after a restart it comes at once
            self._entries[due.key] = replace(entry, told_at=now, told_checks=due.checks)
        elif due.reason is not Reason.RESOLVED:
            self._put(due.key, replace(entry, told_at=now, told_checks=due.checks))
        elif entry.ended_at is None:  # it has fired again while its end was being told
            self._put(due.key, Entry(now, entry.findings, entry.names))
        else:
            del self._entries[due.key]
            self._changed.add(due.key)

    def mark_failed(self, due: DueNotification) -> None:
        """Take note that this could not be told: what has not been tried as often goes before it."""
        self._tries[due.key] += 1

    def shed(self, now: float) -> int:
        """Give up the oldest of what waits beyond `MOST_WAITING`, and return how many those were."""
        waiting = [due for due in self.due(now) if due.reason in {Reason.NEW, Reason.RESOLVED}]
        excess = sorted(waiting, key=lambda due: due.entry.since)[: max(len(waiting) - MOST_WAITING, 0)]
        for due in excess:
            self.mark_sent(due, now)
        return len(excess)

    def discard(self, key: Key) -> None:
        """Drop an alert that has ended, as if its end had been told."""
        entry = self._entries.get(key)
        if entry is not None and entry.ended_at is not None:
            del self._entries[key]
            self._changed.add(key)

    def checks(self, key: Key) -> int:
        """Return how many checks are part of an alert."""
        return self._checks.get(key, 0)

    def changes(self) -> dict[Key, Entry | None]:
        """Return every entry that has changed since the last call, None for one that is gone."""
        changed = {key: self._entries.get(key) for key in self._changed}
        self._changed.clear()
        return changed

    def _put(self, key: Key, entry: Entry) -> None:
        self._entries[key] = entry
        self._changed.add(key)


def _causes(findings: tuple[Finding, ...]) -> list[str]:
    return [finding.cause for finding in findings[:1]]
