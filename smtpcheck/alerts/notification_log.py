"""What one notifier has been sent of each alert, and what is due next.

Rules of this file:
- Pure: the time (Unix seconds) is an argument. Nothing is sent here; the dispatcher reports what was sent.
- A notifier sees of an alert only the checks that it matches. First it is sent that the alert fires, then that it is
  resolved, and nothing twice; an alert that ended before anything could be sent is sent once, as resolved.
- An alert that fires again before its end was sent goes on: there was nothing to send in between. If a request with its
  end was begun, it is sent again that the alert fires.
- What cannot be sent waits as long as it is true: an alert that fires until it ends, its end for a day.
- Ages are differences of wall clock times. A clock set forward makes reminders come early; one set back makes nothing
  wait longer than twice its interval, and keeps an end that waits.
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

MAX_NAMED = 20
"""How many of its checks an alert names."""
STALE_SECONDS = 86400.0
"""How long after the end of an alert that end is still sent."""


class Reason(StrEnum):
    """Why an alert is sent."""

    NEW = "new"
    REMINDER = "reminder"
    REFRESH = "refresh"
    """The notifier would forget it otherwise."""
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one alert, and what was sent of it."""

    since: float
    findings: tuple[Finding, ...]
    names: tuple[str, ...]
    """Checks that are or were part of it, the first `MAX_NAMED`."""
    notified_at: float | None = None
    """When it was last sent that it fires."""
    ended_at: float | None = None
    """When it ended; None while it fires."""
    ending: bool = False
    """Whether a request with its end was begun: then it is unknown what the notifier believes."""


@dataclass(frozen=True, slots=True)
class RepeatIntervals:
    """When an alert that was sent is sent again."""

    remind_every: float | None
    """None: never."""
    refresh_every: float | None = None
    """For a notifier that forgets what is not sent again; None for any other."""


@dataclass(frozen=True, slots=True)
class DueNotification:
    """One alert that has to be sent now."""

    key: Key
    entry: Entry
    reason: Reason

    @property
    def id(self) -> str:
        """Return what distinguishes this time that the alert fires from every other one."""
        return alert_id(self.key, self.entry.since)


def alert_id(key: Key, since: float) -> str:
    """Return the id of an alert that fires since that time (Unix seconds): 16 hex digits."""
    text = "\0".join((key.subject, key.name, key.severity, key.cause or "", repr(since)))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


class NotificationLog:
    """The alerts of one notifier."""

    def __init__(self, match: Mapping[str, str], intervals: RepeatIntervals) -> None:
        """Match checks that have these labels (also `severity`, `check`, `credential`)."""
        self._match = dict(match)
        self._severity = self._match.pop("severity", None)
        self._intervals = intervals
        self._entries: dict[Key, Entry] = {}
        self._checks: dict[Key, int] = defaultdict(int)
        self._tries: dict[Key, int] = defaultdict(int)
        self._changed: set[Key] = set()

    @property
    def entries(self) -> Mapping[Key, Entry]:
        """Return a live view of every alert but those whose end was sent."""
        return MappingProxyType(self._entries)

    def is_for(self, check: Check, severity: Severity) -> bool:
        """Return whether the notifier gets this check's alerts of this severity."""
        if self._severity not in {None, severity}:
            return False
        if not self._match:
            return True
        own = {**dict(check.labels), "check": check.name, "credential": check.credential or ""}
        return all(own.get(name) == value for name, value in self._match.items())

    def restore(self, key: Key, entry: Entry) -> None:
        """Restore a kept entry; `reconcile` follows when all are there."""
        self._entries[key] = entry

    # -- what happens -------------------------------------------------------------------------------------------------

    def joined(self, key: Key, name: str, findings: tuple[Finding, ...], now: float) -> None:
        """A check has become part of an alert."""
        self._checks[key] += 1
        entry = self._entries.get(key)
        if entry is None:
            self._put(key, Entry(now, findings, (name,)))
        elif entry.ended_at is not None or (name not in entry.names and len(entry.names) < MAX_NAMED):
            names = entry.names if name in entry.names else (*entry.names, name)[:MAX_NAMED]
            notified_at = None if entry.ending else entry.notified_at
            self._put(key, replace(entry, names=names, notified_at=notified_at, ended_at=None, ending=False))

    def left(self, key: Key, now: float) -> None:
        """A check is no longer part of an alert."""
        self._checks[key] -= 1
        if self._checks[key] <= 0:
            del self._checks[key]
            if (entry := self._entries.get(key)) is not None and entry.ended_at is None:
                self._put(key, replace(entry, ended_at=now))

    def update_findings(self, key: Key, findings: tuple[Finding, ...]) -> None:
        """Update the findings of an alert: a mailbox may fail for another cause than at first."""
        entry = self._entries.get(key)
        if entry is not None and findings and _causes(entry.findings) != _causes(findings):
            self._put(key, replace(entry, findings=findings))

    def reconcile(
        self, firing: Iterable[tuple[Key, str]], findings_of: Callable[[Key, str], tuple[Finding, ...]], now: float
    ) -> None:
        """Update the log to all that fires now, as (alert, check): after a start, or with other settings."""
        self._checks.clear()
        for key, name in firing:
            known = key in self._entries
            self.joined(key, name, () if known else findings_of(key, name), now)
        for key, entry in tuple(self._entries.items()):
            if key not in self._checks and entry.ended_at is None:
                self._put(key, replace(entry, ended_at=now))

    # -- what is sent -------------------------------------------------------------------------------------------------

    def due(
        self, now: float, is_withheld: Callable[[DueNotification], bool] = lambda _: False
    ) -> list[DueNotification]:
        """Return what has to be sent, first what was tried least and is oldest; nothing that is withheld."""
        found = []
        for key, entry in self._entries.items():
            reason = self._reason(entry, now)
            if reason is not None and not is_withheld(due := DueNotification(key, entry, reason)):
                found.append(due)
        return sorted(found, key=lambda due: (self._tries.get(due.key, 0), due.entry.since))

    def _reason(self, entry: Entry, now: float) -> Reason | None:
        if entry.ended_at is not None:
            return Reason.RESOLVED
        if entry.notified_at is None:
            return Reason.NEW
        age = abs(now - entry.notified_at)
        if self._intervals.refresh_every is not None:
            return Reason.REFRESH if age >= self._intervals.refresh_every else None
        if self._intervals.remind_every is not None and age >= self._intervals.remind_every:
            return Reason.REMINDER
        return None

    def mark_started(self, due: DueNotification) -> None:
        """A request with this is about to be sent."""
        entry = self._entries.get(due.key)
        if due.reason is Reason.RESOLVED and entry is not None and entry.ended_at is not None and not entry.ending:
            self._put(due.key, replace(entry, ending=True))

    def mark_sent(self, due: DueNotification, now: float) -> None:
        """This was sent, or dropped."""
        self._tries.pop(due.key, None)
        entry = self._entries.get(due.key)
        if entry is None:
            return
        if due.reason is Reason.REFRESH:  # not worth keeping: after a restart it comes at once
            self._entries[due.key] = replace(entry, notified_at=now)
        elif due.reason is not Reason.RESOLVED:
            self._put(due.key, replace(entry, notified_at=now))
        elif entry.ended_at is None:  # it has fired again while its end was being sent
            self._put(due.key, Entry(now, entry.findings, entry.names))
        else:
            del self._entries[due.key]
            self._changed.add(due.key)

    def mark_failed(self, due: DueNotification) -> None:
        """This could not be sent: what has not been tried as often goes before it."""
        self._tries[due.key] += 1

    def clock_set(self, step: float) -> None:
        """Move what ages by the seconds by which the wall clock was set; `since`, by which an alert is known, stays."""
        for key, entry in tuple(self._entries.items()):
            notified_at = None if entry.notified_at is None else entry.notified_at + step
            ended_at = None if entry.ended_at is None else entry.ended_at + step
            self._put(key, replace(entry, notified_at=notified_at, ended_at=ended_at))

    def drop_stale(self, now: float) -> int:
        """Drop every alert that ended more than `STALE_SECONDS` ago, and return how many those were.

        One whose end was never tried is kept: it seems so old where the clock was set, or nothing was sent meanwhile.
        """
        ended = {key: entry.ended_at for key, entry in self._entries.items() if entry.ended_at is not None}
        stale = [key for key, ended_at in ended.items() if now - ended_at > STALE_SECONDS and self._tries.get(key)]
        for key in stale:
            self.discard(key)
        return len(stale)

    def discard(self, key: Key) -> None:
        """Drop an alert that has ended, as if its end had been sent."""
        entry = self._entries.get(key)
        if entry is not None and entry.ended_at is not None:
            del self._entries[key]
            self._tries.pop(key, None)
            self._changed.add(key)

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
