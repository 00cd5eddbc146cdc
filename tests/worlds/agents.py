"""A running agent on a configuration of the embedded world, and what a test does with it."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

from smtpcheck.agent.agent import Agent
from smtpcheck.config import load
from smtpcheck.sandbox.scenario import Scenario
from smtpcheck.sandbox.scenarios import SCENARIOS
from smtpcheck.sandbox.world import World


def only(*names: str) -> tuple[Scenario, ...]:
    """Return some of the scenarios."""
    return tuple(scenario for scenario in SCENARIOS if scenario.name in names)


HEALTHY = only("healthy")
SILENT = only("silent")


@asynccontextmanager
async def running(
    config: Path, *, first_within: float = 0.2, settled: Callable[[], None] = lambda: None
) -> AsyncIterator[Agent]:
    """Run an agent on a configuration until the block ends. A slow machine excuses none of its runs."""
    again = partial(load, [config])
    settings = again().settings
    assert settings
    agent = await Agent.create(settings, again, first_within=first_within, settled=settled)
    stop = asyncio.Event()
    with patch("smtpcheck.agent.health.EXCUSING_SECONDS", math.inf):
        task = asyncio.create_task(agent.run(stop))
        try:
            yield agent
        finally:
            stop.set()
            await task


def edit(config: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a configuration file."""
    document = yaml.safe_load(config.read_text())
    change(document)
    config.write_text(yaml.safe_dump(document))


def unhurried(world: World) -> None:
    """Give every check that sets no limit of its own so much time that no outcome depends on the machine's speed."""
    patient = {"timeout": "2m", "token_timeout": "2m", "warn": {"duration": "2m"}}
    edit(world.config, lambda document: document["defaults"].update(patient))


def refuse(world: World, name: str, reply: str | None) -> str:
    """Have the mailbox of a check refuse every login, or none; return its address."""
    address = next(each for each in world.exchange.mailboxes if each.startswith(f"{name}@"))
    refuses = {"AUTH": reply} if reply else {}
    world.exchange.mailboxes[address] = replace(world.exchange.mailboxes[address], refuses=refuses)
    return address


async def shown(agent: Agent) -> str:
    """Return the metrics as text."""
    return (await agent.exposition(openmetrics=False)).decode()
