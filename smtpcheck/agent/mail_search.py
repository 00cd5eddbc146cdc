"""The finding half of the loopback: which mailboxes are searched, when, and what a search means for the messages.

Rules of this file:
- All messages that are under way to one mailbox are searched for over one connection. Without any there is no search,
  but once a day left-overs are purged, there and in the sender's Sent Items.
- A message, or a bounce of one, is deleted once it is on disk that it was found, over a second connection: after a kill
  between the two it would be considered lost.
- Bounces arrive in the sender's mailbox. Where that is the one that the messages go to, one search serves both.
- Nothing here waits: `tick` starts what is due as tasks, and those end by their own time limits.
- Times are of the wall clock, as the messages' are; `clock_set` moves them with it.
- A search has not seen what came due while it lasted, and one that failed has seen nothing: both are made up for soon.
"""

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import structlog

from smtpcheck.agent.bounces import after_bounces, after_removal, remembered
from smtpcheck.agent.loopback_intent import Sender
from smtpcheck.agent.schedule import hash_fraction
from smtpcheck.check.kit import Kit
from smtpcheck.loopback import message_state
from smtpcheck.loopback.finder import FinderError, FinderStep, Match, Search, Searcher, SearchRequest, Target
from smtpcheck.loopback.message_state import Message, Record, Stage
from smtpcheck.loopback.plan import Find, Loopback
from smtpcheck.loopback.status import FinderState
from smtpcheck.loopback.timing import LONGEST_WAIT, PURGE_EVERY, SPACING, next_search, wait_after_failures
from smtpcheck.mail.correlation_id import CorrelationIds
from smtpcheck.model.check import Check
from smtpcheck.state.outbox import Outbox

SEARCH_SECONDS = 60.0
"""How long one search may take."""
TOKEN_SECONDS = 10.0
"""How long one search waits for the issuer."""
_NOT_LET_IN = frozenset({FinderStep.TOKEN, FinderStep.LOGIN})
_FIRST_PURGE_SECONDS = 600.0
"""How long after a start, at least, left-overs are looked for."""
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class SearchedMailbox:
    """One mailbox that is searched."""

    find: Find
    names: frozenset[str]
    """The checks whose messages arrive there; none where there are only left-overs to purge."""
    due_at: float
    """When it is searched next (Unix seconds)."""
    purge_at: float
    searched_until: float
    """When the last search began that succeeded; what came due since then is due."""
    not_before: float = 0.0
    """It is not searched earlier, whatever is due."""
    state: FinderState | None = None
    searching: bool = False
    returned: frozenset[str] = frozenset()
    """The checks whose bounces arrive there."""
    foreign: frozenset[str] = frozenset()
    """The bounces there that are known to be others'."""
    required: bool = True
    """Whether a refused login is tried again soon; else the mailbox was only tried, and is again in a day."""


class MailSearch:
    """Searches the mailboxes of all loopbacks, and keeps what becomes of their messages."""

    def __init__(
        self,
        outbox: Outbox,
        correlation_ids: CorrelationIds,
        searcher: Searcher,
        *,
        changed: Callable[[str], object],
        arrived: Callable[[Check, float, str], object],
    ) -> None:
        """Keep messages in the outbox, and search by `searcher`; see `LoopbackService` for the rest."""
        self.mailboxes: dict[Find, SearchedMailbox] = {}
        self.searches: set[asyncio.Task[None]] = set()
        """What is under way."""
        self._outbox = outbox
        self._correlation_ids = correlation_ids
        self._searcher = searcher
        self._changed, self._arrived = changed, arrived
        self._senders: Mapping[str, Sender] = {}
        self._kit: Kit | None = None

    def replace(self, senders: Mapping[str, Sender], kit: Kit, now: float) -> None:
        """Search for the messages of these checks from now on; a mailbox that is known keeps what is known of it."""
        self._senders, self._kit = senders, kit
        self.mailboxes = self._mailboxes_of(now)

    def finder_state(self, plan: Loopback) -> FinderState | None:
        """Return what is known of the finder of a plan; None before its first search."""
        return self._state_of(plan.find)

    def bounces_state(self, plan: Loopback) -> FinderState | None:
        """Return what is known of the search for bounces of a plan; None before the first."""
        return self._state_of(plan.bounces)

    def _state_of(self, find: Find | None) -> FinderState | None:
        mailbox = self.mailboxes.get(find) if find else None
        return mailbox.state if mailbox else None

    def tick(self) -> None:
        """Start the searches that are due."""
        kit = self._kit
        if kit is None:
            return
        now = kit.wall()
        for mailbox in self.mailboxes.values():
            if mailbox.due_at <= now and not mailbox.searching:
                mailbox.searching = True
                task = asyncio.create_task(self._search_mailbox(mailbox, kit), name="search")
                self.searches.add(task)
                task.add_done_callback(self.searches.discard)

    def expect(self, message: Message, now: float) -> None:
        """Search for a message that was handed over as soon as it may have arrived."""
        sender = self._senders.get(message.check)
        if sender is None or not message.is_searched_for(now):
            return
        for find in {sender.plan.find, sender.plan.bounces} - {None}:
            if find is not None and (mailbox := self.mailboxes.get(find)) is not None:
                due_at = max(mailbox.not_before, self._next_search_of(message, sender.plan, now))
                mailbox.due_at = min(mailbox.due_at, due_at)

    def clock_set(self, step: float, now: float) -> None:
        """Move all that is due by the seconds by which the wall clock was set; the messages have been moved.

        What was noted by the new clock already is due no later than it would have been.
        """
        for mailbox in self.mailboxes.values():
            mailbox.purge_at = min(mailbox.purge_at + step, max(mailbox.purge_at, now + PURGE_EVERY))
            longest = LONGEST_WAIT if mailbox.required else PURGE_EVERY
            mailbox.not_before = min(mailbox.not_before + step, now + longest)
            mailbox.searched_until += step
            mailbox.due_at = self._due(mailbox, now)

    async def all_ended(self) -> None:
        """Wait until no mailbox is searched; what was found has been deleted by then, where that is wanted."""
        if self.searches:
            await asyncio.wait(self.searches)

    async def cancel(self) -> None:
        """Cancel the searches under way, for they can be repeated."""
        left = tuple(self.searches)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    # -- which mailboxes, and when ------------------------------------------------------------------------------------

    def _mailboxes_of(self, now: float) -> dict[Find, SearchedMailbox]:
        """Return the mailboxes to search; one that is known keeps what is known of it."""
        names: dict[Find, set[str]] = {}
        returned: dict[Find, set[str]] = {}
        purged: dict[Find, str] = {}
        required: set[Find] = set()
        for name, sender in self._senders.items():
            plan = sender.plan
            if plan.find is not None:
                names.setdefault(plan.find, set()).add(name)
                required.add(plan.find)
            if plan.bounces is not None:
                returned.setdefault(plan.bounces, set()).add(name)
                required |= {plan.bounces} if plan.bounces_required else set()
            for place in plan.purged_mailboxes(sender.check):
                purged.setdefault(place, name)
        boxes = {}
        for find in names.keys() | returned.keys() | purged.keys():
            known = self.mailboxes.get(find)
            first_purge = now + _FIRST_PURGE_SECONDS * (1 + hash_fraction(purged[find])) if find in purged else math.inf
            boxes[find] = mailbox = known or SearchedMailbox(find, frozenset(), math.inf, first_purge, now)
            mailbox.names = frozenset(names.get(find, ()))
            if mailbox.returned != frozenset(returned.get(find, ())):
                mailbox.returned, mailbox.foreign = frozenset(returned.get(find, ())), frozenset()
            mailbox.required = find in required or find not in returned
            under_way = (*self._searched_for(mailbox, now), *self._returnable(mailbox, now))
            mailbox.due_at = now if known is None and under_way else self._due(mailbox, now)
        return boxes

    def _searched_for(self, mailbox: SearchedMailbox, now: float) -> Iterator[Message]:
        return (message for message in self._messages(mailbox.names) if message.is_searched_for(now))

    def _returnable(self, mailbox: SearchedMailbox, now: float) -> Iterator[Message]:
        return (message for message in self._messages(mailbox.returned) if message.may_be_returned(now))

    def _next_search_of(self, message: Message, plan: Loopback, now: float) -> float:
        at = next_search(message.begun_at, plan.warn_after, plan.lost_after, now)
        return math.inf if at is None else at

    def _due(self, mailbox: SearchedMailbox, now: float) -> float:
        """Return when a mailbox is searched next."""
        since = min(mailbox.searched_until, now)
        under_way = (*self._searched_for(mailbox, now), *self._returnable(mailbox, now))
        searches = (self._next_search_of(each, self._senders[each.check].plan, since) for each in under_way)
        return max(mailbox.not_before, min((mailbox.purge_at, *searches)))

    # -- one search ---------------------------------------------------------------------------------------------------

    async def _search_mailbox(self, mailbox: SearchedMailbox, kit: Kit) -> None:
        """Search once for all messages that arrive in a mailbox, and for the bounces that do."""
        if not self._is_current(mailbox):
            return
        began, begin = kit.wall(), kit.monotonic()
        purge, targets = mailbox.purge_at <= began, tuple(self._searched_for(mailbox, began))
        returnable = tuple(self._returnable(mailbox, began))
        try:
            if targets or returnable or purge:
                repeated = (each for each in self._messages(mailbox.names) if each.may_repeat(began))
                request = SearchRequest(
                    tuple(map(_target, (*targets, *repeated))),
                    self._correlation_ids.is_ours,
                    delete=False,
                    purge_before=began - PURGE_EVERY if purge else None,
                    returned=tuple(map(self._returned_target, returnable)),
                    foreign=mailbox.foreign,
                )
                search = await self._search(mailbox, request)
                began = kit.wall() - (kit.monotonic() - begin)
                if search.error is None:
                    mailbox.searched_until = began
                await self._update_messages(mailbox, search, began, kit)
                self._note_search(mailbox, search.error or await self._delete(mailbox, search, kit.wall), kit.wall())
                if purge and search.error is None:
                    mailbox.purge_at = kit.wall() + PURGE_EVERY
        finally:
            mailbox.searching = False
            mailbox.due_at = self._due(mailbox, kit.wall())

    async def _search(self, mailbox: SearchedMailbox, request: SearchRequest) -> Search:
        try:
            return await self._searcher.search(
                mailbox.find, request, timeout=SEARCH_SECONDS, token_timeout=TOKEN_SECONDS
            )
        except Exception as error:  # noqa: BLE001
            _log.exception("internal error", mailbox=mailbox.find.mailbox)
            return Search(error=FinderError(FinderStep.SEARCH, f"{type(error).__name__} inside smtpcheck"))

    async def _delete(self, mailbox: SearchedMailbox, seen: Search, wall: Callable[[], float]) -> FinderError | None:
        """Delete what was seen and is recorded as found; return why that failed."""
        there = {match.correlation_id.lower() for match in seen.matches}
        deletable = [
            each
            for each in self._messages(mailbox.names)
            if each.mark in there and each.stage is Stage.DELIVERED and self._senders[each.check].plan.delete
        ]
        bounces = self._deletable_bounces(mailbox, seen)
        if not (deletable or bounces) or not await self._outbox.is_on_disk() or not self._is_current(mailbox):
            return None
        request = SearchRequest(
            tuple(map(_target, deletable)), self._correlation_ids.is_ours, removals=tuple(sorted(bounces))
        )
        search = await self._search(mailbox, request)
        gone = {match.correlation_id.lower() for match in search.matches if match.deleted}
        returned = {bounces[key].lower() for key in search.removed if key in bounces}
        for name in mailbox.names | mailbox.returned:
            for message in self._record(name).messages:
                after = replace(message, deleted=True) if message.mark.lower() in gone else message
                after = after_removal(after) if message.mark.lower() in returned else after
                if after is not message and self._is_remembered(message):
                    self._outbox.keep(after, wall())
                    self._changed(name)
        return search.error

    def _deletable_bounces(self, mailbox: SearchedMailbox, seen: Search) -> dict[str, str]:
        """Return the correlation id of each bounce that is recorded and to be deleted, by the bounce's key."""
        kept = {
            message.mark.lower()
            for message in self._messages(mailbox.returned)
            if (message.bounce or message.delay_notice) and self._senders[message.check].plan.delete
        }
        return {each.key: each.correlation_id for each in seen.bounces if each.correlation_id.lower() in kept}

    def _record(self, name: str) -> Record:
        return self._outbox.records.get(name) or Record()

    def _is_remembered(self, message: Message) -> bool:
        """Return whether the record still has a message; one that it has dropped would count again."""
        return any(each.slot == message.slot for each in self._record(message.check).messages)

    def _is_current(self, mailbox: SearchedMailbox) -> bool:
        """Return whether the mailbox is still searched: a reload may have dropped it, and its credential."""
        return self.mailboxes.get(mailbox.find) is mailbox

    def _messages(self, names: frozenset[str]) -> Iterator[Message]:
        for name in names & self._senders.keys():
            yield from self._record(name).messages

    def _note_search(self, mailbox: SearchedMailbox, error: FinderError | None, now: float) -> None:
        """Note how a search ended; after failures it is repeated less and less often."""
        before, mailbox.state = mailbox.state, _finder_state(mailbox.state, error, now)
        wait = wait_after_failures(mailbox.state.failures, error) if error else 0.0
        if error is not None and error.step in _NOT_LET_IN and not mailbox.required:
            wait = PURGE_EVERY
        mailbox.not_before = now + max(SPACING, wait)
        if before is not None and (before.error is None) == (error is None):
            return
        names = mailbox.names | mailbox.returned
        if error is not None and names:
            what = "finder failed" if mailbox.required else "bounces cannot be read"
            _log.info(what, checks=sorted(names)[:5], step=error.step, detail=error.detail)
        for name in names:
            self._changed(name)

    async def _update_messages(self, mailbox: SearchedMailbox, search: Search, began: float, kit: Kit) -> None:
        """Update the messages by what a search has seen and not seen, and report it once it is on disk.

        What was counted and not written would be counted a second time after a kill.
        """
        ended = kit.wall()
        by_id: dict[str, list[Match]] = {}
        for match in search.matches:
            by_id.setdefault(match.correlation_id.lower(), []).append(match)
        whole = search.error is None
        changes = {name: self._update_messages_of(name, by_id, began, ended, whole=whole) for name in mailbox.names}
        for name in mailbox.returned:
            changes.setdefault(name, []).extend(self._update_returned(name, search, began, kit))
        mailbox.foreign = remembered(mailbox.foreign, search.foreign)
        concluded = [pair for pairs in changes.values() for pair in pairs if pair[0].stage is not pair[1].stage]
        if concluded:
            await self._outbox.is_on_disk()
        for before, after in concluded:
            if (sender := self._senders.get(after.check)) is not None:
                self._log_stage(sender.check, before, after)
        for name in (name for name, pairs in changes.items() if pairs):
            self._changed(name)
        await self._outbox.note_receivers(after for _, after in concluded)

    def _update_returned(self, name: str, search: Search, began: float, kit: Kit) -> list[tuple[Message, Message]]:
        """Update the messages of one check by the bounces that a search has seen; return what was updated."""
        sender, updated = self._senders.get(name), list[tuple[Message, Message]]()
        if sender is None:  # it left the configuration during the search
            return updated
        ended = kit.wall()
        for message in self._record(name).messages:
            seen = [each for each in search.bounces if each.correlation_id.lower() == message.mark.lower()]
            after = after_bounces(message, seen, sender, kit, ended)
            waits = sender.plan.find is None and search.error is None and message.begun_at <= began
            if after is message and waits and message.is_searched_for(began):
                after = message_state.after_missing_bounce(message, began)
            if after is not message and self._is_remembered(message):
                self._outbox.keep(after, ended)
                updated.append((message, after))
        return updated

    def _returned_target(self, message: Message) -> Target:
        return replace(_target(message), recipient=self._senders[message.check].plan.recipient)

    def _update_messages_of(
        self, name: str, by_id: Mapping[str, list[Match]], began: float, ended: float, *, whole: bool
    ) -> list[tuple[Message, Message]]:
        """Update the messages of one check after a search; return each that was updated, before and after."""
        sender, updated = self._senders.get(name), list[tuple[Message, Message]]()
        if sender is None:  # it left the configuration during the search
            return updated
        for message in self._record(name).messages:
            seen = by_id.get(message.mark.lower(), [])
            if not (seen or message.is_searched_for(began)) or message.begun_at > began:
                continue
            if not self._is_remembered(message):  # it was dropped for the one before
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
