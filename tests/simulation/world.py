"""One world: the real agent in it, on virtual time, and all that happens to it.

Rules of this file:
- One seed, one story: every draw comes from the seed, and none depends on the order of a set.
- A kill is a copy of the state file between two commits, and a new agent on it. What the dead one still does reaches
  nobody.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import structlog
from apscheduler.schedulers import base as apscheduler

from smtpcheck.agent import agent as agent_module
from smtpcheck.agent import config_watch, witnesses
from smtpcheck.agent.agent import Agent
from smtpcheck.alerts import dispatcher
from smtpcheck.check.kit import Kit
from smtpcheck.config import Loaded, Settings
from smtpcheck.diagnosis.catalogue import Catalogue, load
from smtpcheck.limits.connection_limit import ConnectionLimit
from smtpcheck.mail.correlation_id import CorrelationIds
from smtpcheck.network.network import Network
from smtpcheck.network.tls import TlsContexts
from smtpcheck.oauth.broker import TokenBroker
from smtpcheck.state.state import State
from tests.simulation import disk
from tests.simulation.clocks import VirtualSystem
from tests.simulation.configuration import HOSTS, ISSUERS, PLACES, Configuration
from tests.simulation.faults import Conditions
from tests.simulation.finding import Mailboxes, SimulatedFinders
from tests.simulation.invariants import Invariants
from tests.simulation.issuer import Issuer, Issuers
from tests.simulation.locks import SimulatedLocks
from tests.simulation.loop import VirtualLoop
from tests.simulation.mail import Internet, Ledger, MailHost, NameService
from tests.simulation.notifying import Place
from tests.simulation.story import Story

DAY = 86400.0
PACE = (
    (agent_module, "TICK_SECONDS", 2.0),
    (agent_module, "LOOPBACK_SECONDS", 2.0),
    (agent_module, "REFRESH_SECONDS", 60.0),
    (dispatcher, "POLL_SECONDS", 30.0),
    (config_watch, "POLL_SECONDS", 60.0),
)
"""How often the agent looks for what is due; more often costs time and shows nothing more."""

catalogue: Callable[[], Catalogue] = cache(load)


class World:
    """One world."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed, self.folder = seed, folder
        self.loop = VirtualLoop(internet := _Later(), self._draw_delay)
        self.story = Story(self.loop.time, self.loop.stop)
        self.system = VirtualSystem(self.loop, self.chance("octets"))
        self.conditions = Conditions(self.loop.time)
        self.ledger = Ledger()
        self.counts: Counter[str] = Counter()
        self._delays = self.chance("delays")
        parts = (self.loop, self.system, self.conditions)
        self.issuers = {name: Issuer(name, *parts, self.chance(name)) for name in ISSUERS}
        self.internet = internet.is_now(Internet(self.conditions, self.chance("internet")))
        around: Any = {"loop": self.loop, "conditions": self.conditions, "story": self.story}
        self.internet.hosts = {
            name: MailHost(name, **around, ledger=self.ledger, issuers=self.issuers, chance=self.chance(f"host {name}"))
            for name in HOSTS
        }
        self.mailboxes = Mailboxes(self.loop, self.conditions, self.ledger, self.issuers)
        around["repeats_excused"] = self._may_repeat
        around["undisturbed_since"] = lambda: self.invariants.undisturbed_since
        self.places = {name: Place(name, **around, chance=self.chance(name)) for name in PLACES}
        self.configuration = Configuration(self.chance("configuration"))
        self.configuration.begin()
        self.locks = SimulatedLocks(self.conditions)
        self.invariants: Invariants = Invariants(self)
        self.agent: Agent | None = None
        self.database: disk.Database | None = None
        self.key = self.system.octets(32)
        self.lives = 0
        self.killed_at = self.ledger.killed_at
        self.removed_at: dict[str, float] = {}
        """When each check or notifier was last missing from the configuration."""
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def chance(self, name: str) -> Random:
        """Return a source of chance of its own."""
        return Random(f"{self.seed}/{name}")

    # -- the agent's life ---------------------------------------------------------------------------------------------

    def state_folder(self) -> Path:
        return self.folder / f"life{self.lives}"

    async def start(self) -> None:
        """Start an agent on what is in the state folder."""
        self.state_folder().mkdir(mode=0o700, exist_ok=True)
        settings = self.configuration.settings(self.state_folder())
        kit = self._kit(settings)
        state = await State.kept(self.state_folder(), self.system.wall, self._make_file)
        await state.fetch([check.name for check in settings.checks])
        self.agent = Agent(
            settings, kit, state, self._load, CorrelationIds(self.key), first_within=60.0, tracer=self.invariants
        )
        self._stop = asyncio.Event()
        self._running = asyncio.create_task(self.agent.run(self._stop), name="agent")
        self._running.add_done_callback(self._ended)
        self.invariants.started()
        self.story.tell("started", f"{len(settings.checks)} checks")

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.story.broke(f"the agent ended: {task.exception()!r}")

    async def stop(self) -> None:
        """Stop the agent in good order."""
        self.invariants.stopping()
        self._stop.set()
        if self._running is not None:
            await self._running
        self.agent = self._running = None

    async def kill(self) -> None:
        """Kill the agent: what is in memory is gone."""
        self.counts["kills"] += 1
        self.killed_at.append(self.loop.virtual)
        self.invariants.stopping()
        self.lives += 1
        if self.database is not None:
            self.database.die(self.state_folder())
        here, self.agent, self._running = asyncio.current_task(), None, None
        while others := [task for task in asyncio.all_tasks() if task is not here]:
            for task in others:
                task.cancel()
            await asyncio.sleep(0)
        self.locks.die()
        self.story.saw("the state file", disk.octets_of(self.state_folder()))

    async def reload(self) -> None:
        """Edit the configuration, and have it loaded."""
        self.counts["reloads"] += 1
        self.ledger.reloaded_at = self.loop.virtual
        before = self._names()
        self.story.tell("reload", self.configuration.change())
        self.removed_at |= dict.fromkeys(sorted(before - self._names()), self.loop.virtual)
        if self.agent is not None and (problems := await self.agent.reload()):
            self.story.broke(f"a reload failed: {problems}")
        self.invariants.reloaded()

    def _names(self) -> set[str]:
        checks = self.configuration.settings(self.state_folder()).checks
        return {check.name for check in checks} | self.configuration.notifiers.keys()

    def was_removed(self, name: str, since: float) -> bool:
        """Return whether a check or notifier was missing from the configuration at some time since then."""
        return self.removed_at.get(name, 0.0) >= since

    def _load(self) -> Loaded:
        return Loaded(self.configuration.settings(self.state_folder()))

    def _make_file(self, path: Path, on_new_file: Callable[[Any], object]) -> disk.Database:
        full = self.database is not None and self.database.is_full
        self.database = disk.Database(path, on_new_file, loop=self.loop)
        self.database.is_full = full
        return self.database

    def _kit(self, settings: Settings) -> Kit:
        tokens = TokenBroker(settings.credentials, wall=self.system.wall, monotonic=self.system.monotonic)
        connections = ConnectionLimit(settings.agent.max_open_connections, self.locks)
        network = self.network()
        return Kit(
            tokens=tokens,
            network=network,
            connections=connections,
            catalogue=catalogue(),
            hints={name: credential.hints(name) for name, credential in settings.credentials.items()},
            finders=SimulatedFinders(
                self.mailboxes,
                self.chance(f"finders {self.lives}"),
                credentials=settings.credentials,
                tokens=tokens,
                connections=connections,
                network=network,
            ),
            system=self.system,
        )

    def network(self) -> Network:
        """Return the agent's way to the hosts."""
        return Network(TlsContexts(()), NameService(self.conditions, self.chance("names")))

    # -- what happens -------------------------------------------------------------------------------------------------

    def set_clock(self, seconds: float) -> None:
        """Set the agent's wall clock."""
        self.counts["clock_steps"] += 1
        self.system.ahead += seconds
        self.conditions.once("clock set", "agent")
        self.story.tell("clock set", f"by {seconds:+.0f}")

    def _draw_delay(self) -> float:
        slow = self.conditions.of("disk slow", "agent")
        return self._delays.uniform(0.0, 0.02) if slow is None else self._delays.uniform(0.1, slow.strength)

    def _may_repeat(self, at: float) -> bool:
        """Return whether what was sent then may not have been stored: the agent was killed just after."""
        unkept = self.conditions.was("agent", at, "disk full", "disk slow") is not None
        return any(at <= killed and (unkept or killed <= at + 8.0) for killed in self.killed_at)

    # -- the run ------------------------------------------------------------------------------------------------------

    def run(self, main: Callable[[], Awaitable[None]]) -> None:
        """Let `main` happen, until it ends or an invariant is broken."""
        with self._patched():
            asyncio.set_event_loop(self.loop)
            task = self.loop.create_task(_as_coroutine(main), name="world")
            task.add_done_callback(lambda _: self.loop.stop())
            self.loop.run_forever()
            if task.done() and not self.story.broken:
                task.result()
            self._clear()
            asyncio.set_event_loop(None)

    def _clear(self) -> None:
        if self.database is not None:
            self.database._close()
        for _ in range(20):
            for task in (tasks := asyncio.all_tasks(self.loop)):
                task.cancel()
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()
            if not tasks:
                break
        self.loop.close()

    @contextlib.contextmanager
    def _patched(self) -> Iterator[None]:
        """Hand the world to what has no other way to it."""
        with ExitStack() as stack:
            for module, name, seconds in PACE:
                stack.enter_context(mock.patch.object(module, name, seconds))
            stack.enter_context(mock.patch.object(apscheduler, "datetime", self.system.datetime()))
            stack.enter_context(mock.patch.object(agent_module, "network_of", self._network_of))
            stack.enter_context(mock.patch.object(witnesses, "has_default_route", return_value=True))
            stack.enter_context(mock.patch.object(Issuers, "current", self.issuers))
            stack.enter_context(mock.patch.object(Place, "current", self.places))
            before = structlog.get_config()
            stack.callback(partial(structlog.configure, **before))
            structlog.configure(
                processors=[self.invariants.logged],
                wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
                cache_logger_on_first_use=False,
            )
            logger = logging.getLogger("smtpcheck")
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.INFO)
            yield

    async def _network_of(self, settings: Settings) -> Network:
        await asyncio.sleep(self._draw_delay())
        return self.network()


async def _as_coroutine(main: Callable[[], Awaitable[None]]) -> None:
    await main()


class _Later:
    """The network of a loop, which is there before its world is."""

    def is_now(self, internet: Internet) -> Internet:
        self._internet = internet
        return internet

    async def connect(self, host: str, port: int) -> asyncio.BaseProtocol:
        return await self._internet.connect(host, port)
