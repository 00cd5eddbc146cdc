"""What `validate` announces is never exceeded, whatever goes wrong: counted at the servers."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from smtpcheck.agent.agent import Agent
from smtpcheck.config import Settings, load, traffic_of
from smtpcheck.loopback.graph.limits import DELETIONS, LISTS
from smtpcheck.sandbox import replies
from smtpcheck.sandbox.directory import IssuerFailure
from smtpcheck.sandbox.graph_mail import Asked
from smtpcheck.sandbox.mail_store import Delivery
from smtpcheck.sandbox.scenario import CONTOSO, CONTOSO_MAIL, DOMAIN, RECIPIENT, Finding, Registration, Scenario
from smtpcheck.sandbox.world import World
from tests.worlds.agents import running
from tests.worlds.waiting import until

SECONDS = 8.0


def loopback(name: str, **keys: object) -> dict[str, object]:
    """Return the keys of a check that sends each second, and runs as often."""
    plan = {"to": f"probe-{name}@{DOMAIN}", "every": "1s", "warn_after": "2s", "lost_after": "3s", "max_per_hour": 120}
    return {"interval": "1s", "loopback": {**plan, **keys}}


def sends(name: str, **keys: object) -> Scenario:
    return Scenario(name, "Sends.", check=loopback(name), registration=CONTOSO_MAIL, **keys)  # type: ignore[arg-type]


FAULTS = {
    "all is well": (sends("a"), sends("b"), Scenario("plain", "Runs.", check={"interval": "1s"})),
    "mail is lost": (sends("a", delivery=Delivery(copies=0)), sends("b", delivery=Delivery(copies=0))),
    "mail arrives twice": (sends("a", delivery=Delivery(copies=2)),),
    "logins are refused": (sends("a", refuses={"AUTH": replies.SMTP_AUTH_DISABLED_TENANT}),),
    "messages are refused": (sends("a", refuses={"DATA": replies.MAILBOX_LOGON_FAILURE}),),
    "connections are too many": (sends("a", connections=0), sends("b", connections=0)),
    "the finder may not log in": (
        Scenario("a", "Sends.", check=loopback("a"), registration=CONTOSO),
        replace(sends("b"), finding=Finding(closed=True)),
    ),
    "secrets are wrong": (
        Scenario(
            "a", "Sends.", check=loopback("a"), registration=Registration("contoso-wrong-secret", wrong_secret=True)
        ),
    ),
    "the issuer fails": (
        Scenario(
            "a",
            "Sends.",
            check=loopback("a"),
            registration=Registration("contoso-down", failure=IssuerFailure(html=503)),
        ),
    ),
    "a check of depth send stands beside": (
        sends("a"),
        Scenario("c", "Sends.", check={"depth": "send", "recipient": RECIPIENT, "interval": "15m"}),
    ),
}


def by_graph(scenario: Scenario) -> Scenario:
    """Return the scenario with messages that are found by Graph, so few that one request can ask for them."""
    plan = scenario.check.get("loopback")
    if not isinstance(plan, Mapping):
        return scenario
    check = {**scenario.check, "loopback": {**plan, "every": "2s"}}
    return replace(scenario, check=check, finding=replace(scenario.finding, via="graph"))


@dataclass(frozen=True)
class GraphFault:
    """What goes wrong at Graph."""

    graph: Mapping[str, object] = field(default_factory=dict)
    """What is set at the sandbox's `GraphMail`."""
    scenarios: tuple[Scenario, ...] = (sends("a"), sends("b"))
    tries: int = 1
    """How often each request comes at most."""


READS = Registration("contoso-reads", roles=("SMTP.SendAsApp",), graph_roles=("Mail.Read",))
GRAPH_FAULTS = {name: GraphFault(scenarios=scenarios) for name, scenarios in FAULTS.items()} | {
    "Graph throttles everything": GraphFault({"throttled": 10**6, "retry_after": 0}, tries=2),
    "Graph throttles everything for a while": GraphFault({"throttled": 10**6, "retry_after": 60}),
    "Graph throttles each request once": GraphFault({"throttles_each": True, "retry_after": 0}, tries=2),
    "Graph shows nothing": GraphFault({"lag": 3600.0}),
    "nothing is deleted for good": GraphFault({"permanent": False}),
    "the application may only read": GraphFault(scenarios=(replace(sends("a"), registration=READS),)),
}


UNSEARCHED = {
    "logins are refused",
    "messages are refused",
    "connections are too many",
    "secrets are wrong",
    "the issuer fails",
}
"""The faults with which no message is sent, so that none is searched for."""


@dataclass(frozen=True)
class Seen:
    """What the servers have counted."""

    connections: int
    messages: int
    tokens: int
    searches: int


def seen(world: World) -> Seen:
    return Seen(
        connections=world.exchange.connections.total(),
        messages=len(world.exchange.messages),
        tokens=world.issuer.token_requests.total(),
        searches=world.imap.connections.total(),
    )


def announced(settings: Settings, seconds: float) -> Seen:
    """Return the most that may be seen within so many seconds after a start.

    Each check runs once at once, each token is asked for once, and each slot may have begun just before. The messages
    of an hour may all come at its begin, one for each slot.
    """
    told, share = traffic_of(settings), seconds / 3600
    senders = len(settings.loopbacks)
    slots = sum(seconds / plan.every for plan in settings.loopbacks.values())
    return Seen(
        connections=int(sum(host.connections_per_hour for host in told.hosts) * share) + len(settings.checks) + senders,
        messages=int(min(sum(host.messages_per_hour for host in told.hosts), slots)) + len(settings.checks) + senders,
        tokens=int(sum(issuer.failing_requests_per_hour + issuer.tokens for issuer in told.issuers)),
        searches=int(sum(host.searches_per_hour for host in told.searches) * share)
        + sum(host.mailboxes for host in told.searches),
    )


async def test_no_server_sees_more_than_was_announced(tmp_path: Path) -> None:
    """Each fault in a world of its own, all at the same time."""
    found = await asyncio.gather(
        *(watched(tmp_path / f"world-{number}", FAULTS[name]) for number, name in enumerate(FAULTS))
    )
    counts = {
        (fault, name): (getattr(counted, name), getattr(most, name))
        for fault, (counted, most) in zip(FAULTS, found, strict=True)
        for name in ("connections", "messages", "tokens", "searches")
    }
    assert {place: pair for place, pair in counts.items() if pair[0] > pair[1]} == {}
    assert all(counts[fault, "tokens"][0] for fault in FAULTS)


async def test_graph_sees_no_more_searches_and_requests_than_were_announced(tmp_path: Path) -> None:
    """The table tells the searches, and the words below it of how many requests one consists."""
    found = await asyncio.gather(
        *(
            watched_at_graph(tmp_path / f"world-{number}", fault, searched=name not in UNSEARCHED)
            for number, (name, fault) in enumerate(GRAPH_FAULTS.items())
        )
    )
    looks = dict(zip(GRAPH_FAULTS, found, strict=True))
    assert {
        fault: (len(each.searches), each.announced)
        for fault, each in looks.items()
        if len(each.searches) > each.announced
    } == {}
    for fault, each in looks.items():
        assert [asked for asked in each.searches if len(asked) > GRAPH_FAULTS[fault].tries * most_asked(asked)] == []
    assert {fault for fault, each in looks.items() if not each.searches} == UNSEARCHED


@dataclass(frozen=True)
class Looks:
    """What Graph has been asked."""

    searches: tuple[tuple[Asked, ...], ...]
    announced: int


def most_asked(asked: tuple[Asked, ...]) -> int:
    """Return the most requests of one search, by the folders and the messages that it has come to."""
    paths = [each.path for each in asked]
    folders = {path for path in paths if "/mailFolders/" in path and not path.endswith("/messages")}
    deleted = {path.removesuffix("/permanentDelete") for path in paths if "/messages/" in path}
    return LISTS + len(folders) + DELETIONS * len(deleted)


async def watched_at_graph(folder: Path, fault: GraphFault, *, searched: bool) -> Looks:
    """Let an agent run in a world whose messages are found by Graph, until it has searched if it must."""
    asked: dict[object, list[Asked]] = {}
    folder.mkdir()  # noqa: ASYNC240
    async with World(folder, map(by_graph, fault.scenarios)) as world:
        graph = world.issuer.graph_mail
        for name, value in fault.graph.items():
            assert hasattr(graph, name)
            setattr(graph, name, value)
        _, most = await counted(world, lambda: bool(graph.asked) or not searched)
        for one in graph.asked:
            asked.setdefault(one.client, []).append(one)
        assert len(graph.asked) == graph.requests
        return Looks(tuple(map(tuple, asked.values())), most.searches)


async def watched(folder: Path, scenarios: tuple[Scenario, ...]) -> tuple[Seen, Seen]:
    """Let an agent run in a world, and return what was counted there and what was announced."""
    folder.mkdir()  # noqa: ASYNC240
    async with World(folder, scenarios) as world:
        return await counted(world)


async def counted(world: World, enough: Callable[[], bool] = lambda: True) -> tuple[Seen, Seen]:
    """Let an agent run in the world until enough was seen, and return what was counted there and what was announced."""
    settings = load([world.config]).settings
    assert settings
    begin = time.monotonic()
    async with running(world.config) as agent:
        await asyncio.sleep(SECONDS)
        await until(enough)
        await a_reload_changes_nothing(agent)
    assert max(world.exchange.most_open.values(), default=0) <= 1
    return seen(world), announced(settings, time.monotonic() - begin)


async def a_reload_changes_nothing(agent: Agent) -> None:
    """Nobody is asked once more because the configuration was read again."""
    assert await agent.reload() == ()
    await asyncio.sleep(0.5)
