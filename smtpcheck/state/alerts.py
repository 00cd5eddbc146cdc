"""Alerts in the state file: the streaks of each check, and what each notifier was sent.

Rules of this file:
- Rows follow what happens within a second; of those for one key only the last is written. An alert is in the file
  before it is sent, for of one that a kill makes unknown the end would never be sent; that it was sent is written
  before the next request. A file that hangs delays an alert for seconds.
- A row of what is over is emptied at once and deleted with the next cleaning.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog

from smtpcheck.alerts.grouping import Key, Severity, Subject
from smtpcheck.alerts.notification_log import Entry
from smtpcheck.alerts.thresholds import Streak
from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Finding
from smtpcheck.state.database import Database, Values, Write
from smtpcheck.state.serialization import UnreadableReportError, pack, unpack_as

WRITTEN_SECONDS = 5.0

_STREAKS = Write("INSERT OR REPLACE INTO alert_watches (name, watches) VALUES (?, ?)", every=0.5)
_ENTRY = Write("INSERT OR REPLACE INTO alert_entries (notifier, alert, entry) VALUES (?, ?, ?)", every=0.5)
_OLD_STREAKS = Write("DELETE FROM alert_watches WHERE watches IS NULL", every=60.0)
_OLD_ENTRIES = Write("DELETE FROM alert_entries WHERE entry IS NULL", every=60.0)
_T = TypeVar("_T")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _KeptStreaks:
    """What a row of `alert_watches` holds; the name is that of the files of 0.1.0."""

    watches: dict[str, Streak]


@dataclass(frozen=True, slots=True)
class _KeptEntry:
    """What a row of `alert_entries` holds; the names are those of the files of 0.1.0."""

    since: float
    findings: tuple[Finding, ...]
    names: tuple[str, ...]
    told_at: float | None = None
    ended_at: float | None = None
    ending: bool = False


class AlertRows:
    """The rows of alerts; without a file nothing is kept."""

    def __init__(self, file: Database | None) -> None:
        self._file = file
        self.rewrite: Callable[[], object] = lambda: None
        """Puts all that is in memory, for a new file."""

    async def streaks(self) -> dict[str, dict[str, Streak]]:
        """Return the streaks of each check that has any."""
        if self._file is None:
            return {}
        rows = await self._file.read("SELECT name, watches FROM alert_watches WHERE watches IS NOT NULL")
        return {name: read.watches for name, packed in rows if (read := _unpacked(packed, _KeptStreaks))}

    async def entries(self) -> dict[str, dict[Key, Entry]]:
        """Return what is known of each alert, by notifier."""
        found: dict[str, dict[Key, Entry]] = {}
        if self._file is None:
            return found
        rows = await self._file.read("SELECT notifier, alert, entry FROM alert_entries WHERE entry IS NOT NULL")
        for notifier, text, packed in rows:
            key, kept = _key(text), _unpacked(packed, _KeptEntry)
            if key is not None and kept is not None:
                found.setdefault(notifier, {})[key] = _entry(kept)
        return found

    def put_streaks(self, name: str, streaks: Mapping[str, Streak]) -> None:
        """Have the streaks of a check written."""
        if self._file is not None:
            self._file.put((_STREAKS, name, partial(_streaks_row, name, dict(streaks))))

    def put_entries(self, notifier: str, entries: Mapping[Key, Entry | None]) -> None:
        """Have written what a notifier was sent; None for what is over."""
        if self._file is not None and entries:
            self._file.put(
                *(
                    (_ENTRY, (notifier, key), partial(_entry_row, notifier, key, entry))
                    for key, entry in entries.items()
                )
            )

    async def written(self) -> None:
        """Wait until what was put is in the file, so that a kill does not undo it; of a file with an error nothing is.

        A file that hangs is waited for `WRITTEN_SECONDS`.
        """
        if self._file is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(WRITTEN_SECONDS):
                    await self._file.read("SELECT 1")

    def put_all(self) -> None:
        """Have everything written, into a new file."""
        self.rewrite()

    def forget_old(self) -> None:
        """Have the rows deleted of what is over."""
        if self._file is not None:
            self._file.put((_OLD_STREAKS, "", tuple), (_OLD_ENTRIES, "", tuple))


def _streaks_row(name: str, streaks: dict[str, Streak]) -> Values:
    return name, pack(_KeptStreaks(streaks)) if streaks else None


def _entry_row(notifier: str, key: Key, entry: Entry | None) -> Values:
    return notifier, _text(key), pack(_kept(entry)) if entry else None


def _entry(kept: _KeptEntry) -> Entry:
    return Entry(kept.since, kept.findings, kept.names, kept.told_at, kept.ended_at, kept.ending)


def _kept(entry: Entry) -> _KeptEntry:
    return _KeptEntry(entry.since, entry.findings, entry.names, entry.notified_at, entry.ended_at, entry.ending)


def _text(key: Key) -> str:
    return "|".join((key.severity, key.subject, key.cause or "", key.name))


def _key(text: str) -> Key | None:
    try:
        severity, subject, cause, name = text.split("|", 3)
        return Key(Subject(subject), name, Severity(severity), Cause(cause) if cause else None)
    except ValueError:
        _log.warning("a stored alert cannot be read", alert=text)
        return None


def _unpacked(packed: bytes, kind: type[_T]) -> _T | None:
    try:
        return unpack_as(packed, kind)
    except UnreadableReportError as error:
        _log.warning("a stored alert cannot be read", error=str(error))
        return None
