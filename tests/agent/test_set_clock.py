"""An agent whose wall clock is set, back and on, by an hour, days and years: it goes on as if nothing had happened."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from apscheduler.schedulers import base

from smtpcheck.agent import agent as agent_module
from smtpcheck.check import kit as kit_module
from smtpcheck.model.report import Outcome
from smtpcheck.oauth.broker import TokenBroker
from smtpcheck.sandbox.world import World
from smtpcheck.system import System
from tests.worlds.agents import HEALTHY, edit, running
from tests.worlds.waiting import until

HOUR, DAY, YEAR = 3600.0, 86400.0, 365 * 86400.0


class Wall(System):
    """The wall clock of the whole process, as the agent and APScheduler read it."""

    ahead = 0.0

    def wall(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    clock = Wall()

    class SetClock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + timedelta(seconds=clock.ahead)

    async def build_kit(*args: object, **keys: object) -> kit_module.Kit:
        return replace(await kit_module.build_kit(*args, **keys), system=clock)  # type: ignore[arg-type]

    monkeypatch.setattr(base, "datetime", SetClock)
    monkeypatch.setattr(agent_module, "build_kit", build_kit)
    monkeypatch.setattr(agent_module, "REFRESH_SECONDS", 0.1)
    return clock


@pytest.mark.parametrize("step", [-YEAR, -DAY, -HOUR, HOUR, DAY, YEAR])
async def test_checks_and_token_renewal_go_on_and_the_agent_stays_healthy(
    tmp_path: Path, wall: Wall, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    renewals = 0

    async def count(_: TokenBroker) -> None:
        nonlocal renewals
        renewals += 1

    monkeypatch.setattr(TokenBroker, "refresh_due", count)
    async with World(tmp_path, HEALTHY) as world:
        edit(world.config, lambda document: document["checks"][0].update(interval="200ms", depth="connect"))
        async with running(world.config) as agent:

            def runs() -> int:
                return sum(state.runs for state in agent.state.checks.values())

            await until(lambda: runs() > 1 and renewals > 1)
            wall.ahead += step
            before = runs(), renewals
            await until(lambda: runs() > before[0] + 3 and renewals > before[1] + 3)
            assert agent.unhealthy_reason() == ""
            outcomes = {state.report.outcome for state in agent.state.checks.values()}
            assert outcomes <= {Outcome.OK, Outcome.WARNING}  # in a year the world's certificates have expired
