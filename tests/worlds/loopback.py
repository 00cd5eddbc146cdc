"""A loopback in a world of its own: it sends to the sandbox's SMTP service, and a searcher of the test finds it all.

What lies in the mailbox is what the service has accepted; a test says what becomes of it on the way.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from email.policy import compat32
from pathlib import Path

import pytest

from smtpcheck.agent.loopback import LoopbackService
from smtpcheck.agent.schedule import hash_fraction
from smtpcheck.check.kit import Kit, build_kit
from smtpcheck.config import load
from smtpcheck.limits.send_limits import Limits
from smtpcheck.loopback.finder import FinderError, FolderKind, Match, Search, SearchRequest
from smtpcheck.loopback.message_state import Message, Record
from smtpcheck.loopback.plan import Find, FindVia, Loopback
from smtpcheck.loopback.search import Finders
from smtpcheck.loopback.status import LoopbackStatus
from smtpcheck.loopback.timing import next_slot
from smtpcheck.mail.correlation_id import CorrelationIds
from smtpcheck.model.check import Check
from smtpcheck.sandbox.scenario import DOMAIN, RECIPIENT, Scenario
from smtpcheck.sandbox.world import World
from smtpcheck.state.state import State
from smtpcheck.system import System
from tests.worlds.waiting import until

FIND = Find(FindVia.IMAP, RECIPIENT, "contoso")
PLAN = Loopback(
    every=300.0,
    sender=f"healthy@{DOMAIN}",
    recipient=RECIPIENT,
    find=FIND,
    warn_after=60.0,
    lost_after=900.0,
    limits=Limits(per_hour=12, per_day=200),
)
KEY = bytes(range(32))


class Moved(System):
    """Clocks that are ahead of those of this machine, by so many seconds at present."""

    def __init__(self, wall: list[float], monotonic: list[float]) -> None:
        self._wall, self._monotonic = wall, monotonic

    def wall(self) -> float:
        return time.time() + self._wall[0]

    def monotonic(self) -> float:
        return time.monotonic() + self._monotonic[0]


@dataclass
class Searcher:
    """Finds in the service's messages what is sought there."""

    world: World
    error: FinderError | None = None
    kinds: tuple[FolderKind, ...] = (FolderKind.INBOX,)
    """Where each message lies; in no folder at all if empty."""
    headers: tuple[tuple[str, str], ...] = ()
    arrived_at: float | None = None
    requests: list[SearchRequest] = field(default_factory=list)
    """Those in the mailbox that the messages go to."""
    elsewhere: list[tuple[str, SearchRequest]] = field(default_factory=list)
    """Those in other mailboxes."""
    gone: set[str] = field(default_factory=set)
    """The marks of messages that were deleted."""

    async def search(self, find: Find, request: SearchRequest, *, timeout: float, token_timeout: float) -> Search:  # noqa: ASYNC109
        await asyncio.sleep(0)
        if find.mailbox != RECIPIENT:
            self.elsewhere.append((find.mailbox, request))
            return Search()
        self.requests.append(request)
        if self.error:
            return Search(error=self.error)
        there = {correlation_ids_of(message.content) for message in self.world.exchange.messages} - self.gone
        if request.delete:
            self.gone |= {target.correlation_id for target in request.targets}
        return Search(
            tuple(
                Match(target.correlation_id, kind.title(), kind, self.arrived_at, self.headers, deleted=request.delete)
                for target in request.targets
                if target.correlation_id in there
                for kind in self.kinds
            )
        )


def searcher_of_all(monkeypatch: pytest.MonkeyPatch) -> Searcher:
    """Have all finders look into what a service has accepted: that of the world which the test gives the searcher."""
    searcher = Searcher(None)  # type: ignore[arg-type]
    monkeypatch.setattr(Finders, "search", lambda _, *args, **kwargs: searcher.search(*args, **kwargs))
    return searcher


def correlation_ids_of(content: bytes) -> str:
    """Return the mark of a message."""
    return str(message_from_bytes(content, policy=compat32)["X-Smtpcheck-Id"])


@dataclass
class Setting:
    """A service, its world, and a clock that the test moves."""

    world: World
    service: LoopbackService
    searcher: Searcher
    state: State
    kit: Kit
    check: Check
    plan: Loopback
    ahead: list[float]
    """How far the service's clock is ahead of the true one, in seconds."""
    passed: list[float]
    """How far its monotonic clock is ahead, in seconds."""
    changed: list[str]
    arrived: list[float]

    @property
    def record(self) -> Record:
        return self.service.record(self.check.name)

    @property
    def loopback_status(self) -> LoopbackStatus:
        found = self.service.loopback_status(self.check.name)
        assert found
        return found

    @property
    def message(self) -> Message:
        return self.record.messages[-1]

    def now(self) -> float:
        return self.kit.wall()

    async def passes(self, seconds: float) -> None:
        """Let time pass, and what is due then happen."""
        self.ahead[0] += seconds
        self.passed[0] += seconds
        await self.settle()

    def set_clock(self, seconds: float) -> None:
        """Set the wall clock, as the agent notices it within its next tick."""
        self.ahead[0] += seconds
        self.service.clock_set(seconds)

    async def settle(self) -> None:
        """Begin what is due, and wait until all of it has ended."""
        self.service.tick()
        await self.idle()

    async def idle(self) -> None:
        await until(lambda: not self.service._sending and not self.service.search.searches)

    async def until(self, condition: Callable[[], bool], step: float = 1.0, most: float = 1000.0) -> None:
        """Let time pass in steps until the condition holds."""
        passed = 0.0
        while not condition():
            assert passed < most
            passed += step
            await self.passes(step)


HEALTHY = Scenario("healthy", "Sends.")


@contextlib.asynccontextmanager
async def setting(folder: Path, plan: Loopback = PLAN, scenario: Scenario = HEALTHY) -> AsyncIterator[Setting]:
    """Make a world with one check whose loopback has this plan; the state lies in `folder/state`."""
    async with World(folder, (scenario,)) as world, sending(world, folder / "state", plan) as made:
        yield made


@contextlib.asynccontextmanager
async def sending(
    world: World, folder: Path, plan: Loopback = PLAN, *, ahead_by: float | None = None
) -> AsyncIterator[Setting]:
    """Run a service in a world that is there already, as after a restart; else its clock is at the begin of a slot."""
    settings = load([world.config]).settings
    assert settings
    check = settings.checks[0]
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240
    begin = next_slot(hash_fraction(check.name), plan.every, time.time()) + 0.5
    ahead = [begin - time.time() if ahead_by is None else ahead_by]
    passed = [0.0]
    kit = replace(await build_kit(settings), system=Moved(ahead, passed))
    state = await State.kept(folder, kit.wall)
    await state.fetch([check.name])
    searcher = Searcher(world)
    changed: list[str] = []
    arrived: list[float] = []
    service = LoopbackService(
        state,
        CorrelationIds(KEY),
        searcher,
        changed=changed.append,
        arrived=lambda _check, seconds, _trace_id: arrived.append(seconds),
    )
    service.replace({check.name: check}, {check.name: plan}, kit, first_within=0.0)
    try:
        yield Setting(world, service, searcher, state, kit, check, plan, ahead, passed, changed, arrived)
    finally:
        await service.drain(5.0)
        await kit.close()
        await state.close()
