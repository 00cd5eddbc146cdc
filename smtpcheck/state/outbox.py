"""The loopbacks' messages in memory and in the state file: none is sent that is not in the file before.

Rules of this file:
- An intent is one transaction that is on the disk when `intend` returns: the message, the number and the slot that it
  uses, and its place among the mailbox's messages of the day. No kill makes a second message of it.
- What becomes of a message follows within seconds. If it does not come to that, a restart finds the intent, and the
  message is uncertain.
- Where nothing can be written, nothing is sent.
"""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from types import MappingProxyType
from typing import TypeVar

import structlog

from smtpcheck.limits.send_limits import Limits
from smtpcheck.loopback.message_state import Message, Record, Stage, Totals, uncertain
from smtpcheck.model import backoff
from smtpcheck.model.backoff import Breaker
from smtpcheck.model.report import Report
from smtpcheck.state.database import Database, Make, NotKeptError, Values, Write
from smtpcheck.state.send_journal import Sent
from smtpcheck.state.sent_messages import SentMessages
from smtpcheck.state.serialization import UnreadableReportError, pack, unpack_as

SENT = "INSERT INTO sent (at, mailbox, tenant) VALUES (?, ?, ?)"
NOT_SENT = "DELETE FROM sent WHERE rowid = (SELECT rowid FROM sent WHERE at = ? AND mailbox = ? AND tenant = ? LIMIT 1)"
_INTENT = "INSERT INTO messages (name, slot, message) VALUES (?, ?, ?)"
_NO_INTENT = "DELETE FROM messages WHERE name = ? AND slot = ?"
_RECORD_ROW = (
    "INSERT INTO loopbacks (name, sequence, slot, rest) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
    " sequence = excluded.sequence, slot = excluded.slot, rest = excluded.rest"
)
_RECORD = Write(_RECORD_ROW, every=2.0)
_MESSAGE = Write("INSERT OR REPLACE INTO messages (name, slot, message) VALUES (?, ?, ?)", every=2.0)
_DROPPED = Write(_NO_INTENT, every=2.0)
_OLD_RECORDS = Write(
    "DELETE FROM loopbacks WHERE slot < ?",
    every=60.0,
)
_OLD_MESSAGES = Write("DELETE FROM messages WHERE slot < ?", every=60.0)
_KNOWN = "SELECT name, sequence, slot, rest FROM loopbacks WHERE name IN (SELECT value FROM json_each(?))"
_KNOWN_MESSAGES = "SELECT name, message FROM messages WHERE name IN (SELECT value FROM json_each(?)) ORDER BY slot"
_log = structlog.get_logger(__name__)
_T = TypeVar("_T")


class Held(Enum):
    """Why a message may not be sent in this slot."""

    SLOT_USED = "slot used"
    """A message was intended in this slot before."""
    NOT_KEPT = "not kept"
    """The intent cannot be written."""


@dataclass(frozen=True, slots=True)
class _Rest:
    """What the row of a record holds besides its numbers."""

    totals: Totals
    sending: Report | None
    breaker: Breaker


class Outbox:
    """The records of all loopbacks."""

    def __init__(
        self, sent: SentMessages, file: Database | None = None, *, wall: Callable[[], float] = time.time
    ) -> None:
        """Count messages in `sent`; without a file all else is in memory alone."""
        self._sent = sent
        self._file = file
        self._wall = wall
        self._records: dict[str, Record] = {}

    @property
    def records(self) -> Mapping[str, Record]:
        """Return a live view of the records by the check's name; a check that never intended a message is absent."""
        return MappingProxyType(self._records)

    async def fetch(self, names: Collection[str]) -> None:
        """Take into memory what the file knows of these checks and memory does not.

        An intent without its outcome becomes uncertain: the agent was killed before it knew.
        """
        missing = set(names) - self._records.keys()
        if self._file is None or not missing:
            return
        asked = (json.dumps(sorted(missing)),)
        messages: dict[str, list[Message]] = {}
        for name, packed in await self._file.read(_KNOWN_MESSAGES, asked):
            if (message := _unpacked(name, packed, Message)) is not None:
                messages.setdefault(name, []).append(message)
        for name, sequence, slot, packed in await self._file.read(_KNOWN, asked):
            rest = _unpacked(name, packed, _Rest) or _Rest(Totals(), None, Breaker())
            kept = tuple(messages.get(name, ()))
            breaker = backoff.bounded(rest.breaker, self._wall())
            self._records[name] = record = Record(sequence, slot, kept, rest.totals, rest.sending, breaker)
            if breaker is not rest.breaker:
                self._file.put((_RECORD, name, partial(_record_row, name, record)))
            for message in record.messages:
                if message.stage is Stage.INTENDED:
                    _log.warning("it is unknown whether a message was sent", check=name, message_id=message.message_id)
                    self.keep(uncertain(message, message.intended_at), message.intended_at)

    def until(self, mailbox: str, tenant: str, now: float, limits: Limits) -> float | None:
        """Return until when the mailbox must not send another message, None if it may send one now."""
        return self._sent.until(mailbox, tenant, now, limits)

    async def intend(self, message: Message, mailbox: str, tenant: str, limits: Limits) -> float | Held | None:
        """Write the intent to send a message, and count it; return None when it may be sent now.

        Else until when none may be sent (Unix seconds), or why this one may not be.
        """
        name, sent = message.check, (message.intended_at, mailbox, tenant)
        if (until := self._sent.until(mailbox, tenant, message.intended_at, limits)) is not None:
            return until
        before = self._records.get(name, Record())
        if any(each.slot == message.slot for each in before.messages):
            return Held.SLOT_USED
        self._sent.count(sent)
        if self._file is not None:
            try:
                await self._file.commit(
                    _INTENT,
                    _message_row(message),
                    (_RECORD_ROW, _record_row(name, before.with_message(message, message.intended_at))),
                    (SENT, sent),
                )
            except (NotKeptError, sqlite3.IntegrityError) as error:
                self._sent.uncount(sent)
                return Held.NOT_KEPT if isinstance(error, NotKeptError) else Held.SLOT_USED
            except asyncio.CancelledError:  # it is in the file all the same, until it is withdrawn
                self._add(message)
                raise
        self._add(message)
        return await self._confirm(message, sent, limits)

    async def _confirm(self, message: Message, sent: Sent, limits: Limits) -> float | Held | None:
        """Count a message together with what others send; one that they leave no room for is withdrawn."""
        held: float | Held | None = Held.NOT_KEPT
        with suppress(NotKeptError):
            held = await self._sent.confirm(sent, limits)
        if held is not None:
            _, mailbox, tenant = sent
            await self.withdraw(message, mailbox, tenant)
        return held

    def _add(self, message: Message) -> None:
        record = self._records.get(message.check, Record())
        self._records[message.check] = record.with_message(message, message.intended_at)

    async def withdraw(self, message: Message, mailbox: str, tenant: str) -> None:
        """Take back an intent of which nothing was sent, and its count; the slot stays used."""
        name, at = message.check, message.intended_at
        record = self._records.get(name)
        if record is None or not any(each.slot == message.slot for each in record.messages):
            return
        self._records[name] = record.without(message.slot)
        await self._sent.release((at, mailbox, tenant))
        if self._file is not None:
            try:
                await self._file.commit(_NO_INTENT, (name, message.slot), (NOT_SENT, (at, mailbox, tenant)))
            except NotKeptError:
                _log.warning("a message that was not sent stays counted as sent", check=name)

    def keep(self, message: Message, now: float) -> Record:
        """Remember what became of a message, and return the record."""
        before = self._records.get(message.check, Record())
        record = before.with_message(message, now)
        self._records[message.check] = record
        if self._file is not None:
            left = {each.slot for each in before.messages} - {each.slot for each in record.messages}
            rows: list[tuple[Write, Hashable, Make]] = [
                (_DROPPED, (message.check, slot), partial(_values, message.check, slot)) for slot in left
            ]
            rows.append((_MESSAGE, (message.check, message.slot), partial(_message_row, message)))
            self._file.put(*rows, (_RECORD, message.check, partial(_record_row, message.check, record)))
        return record

    async def note_receivers(self, messages: Iterable[Message]) -> None:
        """Note by what name the receivers of these messages give their results, where the plan believes none."""
        await self._sent.note_receivers(
            {each.check: each.receiver_id for each in messages if each.receiver_id is not None}
        )

    async def is_on_disk(self) -> bool:
        """Have all that was kept written, and return whether it is; without a file there is nothing to wait for."""
        if self._file is None:
            return True
        await self._file.read("SELECT 1")
        return not self._file.error

    def keep_sending(self, name: str, report: Report, breaker: Breaker) -> Record:
        """Remember a run that was to send, and return the record."""
        self._records[name] = record = replace(self._records.get(name, Record()), sending=report, breaker=breaker)
        if self._file is not None:
            changed = breaker.until is not None
            self._file.put((_RECORD, name, partial(_record_row, name, record)), at_once=changed)
        return record

    def clock_set(self, step: float) -> None:
        """Move until when sending waits by the seconds by which the wall clock was set."""
        for name, record in self._records.items():
            if (until := record.breaker.until) is not None:
                self._records[name] = moved = replace(record, breaker=replace(record.breaker, until=until + step))
                if self._file is not None:
                    self._file.put((_RECORD, name, partial(_record_row, name, moved)))

    def only(self, names: Collection[str], sending: Collection[str] = ()) -> None:
        """Drop from memory every check that is not among `names`, nor `sending`; the file keeps it."""
        for name in [name for name in self._records if name not in names and name not in sending]:
            del self._records[name]

    def put_all(self, file: Database) -> None:
        """Have all that is in memory written into a new file."""
        for name, record in self._records.items():
            file.put((_RECORD, name, partial(_record_row, name, record)))
            for message in record.messages:
                file.put((_MESSAGE, (name, message.slot), partial(_message_row, message)))

    def forget_old(self, before: float) -> None:
        """Have the file drop what has not sent since a Unix time."""
        if self._file is not None:
            self._file.put((_OLD_RECORDS, "", lambda: (before,)), (_OLD_MESSAGES, "", lambda: (before,)))


def _unpacked(name: str, packed: bytes, kind: type[_T]) -> _T | None:
    try:
        return unpack_as(packed, kind)
    except UnreadableReportError as error:
        _log.warning("a stored part of a loopback cannot be read", check=name, error=str(error))
        return None


def _values(*values: object) -> Values:
    return values


def _message_row(message: Message) -> Values:
    return message.check, message.slot, pack(message)


def _record_row(name: str, record: Record) -> Values:
    return name, record.sequence, record.slot, pack(_Rest(record.totals, record.sending, record.breaker))
