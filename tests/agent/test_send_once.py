"""What a person sends by hand counts in the agent's caps, and they hold for it."""

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from smtpcheck.limits.send_limits import MAILBOX, Limits
from smtpcheck.sandbox.scenario import CONTOSO_MAIL, DOMAIN, RECIPIENT, Scenario
from smtpcheck.sandbox.world import World
from smtpcheck.state.send_journal import FILE_NAME, SendJournal
from smtpcheck.state.state import State
from tests.cli.test_cli import smtpcheck

SENDS = Scenario("sends", "Sends.", check={"depth": "send", "recipient": RECIPIENT, "interval": "15m"})
LOOPBACK = {"to": f"probe-cli@{DOMAIN}", "warn_after": "3s", "lost_after": "4s"}
ARRIVES = Scenario("arrives", "Mail arrives.", check={"loopback": LOOPBACK}, registration=CONTOSO_MAIL)
CHECK = (SENDS, ("check", "sends", "--depth", "send"))
DOCTOR = (SENDS, ("doctor", "sends", "--send"))
LOOPS = (ARRIVES, ("check", "arrives", "--loopback"))
BY_HAND = pytest.mark.parametrize(("scenario", "command"), [CHECK, DOCTOR, LOOPS], ids=["check", "doctor", "loopback"])


async def run(world: World, command: Sequence[str]) -> tuple[int, Any]:
    """Return exit code and output of a command in the world."""
    name, *rest = command
    done = await asyncio.to_thread(smtpcheck, name, "-c", world.config, *rest, "--format", "json")
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def state_of(world: World) -> Path:
    """Return the agent's state folder."""
    return world.config.parent / "state"


def have_sent(world: World, scenario: Scenario, count: int) -> None:
    """Have the mailbox sent so many messages within the last minute."""
    journal, now = SendJournal(state_of(world)), time.time()
    for number in range(count):
        sent = (now - 60 + number, f"{scenario.name}@{DOMAIN}", DOMAIN)
        assert journal.reserve(sent, MAILBOX) is None


@BY_HAND
async def test_it_counts_for_the_agent(tmp_path: Path, scenario: Scenario, command: Sequence[str]) -> None:
    async with World(tmp_path, (scenario,)) as world:
        code, _ = await run(world, command)
        assert (code in {0, 1}, len(world.exchange.messages)) == (True, 1)
        state = await State.kept(state_of(world))
        now, once = time.time(), Limits(per_hour=1, per_day=1)
        until = await state.may_send(f"{scenario.name}@{DOMAIN}", "another", now, once)
        assert isinstance(until, float)
        await state.close()


@BY_HAND
async def test_the_caps_hold_for_it(tmp_path: Path, scenario: Scenario, command: Sequence[str]) -> None:
    async with World(tmp_path, (scenario,)) as world:
        have_sent(world, scenario, MAILBOX.per_hour)
        code, shown = await run(world, command)
        assert len(world.exchange.messages) == 0
        assert "send_cap_reached" in json.dumps(shown)
        assert "the next one may be sent at 20" in json.dumps(shown)
        assert code == (1 if command[0] == "doctor" else 3)


@BY_HAND
async def test_what_cannot_be_counted_is_not_sent(tmp_path: Path, scenario: Scenario, command: Sequence[str]) -> None:
    async with World(tmp_path, (scenario,)) as world:
        (state_of(world) / FILE_NAME).mkdir(parents=True)
        code, shown = await run(world, command)
        assert len(world.exchange.messages) == 0
        assert "state_not_kept" in json.dumps(shown)
        assert FILE_NAME in json.dumps(shown)
        assert code == (1 if command[0] == "doctor" else 3)


async def test_two_commands_at_the_same_moment_do_not_pass_a_cap_together(tmp_path: Path) -> None:
    async with World(tmp_path, (SENDS,)) as world:
        have_sent(world, SENDS, MAILBOX.per_hour - 1)
        done = await asyncio.gather(*(run(world, CHECK[1]) for _ in range(3)))
        assert sorted(code for code, _ in done) == [0, 3, 3]
        assert len(world.exchange.messages) == 1


async def test_a_command_beside_a_running_agent_counts_in_the_same_journal(tmp_path: Path) -> None:
    """Although the agent's state file is locked."""
    async with World(tmp_path, (SENDS,)) as world:
        state_of(world).mkdir(parents=True)
        agent = await State.kept(state_of(world))
        assert await agent.may_send(f"sends@{DOMAIN}", DOMAIN, time.time(), MAILBOX) is None
        have_sent(world, SENDS, MAILBOX.per_hour - 1)
        code, _ = await run(world, CHECK[1])
        assert (code, len(world.exchange.messages)) == (3, 0)
        await agent.close()
