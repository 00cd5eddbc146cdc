"""Whose fault a failure is: the agent's own standstill, its lost network, or the server's."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from smtpcheck.agent import witnesses
from smtpcheck.agent.health import Health
from smtpcheck.config import AgentSettings, Settings
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Phase
from smtpcheck.model.report import FaultKind, Outcome, Report, Step, TokenError, TokenErrorKind
from smtpcheck.network.network import Network
from tests.worlds.samples import BILLING, NOW, failed, report

CHECK = replace(BILLING, timeout=5.0, token_timeout=5.0)
ISSUER = "login.example.org"
OTHER = replace(CHECK, name="other", server=replace(CHECK.server, host="mx.example.net"))


@pytest.fixture(autouse=True)
def _route(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witnesses, "has_default_route", lambda: True)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine that nothing listens on: it refuses."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        yield unheard.getsockname()[1]


@pytest.fixture
async def listening() -> AsyncIterator[int]:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


SETTINGS = Settings(AgentSettings(("127.0.0.1", 0), Path()), checks=(CHECK, OTHER))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def health(*witnessed: int, clock: Clock | None = None, host: str = "127.0.0.1") -> Health:
    agent = AgentSettings(("127.0.0.1", 0), Path(), connectivity=tuple((host, port) for port in witnessed))
    return Health(replace(SETTINGS, agent=agent), Network.for_servers(()), clock or Clock(), tick_seconds=0.25)


def result(report: Report) -> tuple[Outcome, Cause | None]:
    return report.outcome, report.cause


async def test_two_servers_that_refuse_the_connection_are_two_outages() -> None:
    own = health()
    for check in (CHECK, OTHER):
        report = await own.after_run(check, failed(FaultKind.REFUSED, check=check.name), "")
        assert report.outcome is Outcome.CRITICAL
    assert not own.has_lost_connectivity()


async def test_two_hosts_that_do_not_answer_are_no_connectivity() -> None:
    own = health()
    assert (await own.after_run(CHECK, failed(FaultKind.TIMEOUT), "")).outcome is Outcome.CRITICAL
    found = await own.after_run(OTHER, failed(FaultKind.UNREACHABLE, check="other"), "")
    assert result(found) == (Outcome.UNKNOWN, Cause.AGENT_CUT_OFF)
    assert own.has_lost_connectivity()


async def test_an_issuers_failure_that_is_remembered_from_a_time_without_network_is_not_its_own() -> None:
    """When the network is back, the issuer is asked again only after its back-off."""
    clock = Clock()
    own = health(clock=clock)
    await own.after_run(CHECK, failed(FaultKind.TIMEOUT), ISSUER)
    await own.after_run(OTHER, failed(FaultKind.TIMEOUT, check="other"), ISSUER)
    clock.now += 30.0
    own.start()
    await own.after_run(OTHER, report(Outcome.OK, Step(Phase.CONNECT, 0.0, 0.1), check="other"), ISSUER)
    error = TokenError(TokenErrorKind.CONNECT, NOW - 40.0)
    remembered = failed(FaultKind.TOKEN, Phase.TOKEN, seconds=0.0, token_error=error, started_at=NOW)
    assert result(await own.after_run(CHECK, remembered, ISSUER)) == (Outcome.UNKNOWN, Cause.AGENT_CUT_OFF)
    again = structs.replace(remembered, token_error=structs.replace(error, at=NOW))
    assert (await own.after_run(CHECK, again, ISSUER)).outcome is Outcome.CRITICAL


async def test_a_reload_judges_connectivity_by_the_new_checks_alone() -> None:
    """What was tried for others before says nothing, and a try counts for the longest interval that there is now."""
    clock = Clock()
    own = health(clock=clock)
    await own.after_run(CHECK, failed(FaultKind.TIMEOUT), "")
    await own.after_run(OTHER, failed(FaultKind.TIMEOUT, check="other"), "")
    assert own.has_lost_connectivity()
    hourly = tuple(replace(check, interval=3600.0) for check in (CHECK, OTHER))
    own.replace(replace(SETTINGS, checks=hourly), Network.for_servers(()))
    assert not own.has_lost_connectivity()
    await own.after_run(hourly[0], failed(FaultKind.TIMEOUT), "")
    clock.now += 3000.0
    own.start()
    found = await own.after_run(hourly[1], failed(FaultKind.TIMEOUT, check="other"), "")
    assert result(found) == (Outcome.UNKNOWN, Cause.AGENT_CUT_OFF)


async def test_a_witness_that_answers_makes_two_silent_hosts_two_outages(listening: int, closed_port: int) -> None:
    for answering in (listening, closed_port):
        own = health(answering)
        both = await asyncio.gather(
            own.after_run(CHECK, failed(FaultKind.TIMEOUT), ""),
            own.after_run(OTHER, failed(FaultKind.TIMEOUT, check="other"), ""),
        )
        assert [report.outcome for report in both] == [Outcome.CRITICAL] * 2


async def test_one_silent_host_and_a_silent_witness_are_no_connectivity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witnesses, "WITNESS_SECONDS", 0.05)
    with socket.socket() as full:  # its queue takes one connection, and nobody accepts it
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        own = health(full.getsockname()[1])
        found = await own.after_run(CHECK, failed(FaultKind.TIMEOUT), "")
        for each in waiting:
            each.close()
    assert result(found) == (Outcome.UNKNOWN, Cause.AGENT_CUT_OFF)


async def test_witnesses_are_asked_once_for_all_that_fail_together(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def count(*_: object) -> list[object]:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return []

    monkeypatch.setattr(witnesses, "ask", count)
    clock = Clock()
    own = health(1, clock=clock)
    await asyncio.gather(*(own.after_run(CHECK, failed(FaultKind.TIMEOUT), "") for _ in range(20)))
    assert asked == 1
    clock.now += 60.0
    own.start()
    await own.after_run(CHECK, failed(FaultKind.TIMEOUT), "")
    assert asked == 2


async def test_one_host_alone_is_the_agents_fault_where_there_is_no_route(monkeypatch: pytest.MonkeyPatch) -> None:
    own = health()
    assert (await own.after_run(CHECK, failed(FaultKind.UNREACHABLE), "")).outcome is Outcome.CRITICAL
    monkeypatch.setattr(witnesses, "has_default_route", lambda: False)
    found = await own.after_run(CHECK, failed(FaultKind.UNREACHABLE), "")
    assert result(found) == (Outcome.UNKNOWN, Cause.AGENT_CUT_OFF)


async def test_a_paused_agent_does_not_call_its_own_standstill_critical() -> None:
    clock = Clock()
    own = health(clock=clock)
    clock.now += 12.25
    found = await own.after_run(CHECK, failed(FaultKind.TIMEOUT, Phase.AUTH, seconds=12.0), "")
    assert result(found) == (Outcome.UNKNOWN, Cause.AGENT_STALLED)
    own.tick()
    assert own.loop_stalled_seconds == 12.0


async def test_a_refusal_during_a_standstill_stays_a_refusal() -> None:
    clock = Clock()
    own = health(clock=clock)
    clock.now += 12.25
    found = await own.after_run(CHECK, failed(FaultKind.TLS_EXPIRED, Phase.TLS, seconds=12.0), "")
    assert found.outcome is Outcome.CRITICAL


async def test_a_dead_server_is_not_excused_by_a_moment_of_standstill() -> None:
    clock = Clock()
    own = health(clock=clock)
    clock.now += 0.75
    found = await own.after_run(CHECK, failed(FaultKind.TIMEOUT, Phase.AUTH, seconds=5.0), "")
    assert found.outcome is Outcome.CRITICAL


HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
LOCAL = "eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
DEFAULT = "eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
NONE_V6 = f"{'0' * 32} 00 {'0' * 32} 00 {'0' * 32} ffffffff 00000001 00000000 00200200       lo\n"
DEFAULT_V6 = f"{'0' * 32} 00 {'0' * 32} 00 fe80{'0' * 27}1 00000400 00000001 00000000 00450003     eth0\n"


@pytest.mark.parametrize(
    ("v4", "v6", "expected"),
    [
        (HEAD + LOCAL + DEFAULT, NONE_V6, True),
        (HEAD + LOCAL, NONE_V6, False),
        (HEAD, NONE_V6 + DEFAULT_V6, True),
        (HEAD, "", False),
        (HEAD + "a line that is cut\n", "short\n", False),
    ],
)
def test_the_default_route_is_read_where_linux_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, v4: str, v6: str, expected: bool
) -> None:
    monkeypatch.undo()
    (tmp_path / "route").write_text(v4)
    (tmp_path / "ipv6_route").write_text(v6)
    assert witnesses.has_default_route(tmp_path) is expected


def test_a_system_that_does_not_say_is_taken_to_have_a_route(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert witnesses.has_default_route(tmp_path)


def test_an_agent_whose_ticks_end_is_stuck() -> None:
    clock = Clock()
    own = health(clock=clock)
    own.tick()
    assert own.stuck_reason(clock.now + 60) == ""
    clock.now += 11.0
    assert own.stuck_reason(clock.now + 60) == "no check is started"


def test_a_check_that_is_due_and_not_started_is_told_though_ticks_go_on() -> None:
    clock = Clock()
    own = health(clock=clock)
    clock.now += 60.0
    own.tick()
    assert own.stuck_reason(clock.now - 1.0) == ""
    assert "not started" in own.stuck_reason(clock.now - 11.0)


def test_runs_that_nobody_gets_to_know_make_the_agent_stuck() -> None:
    own = health()
    for _ in range(3):
        assert own.stuck_reason(200.0) == ""
        own.died()
    assert "published" in own.stuck_reason(200.0)
    own.published()
    assert own.stuck_reason(200.0) == ""
    assert own.internal_errors == 3
