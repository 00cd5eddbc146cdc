"""The finding half of the loopback: which mailboxes are searched, when, and what a search means for the messages.

Rules of this file:
- All messages that are under way to one mailbox are searched for over one connection. Without any there is no search,
  but once a day left-overs are purged, there and in the sender's Sent Items.
- A message is deleted once it is on disk that it was found, over a second connection: after a kill between the two it
  would be considered lost.
- Nothing here waits: `tick` starts what is due as tasks, and those end by their own time limits.
- Times are of the wall clock, as the messages' are; `clock_set` moves them with it.
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import structlog

from smtpcheck.agent.loopback_intent import Sender
from smtpcheck.agent.schedule import hash_fraction
from smtpcheck.check.kit import Kit
from smtpcheck.loopback import message_state
from smtpcheck.loopback.finder import FinderError, FinderStep, Match, Search, Searcher, SearchRequest, Target
from smtpcheck.loopback.message_state import Message, Record, Stage
from smtpcheck.loopback.plan import Find, Loopback
from smtpcheck.loopback.status import FinderState
from smtpcheck.loopback.timing import PURGE_EVERY, SPACING, next_search, wait_after_failures
from smtpcheck.mail.correlation_id import CorrelationIds
from smtpcheck.model.check import Check
from smtpcheck.state.outbox import Outbox

SEARCH_SECONDS = 60.0
"""How long one search may take."""
TOKEN_SECONDS = 10.0
"""How long one search waits for the issuer."""
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
    not_before: float = 0.0
    """It is not searched earlier, whatever is due."""
    state: FinderState | None = None
    searching: bool = False


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

    def replace(self, senders: Mapping[str, Sender], now: float) -> None:
        """Search for the messages of these checks from now on; a mailbox that is known keeps what is known of it."""
        self._senders = senders
        self.mailboxes = self._mailboxes_of(now)

    def finder_state(self, plan: Loopback) -> FinderState | None:
        """Return what is known of the finder of a plan; None before its first search."""
        mailbox = self.mailboxes.get(plan.find) if plan.find else None
        return mailbox.state if mailbox else None

    def tick(self, kit: Kit) -> None:
        """Start the searches that are due."""
        now = kit.wall()
        for mailbox in self.mailboxes.values():
            if mailbox.due_at <= now and not mailbox.searching:
                mailbox.searching = True
                task = asyncio.create_task(self._search_mailbox(mailbox, kit.wall, kit.monotonic), name="search")
                self.searches.add(task)
                task.add_done_callback(self.searches.discard)

    def expect(self, message: Message, now: float) -> None:
        """Search for a message that was handed over as soon as it may have arrived."""
        sender = self._senders.get(message.check)
        mailbox = self.mailboxes.get(sender.plan.find) if sender and sender.plan.find else None
        if sender is not None and mailbox is not None and message.is_searched_for(now):
            due_at = max(mailbox.not_before, self._next_search_of(message, sender.plan, now))
            mailbox.due_at = min(mailbox.due_at, due_at)

    def clock_set(self, step: float) -> None:
        """Move all that is due by the seconds by which the wall clock was set."""
        for mailbox in self.mailboxes.values():
            mailbox.due_at += step
            mailbox.purge_at += step
            mailbox.not_before += step

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
        purged: dict[Find, str] = {}
        for name, sender in self._senders.items():
            if (find := sender.plan.find) is None:
                continue
            names.setdefault(find, set()).add(name)
            for place in sender.plan.purged_mailboxes(sender.check):
                purged.setdefault(place, name)
        boxes = {}
        for find in names.keys() | purged.keys():
            known = self.mailboxes.get(find)
            first_purge = now + _FIRST_PURGE_SECONDS * (1 + hash_fraction(purged[find])) if find in purged else math.inf
            boxes[find] = mailbox = known or SearchedMailbox(find, frozenset(), math.inf, first_purge)
            mailbox.names = frozenset(names.get(find, ()))
            mailbox.due_at = now if known is None and any(self._searched_for(mailbox, now)) else self._due(mailbox, now)
        return boxes

    def _searched_for(self, mailbox: SearchedMailbox, now: float) -> Iterator[Message]:
        return (message for message in self._messages(mailbox) if message.is_searched_for(now))

    def _next_search_of(self, message: Message, plan: Loopback, now: float) -> float:
        at = next_search(message.begun_at, plan.warn_after, plan.lost_after, now)
        return math.inf if at is None else at

    def _due(self, mailbox: SearchedMailbox, now: float) -> float:
        """Return when a mailbox is searched next."""
        searches = (
            self._next_search_of(each, self._senders[each.check].plan, now) for each in self._searched_for(mailbox, now)
        )
        return max(mailbox.not_before, min((mailbox.purge_at, *searches)))

    # -- one search ---------------------------------------------------------------------------------------------------

    async def _search_mailbox(
        self, mailbox: SearchedMailbox, wall: Callable[[], float], monotonic: Callable[[], float]
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
        self,
        mailbox: SearchedMailbox,
        targets: Iterable[Message],
        *,
        delete: bool = False,
        purge_before: float | None = None,
    ) -> Search:
        request = SearchRequest(tuple(map(_target, targets)), self._correlation_ids.is_ours, delete, purge_before)
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

    def _record(self, name: str) -> Record:
        return self._outbox.records.get(name) or Record()

    def _is_current(self, mailbox: SearchedMailbox) -> bool:
        """Return whether the mailbox is still searched: a reload may have dropped it, and its credential."""
        return self.mailboxes.get(mailbox.find) is mailbox

    def _messages(self, mailbox: SearchedMailbox) -> Iterator[Message]:
        for name in mailbox.names & self._senders.keys():
            yield from self._record(name).messages

    def _note_search(self, mailbox: SearchedMailbox, error: FinderError | None, now: float) -> None:
        """Note how a search ended; after failures it is repeated less and less often."""
        before, mailbox.state = mailbox.state, _finder_state(mailbox.state, error, now)
        mailbox.not_before = now + max(SPACING, wait_after_failures(mailbox.state.failures, error) if error else 0.0)
        if before is not None and (before.error is None) == (error is None):
            return
        if error is not None and mailbox.names:
            _log.info("finder failed", checks=sorted(mailbox.names)[:5], step=error.step, detail=error.detail)
        for name in mailbox.names:
            self._changed(name)

    async def _update_messages(self, mailbox: SearchedMailbox, search: Search, began: float, ended: float) -> None:
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
        for message in self._record(name).messages:
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
