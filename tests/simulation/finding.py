"""The finders of a world: mailboxes in memory, at the interface `Finder`."""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from random import Random
from typing import Any

from smtpcheck.loopback.finder import Finder, FinderError, FinderStep, FolderKind, Match, Search, SearchRequest
from smtpcheck.loopback.plan import Find
from smtpcheck.loopback.search import Finders
from smtpcheck.model.check import Server
from smtpcheck.secrets.secret import Secret
from tests.simulation.clocks import EPOCH
from tests.simulation.faults import Conditions
from tests.simulation.issuer import Issuer
from tests.simulation.loop import START, VirtualLoop
from tests.simulation.mail import Ledger, Searched, Sent


class Mailboxes:
    """What all finders share."""

    def __init__(self, loop: VirtualLoop, conditions: Conditions, ledger: Ledger, issuers: dict[str, Issuer]) -> None:
        self.loop, self.conditions, self.ledger, self.issuers = loop, conditions, ledger, issuers

    def there(self, mailbox: str) -> list[Sent]:
        """Return what is in a mailbox now."""
        return [
            sent
            for sent in self.ledger.messages.get(mailbox, ())
            if sent.arrives_at <= self.loop.virtual and not sent.gone
        ]


class SimulatedFinder(Finder):
    """Searches one mailbox."""

    def __init__(self, mailboxes: Mailboxes, mailbox: str, chance: Random) -> None:
        self._mailboxes, self._mailbox, self._chance = mailboxes, mailbox, chance

    async def search(self, request: SearchRequest, token: Secret, *, timeout: float) -> Search:  # noqa: ASYNC109
        began = self._mailboxes.loop.virtual
        search = await self._search(request, token, longest=timeout)
        targets = frozenset(target.correlation_id for target in request.targets)
        ended = self._mailboxes.loop.virtual
        done = Searched(began, ended, search.error is None, targets)
        self._mailboxes.ledger.searches[self._mailbox].append(done)
        return search

    async def _search(self, request: SearchRequest, token: Secret, *, longest: float) -> Search:
        of = self._mailboxes.conditions.of
        if of("finder silent", self._mailbox) or of("no network", "agent"):
            await asyncio.sleep(longest)
            return Search(error=FinderError(FinderStep.SEARCH, "no answer"))
        is_slow = self._chance.random() < 0.1
        await asyncio.sleep(self._chance.uniform(5.0, 50.0) if is_slow else self._chance.uniform(0.05, 1.5))
        if not any(issuer.takes(token.reveal(), self._mailbox) for issuer in self._mailboxes.issuers.values()):
            self._mailboxes.conditions.once("finder token refused", self._mailbox)
            return Search(error=FinderError(FinderStep.LOGIN, "the token does not hold", "AUTHENTICATIONFAILED"))
        if of("finder refused", self._mailbox):
            return Search(error=FinderError(FinderStep.LOGIN, "login refused", "AUTHENTICATIONFAILED"))
        matches = tuple(match for sent in self._asked(request) for match in self._matches(sent, request.delete))
        if of("finder failing", self._mailbox):
            return Search(matches[:1], FinderError(FinderStep.SEARCH, "the server failed"))
        return Search(matches, folders=("INBOX", "Junk"))

    def _asked(self, request: SearchRequest) -> list[Sent]:
        wanted = {target.correlation_id.lower() for target in request.targets}
        there = self._mailboxes.there(self._mailbox)
        if request.purge_before is not None:
            for sent in there:
                if _arrival(sent) < request.purge_before and request.is_ours(sent.correlation_id):
                    sent.gone = True
        return [sent for sent in there if sent.correlation_id.lower() in wanted]

    def _matches(self, sent: Sent, delete: bool) -> list[Match]:
        if delete:
            sent.gone = True
        kind = FolderKind.JUNK if sent.junk else FolderKind.INBOX
        return [
            Match(
                *(sent.correlation_id, "Junk" if sent.junk else "INBOX", kind, _arrival(sent)),
                headers=(("Received", f"from mail by mx id {sent.number}.{copy}; copy {copy}"),),
                deleted=delete,
            )
            for copy in range(sent.copies)
        ]


def _arrival(sent: Sent) -> float:
    """Return when a message arrived by the mailbox's own clock (Unix seconds)."""
    return EPOCH + sent.arrives_at - START


class SimulatedFinders(Finders):
    """The real order of tokens, slots and places, and finders in memory."""

    def __init__(self, mailboxes: Mailboxes, chance: Random, **parts: Any) -> None:
        super().__init__(**parts)
        self._mailboxes, self._chance = mailboxes, chance

    def _finder(self, find: Find, server: Server) -> tuple[Finder, AbstractAsyncContextManager[None]]:
        return SimulatedFinder(self._mailboxes, find.mailbox, self._chance), nullcontext()
