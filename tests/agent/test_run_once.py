"""One round of checks: what `check` and `demo --once` make of all of them together."""

import asyncio
import subprocess
import sys
from pathlib import Path

import yaml

from smtpcheck.agent.run_once import run_once
from smtpcheck.config import load
from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome
from smtpcheck.sandbox.scenarios import SCENARIOS
from smtpcheck.sandbox.world import World
from tests.worlds.silence import silent_port

SEND = tuple(scenario for scenario in SCENARIOS if scenario.name == "healthy-send")


async def test_a_round_in_which_no_host_is_reached_says_nothing_of_the_hosts(tmp_path: Path) -> None:
    """Two hosts or more: then the machine is cut off. One alone may itself be down."""
    with silent_port() as port:
        checks = [
            {"name": name, "depth": "connect", "timeout": "300ms", "server": {"host": host, "port": port}}
            for name, host in (("one", "127.0.0.1"), ("two", "127.0.0.2"))
        ]
        file = tmp_path / "checks.yaml"
        file.write_text(yaml.safe_dump({"checks": checks}))
        settings = load([file]).settings
        assert settings
        both = await run_once(settings, settings.checks)
        alone = await run_once(settings, settings.checks[:1])
    assert {name: (report.outcome, report.cause) for name, report in both.items()} == {
        "one": (Outcome.UNKNOWN, Cause.AGENT_CUT_OFF),
        "two": (Outcome.UNKNOWN, Cause.AGENT_CUT_OFF),
    }
    assert alone["one"].outcome is Outcome.CRITICAL


async def test_check_sends_a_message_only_when_it_is_asked_to(tmp_path: Path) -> None:
    """A check of depth send goes no further than the recipient, unless the depth is named."""
    async with World(tmp_path, SEND) as world:
        for arguments, messages in (([], 0), (["--depth", "send"], 1)):
            command = (sys.executable, "-m", "smtpcheck", "check", "-c", str(world.config), *arguments)
            code = await (await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)).wait()
            assert (code, len(world.exchange.messages)) == (0, messages)
