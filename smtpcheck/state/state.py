"""What the agent remembers of every check, in memory and in the state file.

Rules of this file:
- The event loop works with memory alone; the file follows within seconds, and is read at the start and at a reload.
- Ten thousand checks fit: the last runs are packed rows, and what reports have in common (replies, certificates) is
  held once.
- A check that leaves the configuration leaves memory at once and the file after `KEEP_DAYS`: one that comes back, or
  was renamed by mistake, finds its counts again.
"""

import asyncio
import json
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self

import structlog
from msgspec import structs

from smtpcheck.limits.send_limits import MAILBOX, Limits, Shares
from smtpcheck.model import backoff
from smtpcheck.model.backoff import Breaker
from smtpcheck.model.check import Check
from smtpcheck.model.interning import compact
from smtpcheck.model.report import Outcome, Report
from smtpcheck.model.shard import WHOLE, Sender, Shard
from smtpcheck.state.alerts import AlertRows
from smtpcheck.state.archive import Archive
from smtpcheck.state.check_state import CheckState, first
from smtpcheck.state.database import Database, Make, NotKeptError, Values, Write
from smtpcheck.state.history import DAY_SECONDS, Day, day, day_of, is_day, merged_hours, readable, runs
from smtpcheck.state.inspections import InspectionRows
from smtpcheck.state.outbox import NOT_SENT, SENT, Held, Outbox
from smtpcheck.state.send_journal import FUTURE_SECONDS, SendJournal
from smtpcheck.state.sent_messages import SentMessages
from smtpcheck.state.serialization import UnreadableReportError, pack, unpack
from smtpcheck.state.silences import SilenceRows
from smtpcheck.state.snapshot import remove_left_over

FILE_NAME = "state.db"
KEEP_DAYS = 90
"""How many days of history are kept, and how long the rows of a check that is gone."""

MakeFile = Callable[[Path, Callable[[Database], object]], Database]

_CHECK = Write(
    "INSERT INTO checks (name, runs, failures, last_success, since, last_run, day, refusals, backoff_until, history,"
    " report) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET runs = excluded.runs,"
    " failures = excluded.failures, last_success = excluded.last_success, since = excluded.since,"
    " last_run = excluded.last_run, day = excluded.day, refusals = excluded.refusals,"
    " backoff_until = excluded.backoff_until, history = excluded.history, report = excluded.report",
    every=2.0,
)
_FAILURE = Write("INSERT OR REPLACE INTO failures (name, report) VALUES (?, ?)", every=2.0)
_DAY = Write(
    "INSERT INTO days (day, name, hours) VALUES (?, ?, ?) ON CONFLICT (day, name)"
    " DO UPDATE SET hours = merged_hours(hours, excluded.hours)",
    every=60.0,
)
_KNOWN = (
    "SELECT checks.name, runs, failures, last_success, since, refusals, backoff_until, history, checks.report,"
    " failures.report, hours FROM checks"
    " LEFT JOIN failures ON failures.name = checks.name"
    " LEFT JOIN days ON days.day = checks.day AND days.name = checks.name"
    " WHERE checks.name IN (SELECT value FROM json_each(?))"
)
_DAYS = (  # the key begins with the day: a query by the name alone would read the days of every check
    "SELECT day, hours FROM days WHERE day IN (SELECT value FROM json_each(?)) AND name = ? ORDER BY day"
)
_OLD_DAYS = Write("DELETE FROM days WHERE day < ?", every=60.0)
_OLD_CHECKS = Write("DELETE FROM checks WHERE last_run < ?", every=60.0)
_SENT = Write(  # into a new file, which has what could be read of a damaged one
    "INSERT INTO sent (at, mailbox, tenant) SELECT ?1, ?2, ?3"
    " WHERE NOT EXISTS (SELECT 1 FROM sent WHERE at = ?1 AND mailbox = ?2 AND tenant = ?3)",
    every=2.0,
)
_MOVED_SENT = Write("UPDATE sent SET at = at + ?", every=2.0)
_OLD_SENT = Write("DELETE FROM sent WHERE at < ?", every=60.0)
_OLD_FAILURES = Write("DELETE FROM failures WHERE name NOT IN (SELECT name FROM checks)", every=60.0)

_log = structlog.get_logger(__name__)


class State:
    """The states of all checks."""

    def __init__(self, wall: Callable[[], float] = time.time, journal: SendJournal | None = None) -> None:
        """Begin without any, and in memory alone; `wall` is the time (Unix seconds).

        With a `journal`, messages are counted together with those of others.
        """
        self._wall = wall
        self._checks: dict[str, CheckState] = {}
        self._uncounted: dict[str, Breaker] = {}
        self._sent = SentMessages(journal)
        self._file: Database | None = None
        self.outbox = Outbox(self._sent, wall=wall)
        self.alerts = AlertRows(None)
        self.silences = SilenceRows(None)
        self.inspections = InspectionRows(None)
        self.archive = Archive(None)

    @classmethod
    async def kept(cls, folder: Path, wall: Callable[[], float] = time.time, make_file: MakeFile = Database) -> Self:
        """Return the states that are kept in a folder; why they are not is in `error`.

        `make_file` makes the file from its path and from what puts all into a new one.
        Raises InUseError where another agent has the folder.
        """
        state = cls(wall, SendJournal(folder))
        state._file = file = make_file(folder / FILE_NAME, state._put_all)
        state.outbox = Outbox(state._sent, file, wall=wall)
        state.alerts = AlertRows(file)
        state.silences = SilenceRows(file)
        state.inspections = InspectionRows(file)
        state.archive = Archive(file)
        await file.open()
        await asyncio.to_thread(remove_left_over, folder)
        await state.inspections.fetch()
        now = wall() + FUTURE_SECONDS
        sent = await file.read("SELECT at, mailbox, tenant FROM sent WHERE at <= ? ORDER BY at", (now,))
        await state._sent.restore((at, mailbox, tenant) for at, mailbox, tenant in sent)
        return state

    @property
    def checks(self) -> Mapping[str, CheckState]:
        """Return a live view of the states by name; a check that has not run yet is absent."""
        return MappingProxyType(self._checks)

    @property
    def error(self) -> str:
        """Return why nothing outlives a restart at present, as a sentence; empty while all is kept."""
        return (self._file.error if self._file else "") or self._sent.error

    @property
    def is_served(self) -> bool:
        """Return whether the thread that keeps the state is there; True without a file."""
        return self._file is None or self._file.is_alive

    def record(self, check: Check, report: Report, own: Report | None = None) -> CheckState:
        """Remember a run and return the new state of its check.

        `own` is the report of the check alone, where `report` says more than that.
        """
        before = self._checks.get(check.name)
        report = compact(report, before.report if before else None)
        held = self.breaker(check.name)
        state = before.after(report, check.interval, own) if before else first(report, check.interval, held, own)
        self._checks[check.name] = state
        self._uncounted.pop(check.name, None)
        if self._file is not None:
            recovered = before is not None and before.failure is before.report and state.failure is before.failure
            changed = state.breaker != held
            _put(self._file, check.name, state, failure=recovered, at_once=changed)
        self.archive.record(before, state)
        return state

    def breaker(self, name: str) -> Breaker:
        """Return the breaker of a check; a closed one where nothing is known.

        A wait that ends too late, because the clock was wrong or was set back, is shortened for good.
        """
        state = self._checks.get(name)
        breaker = state.breaker if state else self._uncounted.get(name, Breaker())
        bounded = backoff.bounded(breaker, self._wall())
        if bounded is not breaker:
            self._set_breaker(name, bounded)
        return bounded

    def _set_breaker(self, name: str, breaker: Breaker) -> None:
        if (state := self._checks.get(name)) is None:
            self._uncounted[name] = breaker
            return
        self._checks[name] = state = structs.replace(state, breaker=breaker)
        if self._file is not None:
            _put(self._file, name, state, failure=False, at_once=True)

    def clock_set(self, step: float) -> None:
        """Move what is waited for, and what counts for the caps, by the seconds by which the wall clock was set."""
        self._sent.move(step)
        if self._file is not None:
            self._file.put((_MOVED_SENT, self._wall(), lambda: (step,)), at_once=True)
        breakers = {name: state.breaker for name, state in self._checks.items()} | self._uncounted
        for name, breaker in breakers.items():
            if breaker.until is not None:
                self._set_breaker(name, replace(breaker, until=breaker.until + step))
        self.outbox.clock_set(step)

    def update_breaker(self, check: Check, report: Report) -> Breaker:
        """Let a run count for the check's breaker and for nothing else, and return the breaker."""
        before = self.breaker(check.name)
        after = backoff.after(before, report, check.interval)
        if after != before:
            self._set_breaker(check.name, after)
        return after

    def amend(self, name: str, report: Report) -> CheckState | None:
        """Take another report of a check's last run, which counts as no run; None where there was none."""
        if (before := self._checks.get(name)) is None:
            return None
        self._checks[name] = state = before.amended(compact(report, before.report))
        if self._file is not None:
            _put(self._file, name, state, failure=state.failure is not state.report)
        return state

    def close_breaker(self, name: str) -> None:
        """Forget what a check was refused, so that it is tried again; an unknown name is fine."""
        self._uncounted.pop(name, None)
        if (state := self._checks.get(name)) is not None and state.breaker != Breaker():
            self._set_breaker(name, Breaker())

    async def fetch(self, names: Iterable[str]) -> None:
        """Take into memory what the file knows of these checks and memory does not."""
        names = set(names)
        await self.outbox.fetch(names)
        missing = names - self._checks.keys()
        if self._file is None or not missing:
            return
        for name, *values in await self._file.read(_KNOWN, (json.dumps(sorted(missing)),)):
            if name not in self._checks and (state := self._restored(name, values)) is not None:  # it may have run
                self._checks[name] = state
                self.breaker(name)
        await self.archive.fetch(missing)

    def only(self, names: Collection[str], *, sending: Collection[str] = ()) -> None:
        """Drop from memory every check that is not among `names`; of one that is `sending`, its messages stay."""
        self.outbox.only(names, sending)
        self.archive.only(names)
        for known in (self._checks, self._uncounted):
            for name in [name for name in known if name not in names]:
                del known[name]

    async def days(self, name: str) -> tuple[Day, ...]:
        """Return the history of a check by days, oldest first; days without a run are left out.

        Of the day before the last one the file may not have the last minute yet.
        """
        if (state := self._checks.get(name)) is None:
            return ()
        numbers = json.dumps(list(range(state.day - KEEP_DAYS, state.day + 1)))
        rows = await self._file.read(_DAYS, (numbers, name), settled=False) if self._file else []
        kept = {number: hours for number, hours in rows if isinstance(number, int) and is_day(hours)}
        kept[state.day] = merged_hours(kept.get(state.day), state.packed_hours)
        return tuple(day(number, hours) for number, hours in sorted(kept.items()))

    def divide(self, senders: Iterable[Sender], shard: Shard) -> None:
        """Divide the caps among the shards; `senders` are the checks of all that send."""
        self._sent.divide(None if shard == WHOLE else Shares(senders, shard.number))

    def last_sent(self, mailbox: str) -> float | None:
        """Return when the mailbox last sent a message (Unix seconds), None if not within the last day."""
        return self._sent.caps.last(mailbox)

    async def may_send(
        self, mailbox: str, tenant: str, now: float, limits: Limits = MAILBOX
    ) -> float | Literal[Held.NOT_KEPT] | None:
        """Count one message of a mailbox before it is sent, and return None, or until when none may be (Unix seconds).

        What was counted is on the disk when this returns: no kill makes more messages possible. Where it cannot be
        written, no message may be sent.
        """
        if (until := self._sent.until(mailbox, tenant, now, limits)) is not None:
            return until
        sent = (now, mailbox, tenant)
        self._sent.count(sent)
        try:
            if self._file is not None:
                await self._file.commit(SENT, sent)
        except NotKeptError:
            self._sent.uncount(sent)
            return Held.NOT_KEPT
        held: float | Literal[Held.NOT_KEPT] | None = Held.NOT_KEPT
        with suppress(NotKeptError):
            held = await self._sent.confirm(sent, limits)
        if held is not None:
            await self._sent.release(sent)
            with suppress(NotKeptError):
                if self._file is not None:
                    await self._file.commit(NOT_SENT, sent)
        return held

    def forget_old(self, now: float) -> None:
        """Have the file drop what is older than `KEEP_DAYS` at Unix time `now`."""
        self.outbox.forget_old(now - KEEP_DAYS * DAY_SECONDS)
        self.alerts.forget_old()
        self.silences.forget_old(now - KEEP_DAYS * DAY_SECONDS)
        self.inspections.forget_old()
        self.archive.forget_old(now - KEEP_DAYS * DAY_SECONDS)
        if self._file is not None:
            self._file.put(
                (_OLD_DAYS, "", lambda: (day_of(now) - KEEP_DAYS,)),
                (_OLD_CHECKS, "", lambda: (now - KEEP_DAYS * DAY_SECONDS,)),
                (_OLD_FAILURES, "", tuple),
                (_OLD_SENT, "", lambda: (now - 2 * DAY_SECONDS,)),
            )

    async def close(self) -> None:
        """Bring everything into the file, and let go of it."""
        self._sent.close()
        if self._file is not None:
            await self._file.close()

    def _put_all(self, file: Database) -> None:
        """Have all that is in memory written into a new file."""
        for name, state in self._checks.items():
            _put(file, name, state, failure=True)
        for sent in self._sent.caps.counted():
            file.put((_SENT, sent, partial(tuple, sent)))
        self.outbox.put_all(file)
        self.alerts.put_all()
        self.silences.put_all()
        self.inspections.put_all()
        self.archive.put_all()

    def _restored(self, name: str, values: list[Any]) -> CheckState | None:
        """Return a state from its row, None where nothing of it can be read."""
        count, failures, last_success, since, refusals, until, history, packed, packed_failure, hours = values
        history = readable(history)
        report = self._report(name, packed) or _outline(name, history)
        if report is None:
            return None
        failure = self._report(name, packed_failure) if packed_failure else None
        return CheckState(
            report=report,
            failure=report if report.outcome is Outcome.CRITICAL else failure,
            runs=count,
            failures=failures,
            last_success_at=last_success,
            since=since,
            packed_history=history,
            packed_hours=hours if is_day(hours) else b"",
            breaker=Breaker(refusals, until),
        )

    def _report(self, name: str, packed: bytes) -> Report | None:
        try:
            return compact(unpack(packed))
        except UnreadableReportError as error:
            _log.warning("a stored report cannot be read; its counts can", check=name, error=str(error))
            return None


def _put(file: Database, name: str, state: CheckState, *, failure: bool, at_once: bool = False) -> None:
    """Have a check's rows written; its last failure besides where that is no longer its last run."""
    rows: list[tuple[Write, Hashable, Make]] = [(_CHECK, name, partial(_check_row, name, state))]
    if failure and state.failure is not None:
        rows.append((_FAILURE, name, partial(_failure_row, name, state.failure)))
    file.put(*rows, at_once=at_once)
    file.put((_DAY, (state.day, name), partial(_day_row, name, state)))


def _failure_row(name: str, failure: Report) -> Values:
    return name, pack(failure)


def _day_row(name: str, state: CheckState) -> Values:
    return state.day, name, state.packed_hours


def _check_row(name: str, state: CheckState) -> Values:
    return (
        name,
        state.runs,
        state.failures,
        state.last_success_at,
        state.since,
        state.report.started_at,
        state.day,
        state.breaker.refusals,
        state.breaker.until,
        state.packed_history,
        pack(state.report),
    )


def _outline(name: str, history: bytes) -> Report | None:
    """Return what the history says of the last run, None where it is empty."""
    if not history:
        return None
    last = runs(history)[-1]
    return Report(name, last.started_at, last.seconds, last.outcome, cause=last.cause)
