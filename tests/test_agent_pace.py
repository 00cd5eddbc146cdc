"""When the agent begins a run: at the check's own time, and never while it drains."""

import asyncio
import time
from pathlib import Path

from smtpcheck.agent import Agent
from smtpcheck.config import Loaded, load
from smtpcheck.model import Check, Outcome, Report

CLOCK = 0.001
"""uvloop and asyncio may call back this much too early."""


class Recorder(Agent):
    """An agent whose runs end at once; it keeps how late each began."""

    lags: dict[str, float]

    async def _run(self, check: Check, due: float | None, *, fresh: bool) -> Report:
        assert due is not None
        self.lags[check.name] = time.monotonic() - due
        return Report(check.name, 0.0, 0.0, Outcome.OK)


async def recorder(folder: Path, checks: int) -> Recorder:
    """Return an agent of this many checks that are due within half a second of the start, and then in an hour."""
    rows = [
        f"  - {{name: check-{n}, depth: connect, server: {{host: localhost}}, interval: 1h}}" for n in range(checks)
    ]
    path = folder / "checks.yaml"
    path.write_text("\n".join([f"agent: {{state: {folder / 'state'}}}", "checks:", *rows]))

    def again() -> Loaded:
        return load([path])

    settings = again().settings
    assert settings is not None
    agent = await Recorder.create(settings, again, first_within=0.5)
    agent.lags = {}
    return agent


async def test_a_check_begins_at_its_own_time_although_the_tick_comes_before(tmp_path: Path) -> None:
    """Checks of one tick that began together would wait for each other, and measure that."""
    agent, stop = await recorder(tmp_path, 40), asyncio.Event()
    running = asyncio.create_task(agent.run(stop))
    async with asyncio.timeout(30):
        while len(agent.lags) < 40:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    stop.set()
    await running
    assert [name for name, lag in agent.lags.items() if lag < -CLOCK] == []


async def test_an_agent_that_drains_begins_nothing_more(tmp_path: Path) -> None:
    """What the last tick had planned is left out."""
    agent, stop = await recorder(tmp_path, 1), asyncio.Event()
    stop.set()
    await agent.run(stop)
    agent._fire("check-0", time.monotonic())
    await asyncio.sleep(0)
    assert agent.lags == {}


async def test_a_check_that_a_reload_dropped_after_the_tick_is_left_out(tmp_path: Path) -> None:
    """Its time had been planned when it still was there."""
    agent = await recorder(tmp_path, 1)
    agent._fire("gone", time.monotonic())
    await asyncio.sleep(0)
    assert agent.lags == {}
    await agent._kit.close()
