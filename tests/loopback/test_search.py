"""A search gets its token from the broker, waits for its mailbox's turn, and is made by the right finder."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from smtpcheck.limits.connection_limit import ConnectionLimit
from smtpcheck.loopback.finder import FinderStep, Search, SearchRequest, Target
from smtpcheck.loopback.graph.finder import GraphFinder
from smtpcheck.loopback.imap.finder import ImapFinder
from smtpcheck.loopback.plan import Find, FindVia
from smtpcheck.loopback.search import Finders
from smtpcheck.model.check import Security, Server
from smtpcheck.model.report import TokenErrorKind
from smtpcheck.network.network import Network
from smtpcheck.oauth.broker import TokenBroker
from smtpcheck.oauth.static_token import StaticToken
from smtpcheck.secrets.secret import Secret
from tests.worlds.waiting import HANG_SECONDS

PROBE = "probe@example.org"
SERVER = Server("imap.example.org", 993, Security.IMPLICIT, server_name="imap.example.org", ehlo="")
BY_IMAP = Find(FindVia.IMAP, PROBE, "ready", server=SERVER)
BY_GRAPH = Find(FindVia.GRAPH, PROBE, "ready", server=SERVER, graph="https://graph.example.org")
REQUEST = SearchRequest((Target(("<a@x>",), "a", 0.0),), lambda _: True)


@dataclass
class Searches:
    """What was searched, in place of any server."""

    tokens: list[Secret] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    free: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def search(self, request: SearchRequest, token: Secret, *, timeout: float) -> Search:  # noqa: ASYNC109
        self.tokens.append(token)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.begun.release()
        await self.free.wait()
        self.at_once -= 1
        return Search(folders=("INBOX",))


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> Searches:
    searches = Searches()
    for kind in (ImapFinder, GraphFinder):
        monkeypatch.setattr(kind, "search", searches.search)
    return searches


@pytest.fixture
def connections() -> ConnectionLimit:
    return ConnectionLimit(10)


@pytest.fixture
async def finders(connections: ConnectionLimit) -> AsyncIterator[Finders]:
    credentials = {
        "ready": StaticToken.model_validate({"from": {"value": "the token"}}),
        "gone": StaticToken.model_validate({"from": {"file": "/nowhere/token"}}),
    }
    tokens, network = TokenBroker(credentials), Network.for_servers([SERVER])
    made = Finders(credentials, tokens=tokens, connections=connections, network=network, threads=2)
    yield made
    made.close()
    network.close()
    await tokens.close()


async def _search(finders: Finders, find: Find, request: SearchRequest = REQUEST) -> Search:
    return await finders.search(find, request, timeout=5, token_timeout=5)


@pytest.mark.parametrize("find", [BY_IMAP, BY_GRAPH])
async def test_a_search_is_made_with_the_credentials_token(finders: Finders, searches: Searches, find: Find) -> None:
    searches.free.set()
    assert await _search(finders, find) == Search(folders=("INBOX",))
    assert searches.tokens == [Secret("the token")]


async def test_without_a_token_nothing_is_searched_and_the_issuers_error_is_told(
    finders: Finders, searches: Searches
) -> None:
    found = await _search(finders, Find(FindVia.IMAP, PROBE, "gone", server=SERVER))
    assert found.error is not None and found.error.token_error is not None
    assert (found.error.step, found.error.token_error.kind) == (FinderStep.TOKEN, TokenErrorKind.SECRET_UNREADABLE)
    assert "/nowhere/token" in found.error.detail
    assert searches.tokens == []


@pytest.mark.parametrize("find", [BY_IMAP, BY_GRAPH])
async def test_a_mailbox_is_searched_by_one_connection_at_a_time(
    finders: Finders, searches: Searches, connections: ConnectionLimit, find: Find
) -> None:
    others = replace(find, mailbox=PROBE.upper())
    tasks = [asyncio.create_task(_search(finders, each)) for each in (find, others)]
    await searches.begun.acquire()
    while next(iter(connections._mailboxes.values()))[1] < 2:  # noqa: ASYNC110
        await asyncio.sleep(0)
    searches.free.set()
    await asyncio.gather(*tasks)
    assert (searches.most_at_once, len(searches.tokens)) == (1, 2)


@pytest.mark.parametrize("find", [BY_IMAP, BY_GRAPH])
async def test_a_search_that_hangs_delays_no_check_of_its_mailbox(
    finders: Finders, searches: Searches, connections: ConnectionLimit, find: Find
) -> None:
    searching = asyncio.create_task(_search(finders, find))
    await searches.begun.acquire()
    async with asyncio.timeout(5), connections.slot(PROBE):
        assert not searching.done()
    searches.free.set()
    await searching


async def test_a_search_whose_mailbox_is_never_free_ends_in_its_time_and_gives_its_thread_back(
    finders: Finders, searches: Searches, connections: ConnectionLimit
) -> None:
    """As where a process that was stopped holds the lock; it is the agent's own shortage, not the mailbox's fault."""
    searches.free.set()
    async with connections.slot(f"search of {PROBE}"):
        for _ in range(3):
            found = await finders.search(BY_IMAP, REQUEST, timeout=0.05, token_timeout=HANG_SECONDS)
            assert found.error
            assert (found.error.step, "not ended" in found.error.detail) == (FinderStep.AGENT, True)
    assert (await _search(finders, BY_IMAP)).error is None


async def test_searches_by_imap_are_no_more_at_once_than_there_are_threads(
    finders: Finders, searches: Searches
) -> None:
    finds = [Find(FindVia.IMAP, f"{number}@example.org", "ready", server=SERVER) for number in range(5)]
    tasks = [asyncio.create_task(_search(finders, find)) for find in finds]
    for _ in range(2):
        await searches.begun.acquire()
    searches.free.set()
    await asyncio.gather(*tasks)
    assert (searches.most_at_once, len(searches.tokens)) == (2, 5)


async def test_a_search_that_waits_for_a_thread_keeps_nobody_from_its_mailbox(
    finders: Finders, searches: Searches, connections: ConnectionLimit
) -> None:
    """Thousands may wait after a start; the checks go on meanwhile."""
    finds = [Find(FindVia.IMAP, f"{number}@example.org", "ready", server=SERVER) for number in range(20)]
    tasks = [asyncio.create_task(_search(finders, find)) for find in finds]
    async with asyncio.timeout(HANG_SECONDS):
        for _ in range(2):
            await searches.begun.acquire()
        while len(finders._places._waiters or ()) < len(finds) - 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        async with connections.slot("19@example.org"):
            assert searches.at_once == 2
    searches.free.set()
    await asyncio.gather(*tasks)


async def test_nothing_to_look_for_opens_no_connection(finders: Finders, searches: Searches) -> None:
    assert await _search(finders, BY_IMAP, SearchRequest((), lambda _: True)) == Search()
    assert searches.tokens == []


async def test_no_finder_is_no_way_to_search(finders: Finders) -> None:
    with pytest.raises(ValueError, match="nothing to search"):
        await _search(finders, Find(FindVia.NONE))
