"""A check with a long interval that reached no login is tried again soon, and one that was refused is not."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from smtpcheck.agent import witnesses
from smtpcheck.agent.agent import Agent
from smtpcheck.model import retry
from smtpcheck.model.check import Phase
from smtpcheck.model.report import Outcome
from smtpcheck.sandbox.world import World
from tests.worlds.agents import HEALTHY, edit, refuse, running
from tests.worlds.waiting import until

DAY = 86400.0


def first_check(world: World, **keys: Any) -> None:
    edit(world.config, lambda document: document["checks"][0].update(keys))


def point_to(world: World, port: int) -> int:
    """Have the check connect to another port, and return the one before."""
    server = yaml.safe_load(world.config.read_text())["checks"][0]["server"]
    first_check(world, server={**server, "port": port})
    return int(server["port"])


def due_in(agent: Agent, name: str) -> float:
    """Return how many seconds after the end of its last run a check is due."""
    report, next_run = agent.state.checks[name].report, agent.next_run(name)
    assert next_run
    return next_run - report.started_at - report.seconds


@pytest.fixture
def closed_port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A port of this machine that nothing listens on, and a machine with a network."""
    monkeypatch.setattr(witnesses, "has_default_route", lambda: True)
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        yield unheard.getsockname()[1]


async def test_a_check_of_once_a_day_whose_server_is_down_is_due_again_in_a_minute(
    tmp_path: Path, closed_port: int
) -> None:
    async with World(tmp_path, HEALTHY) as world:
        first_check(world, interval="1d")
        point_to(world, closed_port)
        async with running(world.config) as agent:
            await until(lambda: "healthy" in agent.state.checks)
            step = agent.state.checks["healthy"].report.failed_step
            assert step
            assert step.phase is Phase.CONNECT
            assert due_in(agent, "healthy") == pytest.approx(60, abs=30)


async def test_it_is_tried_until_the_server_is_back_and_then_keeps_its_interval(
    tmp_path: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "_WAITS", (0.2,) * 100)
    async with World(tmp_path, HEALTHY) as world:
        first_check(world, interval="1d")
        port = point_to(world, closed_port)
        async with running(world.config) as agent:
            await until(lambda: "healthy" in agent.state.checks and agent.state.checks["healthy"].failures >= 3)
            point_to(world, port)
            assert await agent.reload() == ()
            await until(lambda: agent.state.checks["healthy"].report.outcome is Outcome.OK)
            assert due_in(agent, "healthy") > DAY / 2 - 60
            assert agent._runner._unreached == {}


async def test_a_refused_login_is_not_tried_again_before_its_interval(tmp_path: Path) -> None:
    async with World(tmp_path, HEALTHY) as world:
        first_check(world, interval="1d")
        refuse(world, "healthy", "535 5.7.3 Authentication unsuccessful")
        async with running(world.config) as agent:
            await until(lambda: "healthy" in agent.state.checks)
            assert due_in(agent, "healthy") > DAY / 2 - 60
            assert agent._runner._unreached == {}
