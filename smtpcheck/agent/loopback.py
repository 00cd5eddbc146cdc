"""The loopback: sends each check's message in its slot, and has it found again (`mail_search`).

Rules of this file:
- A message is the same `probe` at depth `send`, with a message of its own. Before DATA its intent is on the disk; after
  that it is never sent again, whatever happens.
- Nothing here waits: `tick` starts what is due as tasks, and those end by their own time limits.
- Times are of the wall clock, for they outlive a restart. Where that clock is set, all of them move with it
  (`clock_set`), so that nothing is sent or searched for sooner or later than without.
- What failed to be sent waits for its next slot; what the server has refused repeatedly, longer (`breaker`).
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from functools import partial

import structlog

from smtpcheck.agent.loopback_intent import Intent, Sender, as_sender, content_of
from smtpcheck.agent.mail_search import MailSearch
from smtpcheck.agent.periodic_jobs import STEP_SECONDS
from smtpcheck.agent.schedule import hash_fraction
from smtpcheck.check.kit import Kit
from smtpcheck.check.probe import probe
from smtpcheck.check.talk import OutgoingMessage
from smtpcheck.loopback import message_state
from smtpcheck.loopback.finder import Searcher
from smtpcheck.loopback.message_state import Message, Record, Stage
from smtpcheck.loopback.plan import Loopback
from smtpcheck.loopback.status import LoopbackStatus
from smtpcheck.loopback.timing import next_slot, slot
from smtpcheck.mail.correlation_id import CorrelationIds
from smtpcheck.mail.message import loopback_message_id
from smtpcheck.model import backoff
from smtpcheck.model.check import Check
from smtpcheck.model.report import Report
from smtpcheck.output.log_fields import facts_of
from smtpcheck.state.outbox import Held
from smtpcheck.state.state import State

_LATE_SECONDS = 10.0
"""How late in its slot a message may be sent without that the next slot stays free."""
_log = structlog.get_logger(__name__)


class LoopbackService:
    """Sends and finds the messages of all loopbacks."""

    def __init__(
        self,
        state: State,
        correlation_ids: CorrelationIds,
        searcher: Searcher,
        *,
        changed: Callable[[str], object],
        arrived: Callable[[Check, float, str], object],
        ran: Callable[[Check, Report, str], Awaitable[Report]] | None = None,
        traced: Callable[[Check, Report], str] = lambda *_: "",
    ) -> None:
        """Keep messages in the outbox of `state`, and search by `searcher`.

        `changed` is called with a check's name whenever something new is known of its loopback, `arrived` with the
        check, the seconds that a message took, and the id of the trace of the run that sent it. Each run that was to
        send goes through `ran`, with its issuer's host, and then to `traced`, which returns the id of its trace. An id
        is empty where there is no trace.
        """
        self.internal_errors = 0
        """Runs that ended by a fault of our own outside `probe`."""
        self.capped = 0
        """Messages that were skipped because no further one may be sent."""
        self.held_until: dict[str, float] = {}
        """Until when the caps hold back the checks whose last message they did (Unix seconds)."""
        self._state = state
        self._outbox = state.outbox
        self._correlation_ids = correlation_ids
        self._changed, self._ran, self._traced = changed, ran, traced
        self.search = MailSearch(self._outbox, correlation_ids, searcher, changed=changed, arrived=arrived)
        self._kit: Kit | None = None
        self._senders: dict[str, Sender] = {}
        self._send_at: dict[str, float] = {}
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._intended_at: dict[str, float] = {}
        """When each check's last message was intended (monotonic seconds), of those since the start."""
        self._unkept: set[str] = set()
        """The checks whose last message was not sent because its intent could not be written."""

    def replace(
        self, checks: Mapping[str, Check], loopbacks: Mapping[str, Loopback], kit: Kit, first_within: float
    ) -> None:
        """Use other settings. A check whose slot is not used yet sends within `first_within` seconds."""
        self._kit = kit
        now = kit.wall()
        before = self._senders
        self._senders = {
            name: Sender(as_sender(checks[name], plan), plan) for name, plan in loopbacks.items() if name in checks
        }
        for name, sender in self._senders.items():
            known = before.get(name)
            if known is None or known.plan.every != sender.plan.every:
                self._send_at[name] = self._first(name, sender.plan, now, first_within)
        self._send_at = {name: self._send_at[name] for name in self._senders}
        self.search.replace(self._senders, kit, now)
        self._unkept &= self._senders.keys()

    @property
    def sending(self) -> Collection[str]:
        """Return the checks whose message is being sent; their records must be kept until that has ended."""
        return self._sending.keys()

    async def all_sent(self) -> None:
        """Wait until no message is being sent."""
        if self._sending:
            await asyncio.wait(self._sending.values())

    async def all_searched(self) -> None:
        """Wait until no mailbox is searched; what was found has been deleted by then, where that is wanted."""
        await self.search.all_ended()

    def loopback_status(self, name: str) -> LoopbackStatus | None:
        """Return all that is known of a check's loopback, None where it has none."""
        sender = self._senders.get(name)
        if sender is None:
            return None
        plan, record = sender.plan, self.record(name)
        next_send = max(self._send_at[name], record.breaker.until or 0.0)
        finder, bounces = self.search.finder_state(plan), self.search.bounces_state(plan)
        return LoopbackStatus(plan, record, finder, next_send, name not in self._unkept, bounces)

    def record(self, name: str) -> Record:
        """Return what is remembered of a check's loopback."""
        return self._outbox.records.get(name) or Record()

    def tick(self) -> None:
        """Start what is due."""
        kit = self._kit
        if kit is None:
            return
        if self._unkept and not self._state.error:
            self._is_kept(*self._unkept)
        now = kit.wall()
        for name in [name for name, at in self._send_at.items() if at <= now]:
            sender = self._senders[name]
            self._send_at[name] = next_slot(hash_fraction(name), sender.plan.every, now)
            slot_at = max(slot(hash_fraction(name), sender.plan.every, now), self.record(name).slot + 1)
            if name not in self._sending and self._may_begin(sender, now, kit):
                self._sending[name] = asyncio.create_task(self._send(name, slot_at), name=f"send {name}")
                self._sending[name].add_done_callback(partial(self._sent, name))
        self.search.tick()

    def clock_set(self, step: float) -> None:
        """Move all that is due, and the messages under way, by the seconds by which the wall clock was set.

        What was noted by the new clock already is due no later than it would have been.
        """
        if (kit := self._kit) is None:
            return
        now = kit.wall()
        for name, sender in self._senders.items():
            following = next_slot(hash_fraction(name), sender.plan.every, now)
            self._send_at[name] = min(self._send_at[name] + step, following)
            for message in self.record(name).messages:
                if message.is_searched_for(now - step) and not self._is_by_new_clock(message, now, kit.monotonic()):
                    self._outbox.keep(message.moved(step), now)
        self.search.clock_set(step, now)

    async def drain(self, seconds: float) -> None:
        """Let what is being sent end within so many seconds; searches are cancelled, for they can be repeated."""
        sending = tuple(self._sending.values())
        if sending:
            await asyncio.wait(sending, timeout=seconds)
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        await self.search.cancel()

    # -- sending ------------------------------------------------------------------------------------------------------

    def _first(self, name: str, plan: Loopback, now: float, first_within: float) -> float:
        """Return when a check that is new sends: soon, unless its present slot is used."""
        if self.record(name).slot >= slot(hash_fraction(name), plan.every, now):
            return next_slot(hash_fraction(name), plan.every, now)
        return now + hash_fraction(name) * min(plan.every, first_within)

    def _may_begin(self, sender: Sender, now: float, kit: Kit) -> bool:
        """Return whether connecting is of use: no back-off is in force, and the caps leave room.

        Where the check itself waits after refusals it tries first, for its runs are what alerts count: a message's
        login that is refused would only make it wait again.

        The slot after a message that was sent in the middle of the one before, as after a start, stays free: a day has
        no more messages than slots.
        """
        check, record = sender.check, self.record(sender.check.name)
        if 0 <= self._since_last(check.name, now, kit.monotonic()) < sender.plan.every - _LATE_SECONDS:
            return False
        own, sending = self._state.breaker(check.name).until, record.breaker.until
        if own is not None and (check.scheduled or own > now):
            return False
        if sending is not None and sending > now:
            return False
        until = self._outbox.until(check.mailbox, kit.tenant(check), now, sender.plan.limits)
        if until is not None:
            self._note_held(check.name, until, now)
        return until is None

    def _since_last(self, name: str, now: float, monotonic: float) -> float:
        """Return how many seconds ago the last message was sent: by the monotonic clock, if it was since the start."""
        if name in self._intended_at:
            return monotonic - self._intended_at[name]
        messages = self.record(name).messages
        return now - messages[-1].intended_at if messages else math.inf

    def _is_by_new_clock(self, message: Message, now: float, monotonic: float) -> bool:
        """Return whether a message was sent after the clock was set, and before that was noticed."""
        if message is not self.record(message.check).messages[-1] or message.check not in self._intended_at:
            return False
        return abs(now - message.intended_at - self._since_last(message.check, now, monotonic)) < STEP_SECONDS

    def _note_held(self, name: str, held: float | Held, now: float) -> None:
        """Note why a message is skipped."""
        if held is Held.NOT_KEPT:
            _log.error("not sent: the intent could not be written to disk", check=name)
            self._unkept.add(name)
            self._changed(name)
        elif not isinstance(held, Held):
            self.capped += 1
            self.held_until[name] = held
            _log.warning("not sent: a cap on messages is reached", check=name, seconds=round(held - now))

    def _is_kept(self, *names: str) -> None:
        """Note that what these checks intend can be written again."""
        for name in self._unkept.intersection(names):
            self._unkept.discard(name)
            self._changed(name)

    def _sent(self, name: str, task: asyncio.Task[None]) -> None:
        self._sending.pop(name, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.internal_errors += 1
            _log.error("internal error", check=name, exc_info=error)

    async def _send(self, name: str, slot_at: int) -> None:
        """Send one message and remember what became of it."""
        sender, kit = self._senders.get(name), self._kit
        if sender is None or kit is None:  # it left the configuration before this began
            return
        check, plan, issuer = sender.check, sender.plan, kit.issuer(sender.check)
        now = kit.wall()
        number = self.record(check.name).sequence + 1
        correlation_id = self._correlation_ids.make(check.name, number, now)
        message = Message(
            check.name, slot_at, number, correlation_id, loopback_message_id(correlation_id, plan.sender), now
        )
        intent = Intent(message, self._outbox, kit, sender)
        outgoing = OutgoingMessage(content_of(message, sender), intent.consent)
        report = await probe(check, kit, outgoing=outgoing, max_wait=plan.every)
        if intent.held is not None:
            self._note_held(check.name, intent.held, kit.wall())
            return
        if self._ran is not None:
            report = await self._ran(check, report, issuer)
        before = self.record(check.name)
        self._outbox.keep_sending(check.name, report, backoff.after(before.breaker, report, plan.every))
        trace_id = self._traced(check, report)
        if intent.written:
            self._intended_at[check.name] = kit.monotonic()
            self.held_until.pop(check.name, None)
            self._is_kept(check.name)
            sent = replace(intent.message, trace_id=trace_id)
            await self._conclude(sender, message_state.after_sending(sent, report, kit.wall()), intent, kit)
        self._log_sending(report, intent, trace_id)
        self._changed(check.name)

    async def _conclude(self, sender: Sender, message: Message | None, intent: "Intent", kit: Kit) -> None:
        """Keep what became of a message that was intended; None: nothing of it was sent."""
        if message is None:
            await self._outbox.withdraw(intent.message, sender.check.mailbox, kit.tenant(sender.check))
            return
        now = kit.wall()
        self._outbox.keep(message, now)
        self.search.expect(message, now)

    def _log_sending(self, report: Report, intent: "Intent", trace_id: str) -> None:
        message = next((each for each in self.record(report.check).messages if each.slot == intent.message.slot), None)
        stage = message.stage if message else "not sent"
        log = _log.debug if stage is Stage.ACCEPTED else _log.info
        known = {"stage": str(stage), "message_id": intent.message.message_id}
        log("loopback", check=report.check, **known, **facts_of(report, trace_id))
