"""The loopback: sends each check's message in its slot, and finds it again.

Rules of this file:
- A message is the same `probe` at depth `send`, with a message of its own. Before DATA its intent is on the disk; after
  that it is never sent again, whatever happens.
- All messages that are under way to one mailbox are searched for over one connection. Without any there is no search,
  but once a day left-overs are purged, there and in the sender's Sent Items.
- A message is deleted once it is on disk that it was found, over a second connection: after a kill between the two it
  would be considered lost.
- Nothing here waits: `tick` starts what is due as tasks, and those end by their own time limits.
- Times are of the wall clock, for they outlive a restart. Where that clock is set, all of them move with it
  (`clock_set`), so that nothing is sent or searched for sooner or later than without.
- What failed to be sent waits for its next slot; what the server has refused repeatedly, longer (`breaker`).
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import structlog

from smtpcheck.agent.loopback_intent import Intent, Sender, as_sender, content_of
from smtpcheck.agent.schedule import hash_fraction
from smtpcheck.check.kit import Kit
from smtpcheck.check.probe import OutgoingMessage, probe
from smtpcheck.loopback import message_state
from smtpcheck.loopback.finder import FinderError, FinderStep, Match, Search, Searcher, SearchRequest, Target
from smtpcheck.loopback.message_state import Message, Record, Stage
from smtpcheck.loopback.plan import Find, Loopback
from smtpcheck.loopback.status import FinderState, LoopbackStatus
from smtpcheck.loopback.timing import PURGE_EVERY, SPACING, next_search, next_slot, slot, wait_after_failures
from smtpcheck.mail.correlation_id import CorrelationIds
from smtpcheck.mail.message import loopback_message_id
from smtpcheck.model import backoff
from smtpcheck.model.check import Check
from smtpcheck.model.report import Report
from smtpcheck.output.log_fields import facts_of
from smtpcheck.state.outbox import Held
from smtpcheck.state.state import State

SEARCH_SECONDS = 60.0
"""How long one search may take."""
TOKEN_SECONDS = 10.0
"""How long one search waits for the issuer."""
_LATE_SECONDS = 10.0
"""How late in its slot a message may be sent without that the next slot stays free."""
_FIRST_PURGE_SECONDS = 600.0
"""How long after a start, at least, left-overs are looked for."""
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Mailbox:
    """One mailbox that is searched."""

    find: Find
    names: frozenset[str]
    """The checks whose messages arrive there; none where there are only left-overs to purge."""
    due_at: float
    """When it is searched next (Unix seconds)."""
    purge_at: float
    not_before: float = 0.0
    """It is not searched earlier, whatever is due."""
    state: FinderState | None = None
    searching: bool = False


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
        self._state = state
        self._outbox = state.outbox
        self._correlation_ids = correlation_ids
        self._searcher = searcher
        self._changed, self._arrived, self._ran, self._traced = changed, arrived, ran, traced
        self._kit: Kit | None = None
        self._senders: dict[str, Sender] = {}
        self._send_at: dict[str, float] = {}
        self._mailboxes: dict[Find, _Mailbox] = {}
        self._searches: set[asyncio.Task[None]] = set()
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._intended_at: dict[str, float] = {}
        """When each check's last message was intended (monotonic seconds), of those since the start."""
        self._unkept: set[str] = set()
        """The checks whose last message was not sent because its intent could not be written."""

    def replace(
        self, checks: Iterable[Check], loopbacks: Mapping[str, Loopback], kit: Kit, first_within: float
    ) -> None:
        """Use other settings. A check whose slot is not used yet sends within `first_within` seconds."""
        self._kit = kit
        now = kit.wall()
        before = self._senders
        self._senders = {
            check.name: Sender(as_sender(check, loopbacks[check.name]), loopbacks[check.name])
            for check in checks
            if check.name in loopbacks
        }
        for name, sender in self._senders.items():
            known = before.get(name)
            if known is None or known.plan.every != sender.plan.every:
                self._send_at[name] = self._first(name, sender.plan, now, first_within)
        self._send_at = {name: self._send_at[name] for name in self._senders}
        self._mailboxes = self._mailboxes_of(now)
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
        if self._searches:
            await asyncio.wait(self._searches)

    def loopback_status(self, name: str) -> LoopbackStatus | None:
        """Return all that is known of a check's loopback, None where it has none."""
        sender = self._senders.get(name)
        if sender is None:
            return None
        plan, record = sender.plan, self.record(name)
        mailbox = self._mailboxes.get(plan.find) if plan.find else None
        next_send = max(self._send_at[name], record.breaker.until or 0.0)
        return LoopbackStatus(plan, record, mailbox.state if mailbox else None, next_send, name not in self._unkept)

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
        for mailbox in self._mailboxes.values():
            if mailbox.due_at <= now and not mailbox.searching:
                mailbox.searching = True
                task = asyncio.create_task(self._search_mailbox(mailbox, kit.wall, kit.monotonic), name="search")
                self._searches.add(task)
                task.add_done_callback(self._searches.discard)

    def clock_set(self, step: float) -> None:
        """Move all that is due, and the messages under way, by the seconds by which the wall clock was set."""
        self._send_at = {name: at + step for name, at in self._send_at.items()}
        for mailbox in self._mailboxes.values():
            mailbox.due_at += step
            mailbox.purge_at += step
            mailbox.not_before += step
        now = self._kit.wall() if self._kit is not None else 0.0
        for name in self._senders:
            for message in self.record(name).messages:
                if message.is_searched_for(now - step):
                    self._outbox.keep(message.moved(step), now)

    async def drain(self, seconds: float) -> None:
        """Let what is being sent end within so many seconds; searches are cancelled, for they can be repeated."""
        sending = tuple(self._sending.values())
        if sending:
            await asyncio.wait(sending, timeout=seconds)
        left = (*self._sending.values(), *self._searches)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    # -- sending ------------------------------------------------------------------------------------------------------

    def _first(self, name: str, plan: Loopback, now: float, first_within: float) -> float:
        """Return when a check that is new sends: soon, unless its present slot is used."""
        if self.record(name).slot >= slot(hash_fraction(name), plan.every, now):
            return next_slot(hash_fraction(name), plan.every, now)
        return now + hash_fraction(name) * min(plan.every, first_within)

    def _may_begin(self, sender: Sender, now: float, kit: Kit) -> bool:
        """Return whether connecting is of use: no back-off is in force, and the caps leave room.

        The slot after a message that was sent in the middle of the one before, as after a start, stays free: a day has
        no more messages than slots.
        """
        check, record = sender.check, self.record(sender.check.name)
        if 0 <= self._since_last(check.name, now, kit.monotonic()) < sender.plan.every - _LATE_SECONDS:
            return False
        waits = (record.breaker.until, self._state.breaker(check.name).until)
        if any(until is not None and until > now for until in waits):
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

    def _note_held(self, name: str, held: float | Held, now: float) -> None:
        """Note why a message is skipped."""
        if held is Held.NOT_KEPT:
            _log.error("not sent: the intent could not be written to disk", check=name)
            self._unkept.add(name)
            self._changed(name)
        elif not isinstance(held, Held):
            self.capped += 1
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
        sender = self._senders.get(sender.check.name, sender)
        mailbox = self._mailboxes.get(sender.plan.find) if sender.plan.find else None
        if mailbox is not None and message.is_searched_for(now):
            mailbox.due_at = min(
                mailbox.due_at, max(mailbox.not_before, self._next_search_of(message, sender.plan, now))
            )

    def _log_sending(self, report: Report, intent: "Intent", trace_id: str) -> None:
        message = next((each for each in self.record(report.check).messages if each.slot == intent.message.slot), None)
        stage = message.stage if message else "not sent"
        log = _log.debug if stage is Stage.ACCEPTED else _log.info
        known = {"stage": str(stage), "message_id": intent.message.message_id}
        log("loopback", check=report.check, **known, **facts_of(report, trace_id))

    # -- finding ------------------------------------------------------------------------------------------------------

    def _mailboxes_of(self, now: float) -> dict[Find, _Mailbox]:
        """Return the mailboxes to search; one that is known keeps what is known of it."""
        names: dict[Find, set[str]] = {}
        purged: dict[Find, str] = {}
        for name, sender in self._senders.items():
            if (find := sender.plan.find) is None:
                continue
            names.setdefault(find, set()).add(name)
            for place in sender.plan.purged_mailboxes(sender.check):
                purged.setdefault(place, name)
        boxes = {}
        for find in names.keys() | purged.keys():
            known = self._mailboxes.get(find)
            first_purge = now + _FIRST_PURGE_SECONDS * (1 + hash_fraction(purged[find])) if find in purged else math.inf
            boxes[find] = mailbox = known or _Mailbox(find, frozenset(), math.inf, first_purge)
            mailbox.names = frozenset(names.get(find, ()))
            mailbox.due_at = now if known is None and any(self._searched_for(mailbox, now)) else self._due(mailbox, now)
        return boxes

    def _searched_for(self, mailbox: _Mailbox, now: float) -> Iterator[Message]:
        return (message for message in self._messages(mailbox) if message.is_searched_for(now))

    def _next_search_of(self, message: Message, plan: Loopback, now: float) -> float:
        at = next_search(message.begun_at, plan.warn_after, plan.lost_after, now)
        return math.inf if at is None else at

    def _due(self, mailbox: _Mailbox, now: float) -> float:
        """Return when a mailbox is searched next."""
        searches = (
            self._next_search_of(each, self._senders[each.check].plan, now) for each in self._searched_for(mailbox, now)
        )
        return max(mailbox.not_before, min((mailbox.purge_at, *searches)))

    async def _search_mailbox(
        self, mailbox: _Mailbox, wall: Callable[[], float], monotonic: Callable[[], float]
    ) -> None:
        """Search once for all messages that arrive in a mailbox."""
        if not self._is_current(mailbox):
            return
        began, begin = wall(), monotonic()
        purge, targets = mailbox.purge_at <= began, tuple(self._searched_for(mailbox, began))
        try:
            if targets or purge:
                repeated = (each for each in self._messages(mailbox) if each.may_repeat(began))
                search = await self._search(
                    mailbox, (*targets, *repeated), purge_before=began - PURGE_EVERY if purge else None
                )
                ended = wall()
                await self._update_messages(mailbox, search, ended - (monotonic() - begin), ended)
                self._note_search(mailbox, search.error or await self._delete(mailbox, search, wall), wall())
                if purge:
                    mailbox.purge_at = wall() + PURGE_EVERY
        finally:
            mailbox.searching = False
            mailbox.due_at = self._due(mailbox, wall())

    async def _search(
        self, mailbox: _Mailbox, targets: Iterable[Message], *, delete: bool = False, purge_before: float | None = None
    ) -> Search:
        request = SearchRequest(tuple(map(_target, targets)), self._correlation_ids.is_ours, delete, purge_before)
        try:
            return await self._searcher.search(
                mailbox.find, request, timeout=SEARCH_SECONDS, token_timeout=TOKEN_SECONDS
            )
        except Exception as error:  # noqa: BLE001
            _log.exception("internal error", mailbox=mailbox.find.mailbox)
            return Search(error=FinderError(FinderStep.SEARCH, f"{type(error).__name__} inside smtpcheck"))

    async def _delete(self, mailbox: _Mailbox, seen: Search, wall: Callable[[], float]) -> FinderError | None:
        """Delete what was seen and is recorded as found; return why that failed."""
        there = {match.correlation_id.lower() for match in seen.matches}
        deletable = [
            each
            for each in self._messages(mailbox)
            if each.mark in there and each.stage is Stage.DELIVERED and self._senders[each.check].plan.delete
        ]
        if not deletable or not await self._outbox.is_on_disk() or not self._is_current(mailbox):
            return None
        search = await self._search(mailbox, deletable, delete=True)
        gone = {match.correlation_id.lower() for match in search.matches if match.deleted}
        for message in deletable:
            if message.mark in gone:
                self._outbox.keep(replace(message, deleted=True), wall())
                self._changed(message.check)
        return search.error

    def _is_current(self, mailbox: _Mailbox) -> bool:
        """Return whether the mailbox is still searched: a reload may have dropped it, and its credential."""
        return self._mailboxes.get(mailbox.find) is mailbox

    def _messages(self, mailbox: _Mailbox) -> Iterator[Message]:
        for name in mailbox.names & self._senders.keys():
            yield from self.record(name).messages

    def _note_search(self, mailbox: _Mailbox, error: FinderError | None, now: float) -> None:
        """Note how a search ended; after failures it is repeated less and less often."""
        before, mailbox.state = mailbox.state, _finder_state(mailbox.state, error, now)
        mailbox.not_before = now + max(SPACING, wait_after_failures(mailbox.state.failures, error) if error else 0.0)
        if before is not None and (before.error is None) == (error is None):
            return
        if error is not None and mailbox.names:
            _log.info("finder failed", checks=sorted(mailbox.names)[:5], step=error.step, detail=error.detail)
        for name in mailbox.names:
            self._changed(name)

    async def _update_messages(self, mailbox: _Mailbox, search: Search, began: float, ended: float) -> None:
        """Update the messages by what a search has seen and not seen, and report it once it is on disk.

        What was counted and not written would be counted a second time after a kill.
        """
        by_id: dict[str, list[Match]] = {}
        for match in search.matches:
            by_id.setdefault(match.correlation_id.lower(), []).append(match)
        whole = search.error is None
        changes = {name: self._update_messages_of(name, by_id, began, ended, whole=whole) for name in mailbox.names}
        concluded = [pair for pairs in changes.values() for pair in pairs if pair[0].stage is not pair[1].stage]
        if concluded:
            await self._outbox.is_on_disk()
        for before, after in concluded:
            if (sender := self._senders.get(after.check)) is not None:
                self._log_stage(sender.check, before, after)
        for name in (name for name, pairs in changes.items() if pairs):
            self._changed(name)

    def _update_messages_of(
        self, name: str, by_id: Mapping[str, list[Match]], began: float, ended: float, *, whole: bool
    ) -> list[tuple[Message, Message]]:
        """Update the messages of one check after a search; return each that was updated, before and after."""
        sender, updated = self._senders.get(name), list[tuple[Message, Message]]()
        if sender is None:  # it left the configuration during the search
            return updated
        for message in self.record(name).messages:
            seen = by_id.get(message.mark.lower(), [])
            if not (seen or message.is_searched_for(began)) or message.begun_at > began:
                continue
            after = message_state.after_search(message, seen, sender.plan, began=began, ended=ended, whole=whole)
            self._outbox.keep(after, ended)
            updated.append((message, after))
        return updated

    def _log_stage(self, check: Check, before: Message, after: Message) -> None:
        """Log that a message has reached another stage; a delivery is measured."""
        seconds = after.delivery_seconds
        if after.stage is Stage.DELIVERED and seconds is not None:
            self._arrived(check, seconds, after.trace_id)
        _log.info(
            "loopback",
            check=check.name,
            stage=after.stage.value,
            before=before.stage.value,
            message_id=after.message_id,
            seconds=None if seconds is None else round(seconds, 1),
            folder=after.kind.value if after.kind else None,
        )


def _target(message: Message) -> Target:
    reported = message.receipt.message_id if message.receipt else ""
    ids = dict.fromkeys(each for each in (message.message_id, reported) if each)
    return Target(tuple(ids), message.mark, message.begun_at)


def _finder_state(before: FinderState | None, error: FinderError | None, at: float) -> FinderState:
    if error is None:
        return FinderState(at)
    failures, since = (before.failures, before.since) if before else (0, None)
    return FinderState(at, error, failures + 1, at if since is None else since)
