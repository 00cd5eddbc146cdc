"""The agent: schedule, reload, drain, and what it says of itself; on the embedded world."""

import asyncio
import re
import socket
from pathlib import Path

import pytest
import structlog
import yaml

from smtpcheck.agent.on_demand import TooSoon
from smtpcheck.check import conversation as conversation_module
from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome, Report
from smtpcheck.oauth import broker
from smtpcheck.sandbox.scenarios import SCENARIOS
from smtpcheck.sandbox.world import World
from tests.worlds.agents import HEALTHY, SILENT, edit, running, shown, unhurried
from tests.worlds.inspection import read_yesterday
from tests.worlds.silence import silent_port
from tests.worlds.waiting import until


async def test_every_check_has_a_result_soon_after_the_start(tmp_path: Path) -> None:
    """The first runs come within the time that the agent was told, whatever the interval; metrics show each.

    What a loopback says comes when its message was found or is lost, and without another run.
    """
    async with World(tmp_path) as world:
        unhurried(world)
        before = await read_yesterday(world)
        async with running(world.config, first_within=1.0) as agent:
            for credential, reading in before.items():
                agent.state.inspections.put(credential, reading)
            await until(lambda: len(agent.state.checks) == len(world.scenarios))
            reports = {name: state.report for name, state in agent.state.checks.items()}
            wrong = {name for name, report in reports.items() if not world.expected[name].expects(report)}
            later = agent.settings.loopbacks.keys() | {
                check.name for check in agent.settings.checks if check.credential in agent.settings.inspections
            }
            assert wrong - later == set()
            await until(lambda: all(world.expected[name].expects(agent.state.checks[name].report) for name in wrong))
            text = await shown(agent)
    for scenario in world.scenarios:
        success = 0 if scenario.outcome is Outcome.CRITICAL else 1
        assert f'smtpcheck_success{{check="{scenario.name}"}} {success}' in text


async def test_checks_run_again_at_their_interval(tmp_path: Path) -> None:
    async with World(tmp_path, HEALTHY) as world:
        edit(world.config, lambda document: document["checks"][0].update(interval="1s"))
        async with running(world.config) as agent:
            await until(lambda: "healthy" in agent.state.checks and agent.state.checks["healthy"].runs >= 3)
            assert [run.outcome for run in agent.state.checks["healthy"].history()] == [Outcome.OK] * 3
        assert world.issuer.token_requests.total() == 1


async def test_a_reload_drops_and_adds_checks_and_keeps_what_stays(tmp_path: Path) -> None:
    """The series of a removed check disappear, the state of one that stays is kept, and the token too."""
    two = tuple(scenario for scenario in SCENARIOS if scenario.name in {"healthy", "healthy-sender"})
    async with World(tmp_path, two) as world, running(world.config) as agent:
        await until(lambda: len(agent.state.checks) == 2)
        kept = agent.state.checks["healthy"]
        edit(world.config, lambda document: document["checks"].pop(1))
        assert await agent.reload() == ()
        assert dict(agent.state.checks) == {"healthy": kept}
        text = await shown(agent)
        assert 'check="healthy"' in text
        assert 'check="healthy-sender"' not in text
        assert "smtpcheck_config_last_reload_successful 1" in text
        assert "smtpcheck_checks 1" in text
        assert (agent.next_run("healthy-sender"), world.issuer.token_requests.total()) == (None, 1)


async def test_a_bad_file_keeps_the_old_configuration(tmp_path: Path) -> None:
    """The agent says what is wrong, shows it as a metric, and goes on."""
    async with World(tmp_path, HEALTHY) as world, running(world.config) as agent:
        before = agent.settings
        world.config.write_text("checks: [{name: healthy}]\nagnet: {}\n")
        problems = await agent.reload()
        assert any("agnet" in str(problem) for problem in problems)
        assert agent.settings is before
        assert "smtpcheck_config_last_reload_successful 0" in await shown(agent)
        await until(lambda: "healthy" in agent.state.checks)


async def test_a_bad_web_configuration_is_in_the_same_metric(tmp_path: Path) -> None:
    async with World(tmp_path, HEALTHY) as world, running(world.config) as agent:
        for usable, value in ((False, 0), (True, 1)):
            agent.web_config_read(usable)
            assert f"smtpcheck_config_last_reload_successful {value}" in await shown(agent)


async def test_a_run_on_request_has_a_fresh_token_and_is_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second request within ten seconds is told how long to wait."""
    monkeypatch.setattr(broker, "SPACING_SECONDS", 0.0)
    async with World(tmp_path, HEALTHY) as world:
        edit(world.config, lambda document: document["defaults"].update(interval="1h"))
        async with running(world.config) as agent:
            await until(lambda: "healthy" in agent.state.checks and not agent._runner.running)
            report = await agent.check_now("healthy")
            assert isinstance(report, Report)
            assert (report.outcome, world.issuer.token_requests.total()) == (Outcome.OK, 2)
            assert agent.state.checks["healthy"].report.started_at == report.started_at
            again = await agent.check_now("healthy")
            assert isinstance(again, TooSoon)
            assert 0 < again.seconds <= 10
            with pytest.raises(KeyError):
                await agent.check_now("nobody")


async def test_draining_lets_a_run_end(tmp_path: Path) -> None:
    """A run that is under way when the agent is stopped is finished and kept, not cut off."""
    async with World(tmp_path, SILENT) as world:
        edit(world.config, lambda document: document["checks"][0].update(timeout="2s"))
        async with running(world.config) as agent:
            await until(lambda: world.exchange.connections.total() > 0)
            assert "silent" not in agent.state.checks
        assert agent.state.checks["silent"].report.cause is Cause.TIMEOUT


async def test_a_fault_of_our_own_is_unknown_and_the_agent_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the check nor the agent dies of it; it is counted."""

    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    async with World(tmp_path, HEALTHY) as world:
        edit(world.config, lambda document: document["checks"][0].update(interval="1s"))
        with monkeypatch.context() as patch:
            patch.setattr(conversation_module, "converse", broken)
            async with running(world.config) as agent:
                await until(lambda: "healthy" in agent.state.checks)
                report = agent.state.checks["healthy"].report
                text = await shown(agent)
                patch.undo()
                await until(lambda: agent.state.checks["healthy"].report.outcome is Outcome.OK)
    assert (report.outcome, report.cause) == (Outcome.UNKNOWN, Cause.INTERNAL)
    assert "smtpcheck_internal_errors_total 1" in text
    assert 'smtpcheck_success{check="healthy"}' not in text


async def test_an_agent_without_network_says_so_of_itself(tmp_path: Path) -> None:
    """Two hosts that fail before a connection stands make the failures unknown; one host that answers ends it."""
    with silent_port() as port:
        checks = [
            {"name": "a", "mailbox": "", "server": {"host": "127.0.0.1", "port": port}},
            {"name": "b", "mailbox": "", "server": {"host": "127.0.0.2", "port": port}},
        ]
        for check in checks:
            check |= {
                "depth": "connect",
                "interval": "1s",
                "timeout": "500ms",
                "mailbox": f"{check['name']}@example.org",
            }
        config = tmp_path / "checks.yaml"
        config.write_text(yaml.safe_dump({"agent": {"state": str(tmp_path / "state")}, "checks": checks}))
        async with running(config) as agent:
            await until(lambda: any(s.report.cause is Cause.AGENT_CUT_OFF for s in agent.state.checks.values()))
            text = await shown(agent)
            assert "smtpcheck_cut_off 1" in text
            async with await asyncio.start_server(_hello, sock=_listening("127.0.0.3")) as server:
                address = server.sockets[0].getsockname()
                edit(config, lambda document: document["checks"].append(_third(address)))
                assert await agent.reload() == ()
                await until(lambda: "c" in agent.state.checks and agent.state.checks["c"].runs >= 1)
                await until(lambda: agent.state.checks["a"].report.outcome is Outcome.CRITICAL)
                assert "smtpcheck_cut_off 0" in await shown(agent)


def _listening(host: str) -> socket.socket:
    listener = socket.socket()
    listener.bind((host, 0))
    listener.listen()
    return listener


def _third(address: tuple[str, int]) -> dict[str, object]:
    server = {"host": address[0], "port": address[1], "security": "none"}
    return {"name": "c", "mailbox": "c@example.org", "depth": "connect", "interval": "1s", "server": server}


async def _hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 hello\r\n")
    while line := await reader.readline():
        writer.write(b"221 bye\r\n" if line.startswith(b"QUIT") else b"250 ok\r\n")
    writer.close()
    await writer.wait_closed()


async def test_a_reload_that_drops_a_running_check_and_its_credential_lets_the_run_end(tmp_path: Path) -> None:
    """The run ends as any other, and is kept no more."""
    async with World(tmp_path, SILENT) as world:
        edit(world.config, lambda document: document["checks"][0].update(interval="1h"))
        async with running(world.config, first_within=3600) as agent:
            await until(agent.ready)
            run = asyncio.create_task(agent.check_now("silent"))
            await until(lambda: world.exchange.connections.total() > 0)
            other = {"name": "other", "depth": "connect", "server": {"host": "localhost"}, "interval": "1h"}
            edit(world.config, lambda document: document.update(credentials={}, checks=[other]))
            assert await agent.reload() == ()
            report = await run
    assert isinstance(report, Report)
    assert (report.cause, dict(agent.state.checks)) == (Cause.TIMEOUT, {})


async def test_a_reload_tells_what_waits_for_the_next_start(tmp_path: Path) -> None:
    """An open port, a folder in use and the limits of what runs stay as they were, and the log says so."""
    async with World(tmp_path, HEALTHY) as world, running(world.config) as agent:
        edit(world.config, lambda document: document["agent"].update(max_open_connections=7, expose_addresses=True))
        with structlog.testing.capture_logs() as logs:
            assert await agent.reload() == ()
            assert await agent.reload() == ()
        assert 'mailbox="healthy@contoso.example"' in await shown(agent)
    told = [log for log in logs if log["log_level"] == "warning"]
    event = "these settings take effect at the next start"
    assert told == [{"event": event, "log_level": "warning", "settings": ["agent.max_open_connections"]}] * 2


async def test_a_check_runs_once_at_a_time(tmp_path: Path) -> None:
    """A slot that comes while the last run goes on is left out and counted, and nobody can ask for a second run."""
    async with World(tmp_path, SILENT) as world:
        edit(world.config, lambda document: document["checks"][0].update(interval="300ms", timeout="1500ms"))
        async with running(world.config) as agent:
            await until(lambda: world.exchange.connections.total() > 0)
            assert isinstance(await agent.check_now("silent"), TooSoon)
            await until(lambda: "silent" in agent.state.checks)
            text = await shown(agent)
    left_out = re.search(r'^smtpcheck_runs_skipped_total{reason="running"} (\S+)$', text, re.MULTILINE)
    assert left_out
    assert float(left_out[1]) >= 2


async def test_a_reload_takes_another_client_at_once(tmp_path: Path) -> None:
    """The token of the old one is used no more, and what is wrong with the new one shows."""
    async with World(tmp_path, HEALTHY) as world, running(world.config) as agent:
        await until(lambda: "healthy" in agent.state.checks)
        unknown = "00000000-0000-0000-0000-000000000000"
        edit(world.config, lambda document: document["credentials"]["contoso"].update(client_id=unknown))
        assert await agent.reload() == ()
        report = await agent.check_now("healthy")
    assert isinstance(report, Report)
    assert report.cause is Cause.APP_NOT_IN_TENANT
