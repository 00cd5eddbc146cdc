"""What the agent does with what it remembers: after a restart, after refusals, and when the disk fails."""

import asyncio
import re
import sqlite3
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp.test_utils import TestClient, TestServer

from smtpcheck.agent.agent import Agent
from smtpcheck.agent.on_demand import TooSoon
from smtpcheck.limits.send_limits import Limits
from smtpcheck.model.backoff import Breaker
from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome, Report
from smtpcheck.sandbox.scenarios import SCENARIOS
from smtpcheck.sandbox.world import World
from smtpcheck.state.check_state import CheckState
from smtpcheck.state.serialization import unpack
from smtpcheck.state.state import State
from smtpcheck.web import create_app
from tests.worlds.agents import HEALTHY, edit, only, refuse, running, shown
from tests.worlds.waiting import until

LOCKED = "535 5.7.139 Authentication unsuccessful, account is locked"


def samples(text: str, *names: str) -> list[str]:
    """Return the lines of some metrics."""
    return [line for line in text.splitlines() if line.startswith(tuple(f"smtpcheck_{name}" for name in names))]


def secrets_in(folder: Path) -> set[str]:
    """Return what the files of secrets in a world's folder hold."""
    kinds = {".secret", ".refresh-token", ".jwt", ".password"}
    return {path.read_text().strip() for path in folder.iterdir() if path.suffix in kinds}


_SECOND = """
import sys
from smtpcheck.cli import main
from smtpcheck.state import database
database.BUSY_SECONDS = 0.2
sys.argv[1:] = ["run", "-c", sys.argv[1], "--web.listen-address", "127.0.0.1:0"]
sys.exit(main())
"""


async def test_a_second_agent_in_one_folder_refuses_to_start(tmp_path: Path) -> None:
    """It would run every check a second time and repeat every alert."""
    async with World(tmp_path, HEALTHY) as world, running(world.config) as agent:
        await until(lambda: len(agent.state.checks) == 1)
        second = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _SECOND, str(world.config)), stdout=-1, stderr=-1
        )
        _, errors = await asyncio.wait_for(second.communicate(), 60)
        assert second.returncode == 1
        assert (
            errors.decode()
            .splitlines()[-1]
            .endswith("is in use by another agent. Stop that one, or give this one a folder of its own in agent.state")
        )
        assert agent.unhealthy_reason() == ""


async def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    """The metrics of every check are at once what they were, and go on from there; no run is made for it."""
    names = (
        "success",
        "runs_total{",
        "failures_total{",
        "last_",
        "outcome",
        "failure_info",
        "phase_duration",
        "tls_",
        "backoff",
    )
    async with World(tmp_path) as world:
        edit(world.config, lambda document: document["defaults"].update(interval="1h"))
        async with running(world.config, first_within=1.0) as agent:
            await until(lambda: len(agent.state.checks) == len(world.scenarios))
        expected, before = dict(agent.state.checks), samples(await shown(agent), *names)
        async with running(world.config, first_within=3600.0) as again:
            await until(again.ready)
            assert dict(again.state.checks) == expected
            assert samples(await shown(again), *names) == before
            assert len(before) > 10 * len(expected)


async def test_no_secret_and_no_token_is_in_the_file(tmp_path: Path) -> None:
    """Not in any report, for every way to a token that there is, nor in clear anywhere."""
    async with World(tmp_path) as world, running(world.config, first_within=1.0) as agent:
        await until(lambda: len(agent.state.checks) == len(world.scenarios))
        folder = agent.settings.agent.state
    connection = sqlite3.connect(folder / "state.db")
    packed = [row[0] for row in connection.execute("SELECT report FROM checks UNION ALL SELECT report FROM failures")]
    connection.close()
    assert len(packed) >= len(world.scenarios)
    texts = [zlib.decompress(each).decode() for each in packed]
    everything = "".join(texts) + (folder / "state.db").read_bytes().decode("latin-1")
    secrets = secrets_in(tmp_path)
    assert len(secrets) > 5
    assert {secret for secret in secrets if secret in everything} == set()
    assert re.findall(r"eyJ[\w-]+\.[\w-]+\.[\w-]+|BEGIN [A-Z ]*PRIVATE KEY|auth=Bearer", everything) == []
    assert all(unpack(each).check in world.expected for each in packed)


async def test_a_locked_account_is_left_alone_until_somebody_asks(tmp_path: Path) -> None:
    """One login, then none, over a restart too. "Check now" tries once more, and a success brings the check back."""
    async with World(tmp_path, HEALTHY) as world:
        edit(world.config, lambda document: document["checks"][0].update(interval="1s"))
        address = refuse(world, "healthy", LOCKED)
        async with running(world.config) as agent:
            await until(lambda: "healthy" in agent.state.checks)
            await asyncio.sleep(2.5)
            first = agent.state.checks["healthy"]
            waits_until = first.report.started_at + first.report.seconds + 900
            assert (first.report.cause, first.breaker) == (Cause.ACCOUNT_LOCKED, Breaker(1, waits_until))
            assert world.exchange.logins[address] == 1
            assert samples(await shown(agent), "backoff") == [
                f'smtpcheck_backoff_until_timestamp_seconds{{check="healthy"}} {waits_until:.3f}'
            ]
            assert waits_until <= next_run(agent) <= waits_until + 1.1
        async with running(world.config) as agent:
            await asyncio.sleep(2.5)
            assert (world.exchange.logins[address], agent.state.checks["healthy"]) == (1, first)
            assert waits_until <= next_run(agent) <= waits_until + 1.1
            refused = await agent.check_now("healthy")
            assert isinstance(refused, Report)
            assert agent.state.checks["healthy"].breaker == Breaker(1, refused.started_at + refused.seconds + 900)
            assert (world.exchange.logins[address], next_run(agent) > waits_until) == (2, True)
            refuse(world, "healthy", None)
            agent._runner._requested_at.clear()
            assert isinstance(await agent.check_now("healthy"), Report)
            assert (agent.state.checks["healthy"].breaker, samples(await shown(agent), "backoff")) == (Breaker(), [])
            runs = agent.state.checks["healthy"].runs
            await until(lambda: agent.state.checks["healthy"].runs >= runs + 2)


def waiting(state: CheckState) -> float | None:
    """Return how long after a run its check waits beyond its interval."""
    return state.breaker.until and state.breaker.until - (state.report.started_at + state.report.seconds)


async def test_repeated_refusals_lengthen_the_interval_and_a_success_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[CheckState] = []
    record = State.record

    def noted(*run: Any) -> CheckState:
        states.append(record(*run))
        return states[-1]

    monkeypatch.setattr(State, "record", noted)
    async with World(tmp_path, HEALTHY) as world:
        edit(world.config, lambda document: document["checks"][0].update(interval="200ms"))
        refuse(world, "healthy", "535 5.7.3 Authentication unsuccessful")
        async with running(world.config) as agent:
            await until(lambda: len(states) == 5)
            assert [waiting(state) for state in states] == [None, None, *map(pytest.approx, (0.4, 0.8, 1.6))]
            began = [state.report.started_at for state in states]
            assert (began[3] - began[2] > 0.4, began[4] - began[3] > 0.8) == (True, True)
            refuse(world, "healthy", None)
            await until(lambda: agent.state.checks["healthy"].report.outcome is Outcome.OK)
            assert agent.state.checks["healthy"].breaker == Breaker()
            runs = agent.state.checks["healthy"].runs
            await until(lambda: agent.state.checks["healthy"].runs >= runs + 3)


async def test_an_expected_refusal_neither_opens_the_breaker_nor_comes_again_by_a_restart(tmp_path: Path) -> None:
    """But it does where another one is expected since, for nobody waits half a day to see what came of that."""
    (scenario,) = (each for each in SCENARIOS if each.name == "mailbox-must-fail")
    async with World(tmp_path, [scenario]) as world:
        address = f"{scenario.name}@contoso.example"
        async with running(world.config) as agent:
            await until(lambda: scenario.name in agent.state.checks)
            state = agent.state.checks[scenario.name]
            assert (state.report.outcome, state.failures, state.breaker) == (Outcome.OK, 0, Breaker())
            text = samples(await shown(agent), "success", "failure_info")
            assert text == [f'smtpcheck_success{{check="{scenario.name}"}} 1']
        async with running(world.config) as agent:
            await until(agent.ready)
            assert (agent.next_run(scenario.name) or 0.0) >= state.report.started_at + 43_200 - 0.001
        assert world.exchange.logins[address] == 1
        edit(world.config, lambda document: document["checks"][0]["expect"].update(enhanced="5.7.139"))
        async with running(world.config) as agent:
            await until(lambda: agent.state.checks[scenario.name].runs == 2)
            report = agent.state.checks[scenario.name].report
            assert (report.outcome, world.exchange.logins[address]) == (Outcome.CRITICAL, 2)
            (info,) = samples(await shown(agent), "failure_info")
            assert 'phase="auth",' in info
            assert 'smtp_code="535"' in info


async def test_the_page_says_that_a_check_waits_and_that_nothing_is_kept(tmp_path: Path) -> None:
    """Where the state file cannot be used, every page says so, and the checks go on."""
    async with World(tmp_path, HEALTHY) as world:
        refuse(world, "healthy", LOCKED)
        folder = Path(yaml.safe_load(world.config.read_text())["agent"]["state"])
        (folder / "state.db").mkdir(parents=True)
        async with running(world.config) as agent, TestClient(TestServer(create_app(agent))) as client:
            await until(lambda: "healthy" in agent.state.checks)
            for path in ("/", "/checks/healthy"):
                page = await (await client.get(path)).text()
                assert "are kept in memory only" in page
            assert "in back-off; " in page
            answer = await (await client.get("/api/v1/checks/healthy")).json()
            assert answer["backoff_until"] == agent.state.checks["healthy"].breaker.until
            assert answer["next_run"] >= answer["backoff_until"]


def next_run(agent: Agent) -> float:
    """Return when the check runs next."""
    found = agent.next_run("healthy")
    assert found is not None
    return found


async def test_no_more_messages_are_sent_than_the_cap_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for more is told how long to wait, after a restart too, and a run that was left out is counted."""
    send = tuple(scenario for scenario in SCENARIOS if scenario.name == "healthy-send")
    monkeypatch.setattr(State.may_send, "__defaults__", (Limits(per_hour=2, per_day=9),))
    async with World(tmp_path, send) as world:
        async with running(world.config) as agent:
            await until(lambda: "healthy-send" in agent.state.checks)
            assert isinstance(await agent.check_now("healthy-send"), Report)
            assert len(world.exchange.messages) == 2
        async with running(world.config) as agent:
            await until(agent.ready)
            refused = await agent.check_now("healthy-send")
            assert isinstance(refused, TooSoon)
            assert 3500 < refused.seconds <= 3600
            assert 'smtpcheck_runs_skipped_total{reason="cap"} 1.0' in await shown(agent)
            next_run = agent.next_run("healthy-send")
            assert next_run
            assert next_run >= time.time() + refused.seconds - 1
            assert (len(world.exchange.messages), agent.state.checks["healthy-send"].runs) == (2, 2)


async def test_a_check_that_sends_waits_over_a_restart(tmp_path: Path) -> None:
    """Each start would send a message otherwise: an agent that is killed again and again sends no more than one."""
    async with World(tmp_path, only("healthy-send")) as world:
        async with running(world.config) as agent:
            await until(lambda: len(world.exchange.messages) == 1)
            await until(lambda: "healthy-send" in agent.state.checks)
            sent_at = agent.state.last_sent("healthy-send@contoso.example")
            interval = agent.settings.checks[0].interval
        for _ in range(2):
            async with running(world.config) as agent:
                await until(agent.ready)
                assert sent_at
                assert (agent.next_run("healthy-send") or 0.0) >= sent_at + interval - 0.1
                assert not agent._runner.running
        assert len(world.exchange.messages) == 1


async def test_a_check_that_comes_back_by_a_reload_goes_on_counting(tmp_path: Path) -> None:
    """Taken out of the configuration and put in again, it is known with all that was known before."""
    async with World(tmp_path, HEALTHY) as world, running(world.config) as agent:
        await until(lambda: "healthy" in agent.state.checks)
        document, known = world.config.read_text(), agent.state.checks["healthy"]
        edit(world.config, lambda document: document["checks"][0].update(name="renamed"))
        assert await agent.reload() == ()
        assert "healthy" not in agent.state.checks
        world.config.write_text(document)
        assert await agent.reload() == ()
        assert agent.state.checks["healthy"] == known
