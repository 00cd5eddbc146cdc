"""What happens in a world: faults that come and go, kills, reloads, clocks that are set, and users.

Rules of this file:
- Everything is drawn from the seed. The last hours of a world are quiet: all that was wrong is over by then.
- What a day has of everything is in `DAILY`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from math import inf

from tests.simulation.configuration import HOSTS, ISSUERS, PLACES
from tests.simulation.world import DAY, World

QUIET_SECONDS = 6 * 3600.0
_HOST_FAULTS = ("slow", "silent", "busy", "resetting", "refusing", "unreachable", "connects in vain", "name missing")
_ISSUER_FAULTS = ("client refused", "throttling", "issuer down", "issuer refusing", "issuer silent", "revoking")
_MAILBOX_FAULTS = (
    *("login refused", "logins throttled", "sender refused", "recipient deferred", "message refused", "locked"),
    "uncertain ends",
)
_DELIVERY_FAULTS = (
    *("mail late", "mail lost", "mail junked", "mail duplicated"),
    *("finder refused", "finder failing", "finder silent"),
)
_PLACE_FAULTS = ("notifier failing", "notifier in doubt")
_AGENT_FAULTS = ("disk full", "disk slow", "no network")
DAILY: dict[str, float] = {
    "host": 5,
    "issuer": 4,
    "mailbox": 6,
    "delivery": 8,
    "place": 3,
    "machine": 1.5,
    "kill": 1.6,
    "restart": 0.6,
    "reload": 2.0,
    "clock": 1.5,
    "stall": 1.5,
    "user": 5,
}
_STEPS = (2.5, 30.0, 600.0, 3600.0, 7200.0, DAY, 3 * DAY, 30 * DAY)


class Weather:
    """Makes the weather of one world."""

    def __init__(self, world: World, days: float) -> None:
        self._world = world
        self._chance = world.chance("weather")
        self._end = world.loop.virtual + days * DAY
        self._actions: dict[str, Callable[[], Awaitable[None]]] = {
            **dict.fromkeys(("host", "issuer", "mailbox", "delivery", "place", "machine"), self._fault),
            "kill": self._kill,
            "restart": self._restart,
            "reload": self._reload,
            "clock": self._set_clock,
            "stall": self._stall,
            "user": self._user,
        }
        self._kind = ""

    async def happen(self) -> None:
        """Be the life of a world, from the agent's first start to its last end."""
        world, chance = self._world, self._chance
        await world.start()
        self._look()
        quiet_at = self._end - QUIET_SECONDS
        rate = sum(DAILY.values()) / DAY
        while (wait := chance.expovariate(rate)) + world.loop.virtual < quiet_at:
            await asyncio.sleep(wait)
            self._kind = chance.choices(list(DAILY), list(DAILY.values()))[0]
            await self._actions[self._kind]()
        await asyncio.sleep(max(0.0, quiet_at - world.loop.virtual))
        for condition in world.conditions.active():
            world.conditions.end(condition)
        if world.database is not None:
            world.database.fill_disk(full=False)
        world.conditions.chance_of_resets = 0.0
        world.invariants.expect_levels()
        world.story.tell("quiet")
        await asyncio.sleep(QUIET_SECONDS)
        world.invariants.look_at_recovery()
        world.invariants.look_at_levels()
        await world.stop()
        await asyncio.sleep(60.0)
        world.invariants.look_at_tasks(len(asyncio.all_tasks()) - 1)

    def _look(self) -> None:
        self._world.invariants.look()
        self._world.loop.call_later(60.0, self._look)

    async def _fault(self) -> None:
        world, chance = self._world, self._chance
        checks = world.configuration.checks
        kinds, subjects = {
            "host": (_HOST_FAULTS, list(HOSTS)),
            "issuer": (_ISSUER_FAULTS, list(ISSUERS)),
            "mailbox": (_MAILBOX_FAULTS, [f"{name}@example.org" for name in checks]),
            "delivery": (_DELIVERY_FAULTS, [f"to-{n}@example.org" for n, w in checks.items() if w.every] or ["nobody"]),
            "place": (_PLACE_FAULTS, list(PLACES)),
            "machine": (_AGENT_FAULTS, ["agent"]),
        }[self._kind]
        kind, subject = chance.choice(kinds), chance.choice(subjects)
        if kind == "uncertain ends":
            subject = chance.choice(HOSTS)
        strength = {
            "slow": chance.choice((1.0, 3.0, 6.0)),
            "throttling": chance.choice((30.0, 300.0, 1800.0)),
            "revoking": chance.choice((60.0, 900.0)),
            "mail late": chance.choice((90.0, 1200.0, 6 * 3600.0)),
            "disk slow": chance.choice((2.0, 8.0)),
        }.get(kind, 0.0)
        if world.conditions.of(kind, subject) is not None:
            return
        seconds = min(
            chance.choice((20.0, 120.0, 900.0, 3600.0, 4 * 3600.0)), self._end - QUIET_SECONDS - world.loop.virtual
        )
        condition = world.conditions.begin(kind, subject, strength)
        world.story.tell("begins", kind, subject, f"for {seconds:.0f} s")
        if kind == "disk full" and world.database is not None:
            world.database.fill_disk(full=True)

        def over() -> None:
            if condition.end == inf:
                world.conditions.end(condition)
                world.story.tell("ends", kind, subject)
                if kind == "disk full" and world.database is not None:
                    world.database.fill_disk(full=False)

        world.loop.call_later(max(seconds, 1.0), over)

    async def _kill(self) -> None:
        self._world.story.tell("killed")
        await self._world.kill()
        await asyncio.sleep(self._chance.choice((0.5, 5.0, 60.0, 1800.0)))
        await self._world.start()

    async def _restart(self) -> None:
        self._world.story.tell("stopped")
        await self._world.stop()
        await asyncio.sleep(self._chance.choice((0.5, 5.0, 60.0)))
        await self._world.start()

    async def _reload(self) -> None:
        await self._world.reload()

    async def _set_clock(self) -> None:
        self._world.set_clock(self._chance.choice(_STEPS) * self._chance.choice((-1, 1)))

    async def _stall(self) -> None:
        seconds = self._chance.choice((0.5, 3.0, 15.0, 120.0))
        for _ in range(10_000):  # a run is to be under way
            if self._world.agent is not None and self._world.agent._runner.running:
                break
            await asyncio.sleep(0.1)
        self._world.story.tell("stalled", seconds)
        self._world.conditions.once("stalled", "agent", seconds)
        self._world.loop.stall(seconds)

    async def _user(self) -> None:
        agent, chance = self._world.agent, self._chance
        if agent is None or not agent.settings.checks:
            return
        check = chance.choice(agent.settings.checks)
        self._world.ledger.asked_at[check.mailbox] = self._world.loop.virtual
        self._world.invariants.requested(check.server.host, agent._kit.issuer(check))
        if chance.random() < 0.5:
            self._world.story.tell("check now", check.name)
            await agent.check_now(check.name)
        else:
            self._world.story.tell("probe", check.name)
            await agent.probe_now(check.name, 9.0)
        self._world.story.saw("the metrics", await agent.exposition(openmetrics=True))
