"""One round of checks: what `check` and `demo --once` make of all of them together."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import yaml

from smtpcheck.agent.run_once import run_once
from smtpcheck.cli.options import locks_of_agent
from smtpcheck.config import load
from smtpcheck.limits.mailbox_lock import MailboxLocks
from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome
from smtpcheck.sandbox.scenarios import SCENARIOS
from smtpcheck.sandbox.world import World
from tests.worlds.agents import only
from tests.worlds.locks import holding
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


async def test_a_stopped_process_that_holds_the_mailbox_holds_no_command_for_ever(tmp_path: Path) -> None:
    """It waits as long as three of an agent's runs take."""
    async with World(tmp_path, only("healthy")) as world:
        settings = load([world.config]).settings
        assert settings
        folder = settings.agent.state / "locks"
        with holding(folder, "healthy@contoso.example") as other:
            other.send_signal(signal.SIGSTOP)
            found = await run_once(settings, settings.checks, locks=MailboxLocks(folder, 0.1))
        report = found["healthy"]
        assert (report.outcome, report.cause) == (Outcome.UNKNOWN, Cause.AGENT_OVERLOADED)
        assert report.findings[0].evidence[1].endswith("holds the lock of this mailbox")
        locks = locks_of_agent(settings)
        assert locks
        assert locks._longest_wait == 3 * settings.checks[0].timeout
        locks.close()


async def test_check_sends_a_message_only_when_it_is_asked_to(tmp_path: Path) -> None:
    """A check of depth send goes no further than the recipient, unless the depth is named."""
    async with World(tmp_path, SEND) as world:
        for arguments, messages in (([], 0), (["--depth", "send"], 1)):
            command = (sys.executable, "-m", "smtpcheck", "check", "-c", str(world.config), *arguments)
            code = await (await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)).wait()
            assert (code, len(world.exchange.messages)) == (0, messages)
