"""What `validate` announces is never exceeded, whatever goes wrong: counted at the servers."""

import asyncio
import time
from dataclasses import dataclass, replace
from pathlib import Path

from smtpcheck.agent import Agent
from smtpcheck.config import Settings, demand, load
from smtpcheck.sandbox import replies
from smtpcheck.sandbox.directory import Trouble
from smtpcheck.sandbox.mail_store import Delivery
from smtpcheck.sandbox.scenarios import CONTOSO, CONTOSO_MAIL, DOMAIN, RECIPIENT, Finding, Registration, Scenario
from smtpcheck.sandbox.world import World
from tests.test_agent import running

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
            registration=Registration("contoso-down", trouble=Trouble(html=503)),
        ),
    ),
    "a check of depth send stands beside": (
        sends("a"),
        Scenario("c", "Sends.", check={"depth": "send", "recipient": RECIPIENT, "interval": "15m"}),
    ),
}


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
    told, share = demand(settings), seconds / 3600
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


async def watched(folder: Path, scenarios: tuple[Scenario, ...]) -> tuple[Seen, Seen]:
    """Let an agent run in a world, and return what was counted there and what was announced."""
    folder.mkdir()  # noqa: ASYNC240
    async with World(folder, scenarios) as world:
        settings = load([world.config]).settings
        assert settings
        begin = time.monotonic()
        async with running(world.config) as agent:
            await asyncio.sleep(SECONDS)
            await a_reload_changes_nothing(agent)
        assert max(world.exchange.most_open.values(), default=0) <= 1
        return seen(world), announced(settings, time.monotonic() - begin)


async def a_reload_changes_nothing(agent: Agent) -> None:
    """Nobody is asked once more because the configuration was read again."""
    assert await agent.reload() == ()
    await asyncio.sleep(0.5)
