"""All finders of a configuration: gets the token, waits for the mailbox's slot, and lets the right finder search.

Rules of this file:
- A finder's token comes from the broker, as every other one: one request for all who need the same token.
- A mailbox is searched by one connection at a time. The lock is not that of the mailbox's checks: a
  search that hangs delays none of them, and no provider counts its connection as one of SMTP.
- IMAP is spoken in threads, of which there are few; waiting for one counts in no time limit, and holds neither the
  mailbox nor a place among the open connections: no check waits for a search that has not begun.
- A search waits for its mailbox and its connection no longer than it may take: what holds them, as a process that was
  stopped, delays no other search for ever.
- A finder that cannot get in is an error of its own, which says nothing of the mail.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from typing import Any

from smtpcheck.limits.api_concurrency import ApiConcurrency
from smtpcheck.limits.connection_limit import ConnectionLimit, NoSlotError
from smtpcheck.loopback.finder import Finder, FinderError, FinderStep, Search, Searcher, SearchRequest
from smtpcheck.loopback.plan import Find, FindVia
from smtpcheck.model.check import Server
from smtpcheck.model.report import TokenError
from smtpcheck.network.network import Network
from smtpcheck.oauth.broker import TokenBroker
from smtpcheck.oauth.credential import Credential

_LONGEST_DETAIL = 300


class Finders(Searcher):
    """Searches mailboxes. Belongs to one event loop."""

    def __init__(
        self,
        credentials: Mapping[str, Credential],
        *,
        tokens: TokenBroker,
        connections: ConnectionLimit,
        network: Network,
        apis: ApiConcurrency[Any] | None = None,
        threads: int = 8,
    ) -> None:
        """Serve the credentials by their names; `network` has been built for the server of every `Find` too.

        `apis` are the limits that searches by Graph share with the checks that send by it.
        """
        self._apis = apis or ApiConcurrency()
        self._tokens = tokens
        self._connections = connections
        self._places = asyncio.Semaphore(threads)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="imap")
        self.replace(credentials, network)

    def replace(self, credentials: Mapping[str, Credential], network: Network) -> None:
        """Serve these credentials from now on; searches under way end by themselves."""
        self._credentials = credentials
        self._network = network

    async def search(
        self,
        find: Find,
        request: SearchRequest,
        *,
        timeout: float,  # noqa: ASYNC109
        token_timeout: float,
    ) -> Search:
        """Search for all messages of a request; see `Searcher`."""
        if find.via is FindVia.NONE or find.server is None:
            raise ValueError("there is nothing to search")
        if request.is_empty:
            return Search()
        finder, place = self._finder(find, find.server)  # of the settings that the search began with
        answer = await self._tokens.token(find.credential, find.mailbox, timeout=token_timeout, scope=find.scope)
        if isinstance(answer, TokenError):
            return Search(error=_token_error(answer))
        try:
            async with place, self._connections.slot(f"search of {find.mailbox}", timeout):
                return await finder.search(request, answer.token, timeout=timeout)
        except NoSlotError as error:
            return Search(error=FinderError(FinderStep.AGENT, f"no slot within {timeout:.0f} s: {error}"))

    def close(self) -> None:
        """Begin nothing more; a search under way ends within its own time limit."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _finder(self, find: Find, server: Server) -> tuple[Finder, AbstractAsyncContextManager[None]]:
        """Return what searches, and the place that it needs."""
        if find.via is FindVia.GRAPH:
            from smtpcheck.loopback.graph.finder import GraphFinder  # noqa: PLC0415 - for those who have Graph

            context, proxy = self._network.contexts.verified(server), self._credentials[find.credential].proxy
            finder = GraphFinder(find.graph, find.mailbox, context=context, proxy=proxy)
            return finder, self._apis.slot(server.host, find.mailbox)
        from smtpcheck.loopback.imap.finder import ImapFinder  # noqa: PLC0415 - IMAPClient is for those who have IMAP

        by_imap = ImapFinder(
            *(server, find.user or find.mailbox, find.mechanism),
            network=self._network,
            threads=self._pool,
            password=find.password,
        )
        return by_imap, self._places


def _token_error(error: TokenError) -> FinderError:
    detail = (error.description or error.body or str(error.kind))[:_LONGEST_DETAIL]
    return FinderError(FinderStep.TOKEN, detail, error.error, error.retry_after, error)
