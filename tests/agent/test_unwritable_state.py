"""Where the state cannot be written the checks go on, loudly, and nothing is sent."""

from pathlib import Path
from typing import Any

import pytest

from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome, Report
from smtpcheck.sandbox.scenario import RECIPIENT
from smtpcheck.sandbox.world import World
from tests.worlds.agents import edit, only, running, shown
from tests.worlds.loopback import searcher_of_all
from tests.worlds.waiting import until

LOOPBACK = {"every": "1h", "to": RECIPIENT, "find": {"via": "imap", "server": {"host": "127.0.0.1"}}}


def kinds(report: Report) -> tuple[Outcome, list[Cause]]:
    return report.outcome, [finding.cause for finding in report.warnings]


async def test_a_state_folder_that_cannot_be_used_stops_no_check_and_every_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searcher = searcher_of_all(monkeypatch)
    (tmp_path / "file").write_text("where the folder should be")
    async with World(tmp_path, only("healthy", "healthy-sender", "healthy-send")) as world:
        searcher.world = world

        def change(document: dict[str, Any]) -> None:
            document["agent"]["state"] = str(tmp_path / "file" / "state")
            checks = {each["name"]: each for each in document["checks"]}
            checks["healthy-sender"]["loopback"] = LOOPBACK

        edit(world.config, change)
        async with running(world.config) as agent:
            checks = agent.state.checks
            await until(lambda: len(checks) == 3 and checks["healthy-sender"].report.warnings)
            assert kinds(checks["healthy"].report) == (Outcome.OK, [])
            assert kinds(checks["healthy-sender"].report) == (Outcome.WARNING, [Cause.STATE_NOT_KEPT])
            sending = checks["healthy-send"].report
            assert kinds(sending) == (Outcome.WARNING, [Cause.STATE_NOT_KEPT])
            assert sending.steps[-2].phase.value == "rcpt"
            asked = await agent.check_now("healthy-send")
            assert isinstance(asked, Report)
            assert kinds(asked) == kinds(sending)
            assert "cannot be used" in agent.unhealthy_reason()
            assert "smtpcheck_state_kept 0.0" in await shown(agent)
            assert 'smtpcheck_warning_info{check="healthy-send",cause="state_not_kept"}' in await shown(agent)
        assert not world.exchange.messages


async def test_locks_that_cannot_be_made_are_said_though_the_state_is_kept(tmp_path: Path) -> None:
    async with World(tmp_path, only("healthy")) as world:
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "locks").write_text("where the folder should be")
        async with running(world.config) as agent:
            await until(lambda: "healthy" in agent.state.checks)
            assert agent.state.checks["healthy"].report.outcome is Outcome.OK
            assert agent.unhealthy_reason().startswith("the lock file")
