"""A run that waits for its slot longer than its check's interval says nothing of the server, and that it waits."""

import signal
import sys
from functools import partial
from pathlib import Path

from structlog.testing import capture_logs

from smtpcheck.agent.agent import Agent
from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome
from smtpcheck.sandbox.world import World
from tests.worlds.agents import HEALTHY, SILENT, edit, only, running, shown
from tests.worlds.locks import holding
from tests.worlds.waiting import until

MAILBOX = "healthy@contoso.example"


def outcome(agent: Agent, name: str = "healthy") -> tuple[Outcome, Cause | None] | None:
    state = agent.state.checks.get(name)
    return (state.report.outcome, state.report.cause) if state else None


def is_overloaded(agent: Agent, name: str = "healthy") -> bool:
    return outcome(agent, name) == (Outcome.UNKNOWN, Cause.AGENT_OVERLOADED)


def evidence(agent: Agent, name: str = "healthy") -> tuple[str, ...]:
    return agent.state.checks[name].report.findings[0].evidence


async def test_a_stopped_process_that_holds_the_mailbox_holds_no_check_for_ever(tmp_path: Path) -> None:
    """As Ctrl-Z does to `smtpcheck check`: the check is unknown after its interval, and the process is named."""
    async with World(tmp_path, HEALTHY) as world:
        edit(world.config, lambda document: document["checks"][0].update(interval="1s"))
        async with running(world.config) as agent:
            await until(lambda: outcome(agent) == (Outcome.OK, None))
            with holding(agent.settings.agent.state / "locks", MAILBOX) as other:
                other.send_signal(signal.SIGSTOP)
                await until(lambda: is_overloaded(agent))
                said = evidence(agent)
                holder = f"process {other.pid}" if sys.platform == "linux" else "another process"
                assert said == (
                    "the run had no slot within 1 s",
                    f"{holder} holds the lock of this mailbox",
                    "0 other runs wait for a slot",
                )
                assert 'smtpcheck_success{check="healthy"}' not in await shown(agent)
            await until(lambda: outcome(agent) == (Outcome.OK, None))


async def test_runs_that_wait_for_a_dead_servers_places_are_unknown_and_the_log_says_how_many_once(
    tmp_path: Path,
) -> None:
    others = only("healthy", "healthy-certificate")
    async with World(tmp_path, (*SILENT, *others)) as world:

        def one_connection(document: dict[str, dict[str, object]]) -> None:
            document["agent"]["max_open_connections"] = 1
            document["defaults"].update(interval="1s", timeout="1m")

        edit(world.config, one_connection)
        with capture_logs() as logs:
            async with running(world.config) as agent:
                for name in (scenario.name for scenario in others):
                    await until(partial(is_overloaded, agent, name))
                    assert "all 1 connections (agent.max_open_connections) are in use" in evidence(agent, name)
                for task in agent._runner.running:
                    task.cancel()
        told = [log for log in logs if log["event"].startswith("overloaded")]
        assert [(log["log_level"], log["waiting"] in {0, 1}) for log in told] == [("error", True)]


async def test_a_token_that_is_refused_is_the_failure_though_there_was_no_slot(tmp_path: Path) -> None:
    async with World(tmp_path, only("secret-expired")) as world:
        edit(world.config, lambda document: document["checks"][0].update(interval="1s"))
        (scenario,) = world.scenarios
        with holding(tmp_path / "state" / "locks", f"{scenario.name}@contoso.example"):
            async with running(world.config) as agent:
                await until(lambda: outcome(agent, scenario.name) == (Outcome.CRITICAL, scenario.cause))
                assert [step.phase.value for step in agent.state.checks[scenario.name].report.steps] == ["token"]
