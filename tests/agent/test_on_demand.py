"""Runs that a request asks for: what they count for, when they are left out, and how they end in time."""

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from msgspec import structs
from prometheus_client.parser import text_string_to_metric_families

from smtpcheck.agent import on_demand
from smtpcheck.agent.agent import Agent
from smtpcheck.agent.on_demand import Busy, ran_out_of_slots
from smtpcheck.model.backoff import Breaker
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Phase
from smtpcheck.model.report import Fault, FaultKind, Outcome, Report, Step
from smtpcheck.sandbox.scenario import RECIPIENT, Scenario
from smtpcheck.sandbox.smtp_session import Listener
from smtpcheck.sandbox.world import World
from smtpcheck.web import create_app
from tests.agent.test_agent_state import LOCKED
from tests.worlds.agents import HEALTHY, SILENT, edit, refuse, running, shown
from tests.worlds.waiting import HANG_SECONDS, until

SLOW = (Scenario("slow", "Each reply takes its time.", server=Listener(delay=0.15)),)


@asynccontextmanager
async def asking(world: World, **keys: Any) -> AsyncIterator[tuple[Agent, TestClient[Any, Any]]]:
    """Run an agent that schedules nothing by itself, unless `keys` of its checks say so, and a client that asks it."""
    edit(world.config, lambda document: [check.update({"schedule": False, **keys}) for check in document["checks"]])
    async with running(world.config) as agent, TestClient(TestServer(create_app(agent))) as client:
        await until(agent.ready)
        yield agent, client


async def probe(client: TestClient[Any, Any], name: str, seconds: str = "10", **more: str) -> tuple[int, str]:
    """Return status and text of what /probe answers."""
    headers = {"X-Prometheus-Scrape-Timeout-Seconds": seconds}
    answer = await client.get("/probe", params={"check": name, **more}, headers=headers)
    return answer.status, await answer.text()


async def answered(client: TestClient[Any, Any], name: str) -> tuple[float, str]:
    """Return the scrape's timeout and the text of the first probe that could run in its time, on a slow machine too."""
    for seconds in (1.5, 15.0, 150.0):
        async with asyncio.timeout(seconds + HANG_SECONDS):
            status, text = await probe(client, name, str(seconds))
        if status == 200:
            return seconds, text
    pytest.fail("no run in time")


def values(text: str) -> dict[str, float]:
    """Return the samples by name, of several with one name the last."""
    return {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}


async def test_a_check_without_a_schedule_runs_when_it_is_asked_for(tmp_path: Path) -> None:
    """The answer is that one run. Page and history have it too; /metrics does not, for Prometheus has it already."""
    async with World(tmp_path, HEALTHY) as world, asking(world) as (agent, client):
        assert (agent.next_run("healthy"), dict(agent.state.checks)) == (None, {})
        status, text = await probe(client, "healthy")
        seen = values(text)
        assert status == 200
        assert (seen["smtpcheck_success"], seen["smtpcheck_probe_suppressed"]) == (1.0, 0.0)
        assert seen.keys() & {"smtpcheck_runs_total", "smtpcheck_failures_total", "smtpcheck_checks"} == set()
        assert agent.state.checks["healthy"].report.outcome is Outcome.OK
        assert 'check="healthy"' not in await shown(agent)
        await agent.check_now("healthy")
        assert 'check="healthy"' not in await shown(agent)


async def test_a_probe_of_a_scheduled_check_changes_none_of_its_values(tmp_path: Path) -> None:
    async with World(tmp_path, HEALTHY) as world, asking(world, schedule=True, interval="1h") as (agent, client):
        await until(lambda: "healthy" in agent.state.checks)
        before, metrics = agent.state.checks["healthy"], await shown(agent)
        agent._requests._state._checks["healthy"] = structs.replace(
            before, report=structs.replace(before.report, started_at=0.0)
        )
        assert values((await probe(client, "healthy"))[1])["smtpcheck_success"] == 1.0
        after = agent.state.checks["healthy"]
        assert (after.runs, after.packed_history, after.packed_hours) == (1, before.packed_history, before.packed_hours)
        assert [line for line in (await shown(agent)).splitlines() if 'check="' in line] == [
            line for line in metrics.splitlines() if 'check="' in line
        ]


async def test_a_probe_that_failed_is_an_answer(tmp_path: Path) -> None:
    async with World(tmp_path, HEALTHY) as world, asking(world) as (_, client):
        refuse(world, "healthy", "535 5.7.3 Authentication unsuccessful")
        status, text = await probe(client, "healthy")
        assert (status, values(text)["smtpcheck_success"]) == (200, 0.0)
        assert 'phase="auth"' in text


@pytest.mark.parametrize("scheduled", [False, True])
async def test_a_refusal_opens_the_breaker_and_nothing_is_run_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheduled: bool
) -> None:
    """A scheduled check waits too; a success of a probe ends the wait."""
    monkeypatch.setattr(on_demand, "SPACING", 0.0)
    async with World(tmp_path, HEALTHY) as world, asking(world, schedule=scheduled, interval="1h") as (agent, client):
        if scheduled:
            await until(lambda: "healthy" in agent.state.checks)
        address = refuse(world, "healthy", LOCKED)
        already = world.exchange.logins[address]
        assert values((await probe(client, "healthy"))[1])["smtpcheck_success"] == 0.0
        opened = agent.state.breaker("healthy")
        assert opened.refusals == 1
        assert opened.until is not None
        connections = world.exchange.connections.total()
        status, text = await probe(client, "healthy")
        seen = values(text)
        assert (status, seen["smtpcheck_probe_suppressed"]) == (200, 1.0)
        assert "smtpcheck_success" not in seen
        assert seen["smtpcheck_backoff_until_timestamp_seconds"] == round(opened.until, 3)
        assert (world.exchange.connections.total(), world.exchange.logins[address]) == (connections, already + 1)
        assert ((agent.next_run("healthy") or 0.0) > opened.until - 1) is scheduled
        refuse(world, "healthy", None)
        agent.state._checks["healthy"] = structs.replace(agent.state.checks["healthy"], breaker=Breaker(1, 1.0))
        assert values((await probe(client, "healthy"))[1])["smtpcheck_success"] == 1.0
        assert agent.state.breaker("healthy") == Breaker()


async def test_what_a_probe_was_refused_counts_before_the_first_scheduled_run(tmp_path: Path) -> None:
    """The breaker is heard although nothing else is known of the check, and the first run goes on from it."""
    async with World(tmp_path, HEALTHY) as world:
        edit(world.config, lambda document: document["checks"][0].update(interval="1h"))
        refuse(world, "healthy", LOCKED)
        async with running(world.config, first_within=3600) as agent:
            await until(agent.ready)
            await agent.probe_now("healthy", 5.0)
            assert (agent.state.breaker("healthy").refusals, dict(agent.state.checks)) == (1, {})
            check = agent.settings.checks[0]
            failed = Report("healthy", 2e9, 1.0, Outcome.UNKNOWN)
            assert agent.state.record(check, failed).breaker.refusals == 1


async def test_a_second_probe_shortly_after_gets_the_result_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two scrapers that ask at the same time both see the check; the time of the run shows that it is one."""
    async with World(tmp_path, HEALTHY) as world, asking(world) as (_, client):
        first = values((await probe(client, "healthy"))[1])
        logins = world.exchange.logins.total()
        again = values((await probe(client, "healthy"))[1])
        assert (first.pop("smtpcheck_probe_suppressed"), again.pop("smtpcheck_probe_suppressed")) == (0.0, 1.0)
        assert first == again
        assert first["smtpcheck_success"] == 1.0
        assert world.exchange.logins.total() == logins
        monkeypatch.setattr(on_demand, "SPACING", 0.0)
        assert "smtpcheck_success" in values((await probe(client, "healthy"))[1])


async def test_a_refusal_that_is_expected_is_provoked_no_more_often_than_its_interval_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_demand, "SPACING", 0.0)
    expect = {"expect": {"phase": "auth", "code": 535}, "depth": "auth", "interval": "1h"}
    async with World(tmp_path, HEALTHY) as world, asking(world, **expect) as (agent, client):
        address = refuse(world, "healthy", "535 5.7.139 Authentication unsuccessful")
        assert values((await probe(client, "healthy"))[1])["smtpcheck_success"] == 1.0
        assert values((await probe(client, "healthy"))[1])["smtpcheck_probe_suppressed"] == 1.0
        assert world.exchange.logins[address] == 1
        last = agent._requests._reports["healthy"]
        agent._requests._reports["healthy"] = structs.replace(last, started_at=time.time() - 3601)
        known = agent.state.checks["healthy"]
        agent.state._checks["healthy"] = structs.replace(known, report=structs.replace(known.report, started_at=0.0))
        assert values((await probe(client, "healthy"))[1])["smtpcheck_probe_suppressed"] == 0.0


async def test_probes_of_one_mailbox_wait_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two checks of one mailbox, asked for at once, both run, one after the other."""
    monkeypatch.setattr(on_demand, "SPACING", 0.0)
    async with World(tmp_path, SLOW) as world:
        edit(world.config, lambda d: d["checks"].append({**d["checks"][0], "name": "twin"}))
        async with asking(world) as (_, client):
            answers = await asyncio.gather(probe(client, "slow"), probe(client, "twin"), probe(client, "slow"))
            assert [(status, values(text)["smtpcheck_success"]) for status, text in answers] == [(200, 1.0)] * 3
            assert set(world.exchange.most_open.values()) == {1}


async def test_where_the_wait_takes_the_time_the_answer_is_503(tmp_path: Path) -> None:
    """For the same check and for another one of the mailbox; neither counts as a failure of the server."""
    async with World(tmp_path, SILENT) as world:
        edit(world.config, lambda d: d["checks"].append({**d["checks"][0], "name": "twin"}))
        async with asking(world, timeout="3s") as (agent, client):
            first = asyncio.create_task(probe(client, "silent"))
            await until(lambda: world.exchange.connections.total() > 0)
            answers = await asyncio.gather(probe(client, "silent", "1"), probe(client, "twin", "1"))
            assert [status for status, _ in answers] == [503, 503]
            assert (dict(agent.state.checks), world.exchange.connections.total()) == ({}, 1)
            assert values((await first)[1])["smtpcheck_success"] == 0.0


async def test_a_run_beside_a_scheduled_one_waits_for_it_too(tmp_path: Path) -> None:
    async with World(tmp_path, SILENT) as world, asking(world, schedule=True, timeout="3s") as (agent, client):
        await until(lambda: world.exchange.connections.total() > 0)
        status, text = await probe(client, "silent", "1")
        assert (status, text) == (503, "busy: not run in time, because of other runs\n")
        await until(lambda: "silent" in agent.state.checks)


async def test_the_end_of_the_agent_waits_for_a_run_on_request(tmp_path: Path) -> None:
    """As for any other run; it is finished and kept, and what is asked for later is not begun."""
    async with World(tmp_path, SILENT) as world:
        edit(world.config, lambda document: document["checks"][0].update(schedule=False, timeout="2s"))
        async with running(world.config) as agent:
            await until(agent.ready)
            run = asyncio.create_task(agent.probe_now("silent", 10.0))
            await until(lambda: world.exchange.connections.total() > 0)
            assert "smtpcheck_checks_in_flight 1" in await shown(agent)
        assert run.done()
    assert agent.state.checks["silent"].report.cause is Cause.TIMEOUT
    assert isinstance(await agent.probe_now("silent", 5.0), Busy)


async def test_the_run_ends_before_the_scraper_gives_up(tmp_path: Path) -> None:
    """A server that says nothing is a failure within the scrape's timeout, whatever the check's own is."""
    async with World(tmp_path, SILENT) as world, asking(world, timeout="1h") as (agent, client):
        seconds, text = await answered(client, "silent")
        assert values(text)["smtpcheck_success"] == 0.0
        report = agent.state.checks["silent"].report
        assert report.failed_step
        assert report.failed_step.fault
        granted = re.fullmatch(r"not done within (.*) s", report.failed_step.fault.detail)
        assert granted
        assert (report.cause, 0 < float(granted[1]) < seconds) == (Cause.TIMEOUT, True)


async def test_an_issuer_that_is_silent_ends_in_time_too(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unheard:
        async with World(tmp_path, HEALTHY) as world:
            there = f"https://127.0.0.1:{unheard.getsockname()[1]}"
            edit(world.config, lambda document: document["credentials"]["contoso"].update(authority=there))
            async with asking(world) as (_, client):
                _, text = await answered(client, "healthy")
    assert values(text)["smtpcheck_success"] == 0.0
    assert 'phase="token"' in text


async def test_no_message_is_sent_for_a_request(tmp_path: Path) -> None:
    """A check of depth send goes as far as the recipient, and says so."""
    keys = {"depth": "send", "recipient": RECIPIENT, "interval": "1h"}
    async with World(tmp_path, HEALTHY) as world, asking(world, **keys) as (_, client):
        status, text = await probe(client, "healthy")
        assert (status, values(text)["smtpcheck_success"]) == (200, 1.0)
        assert 'phase="rcpt"' in text
        assert 'depth="recipient"' in text
        assert 'phase="data"' not in text
        assert len(world.exchange.messages) == 0


async def test_the_transcript_tells_all_but_the_secrets(tmp_path: Path) -> None:
    """What was said, the cause with its repair, and the metrics; no token, also of a run that had to get one."""
    async with World(tmp_path, HEALTHY) as world, asking(world) as (_, client):
        refuse(world, "healthy", "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled.")
        _, text = await probe(client, "healthy", debug="true")
        assert "> AUTH XOAUTH2" in text
        assert "< 535 5.7.139 Authentication unsuccessful" in text
        assert "finding smtp_auth_disabled_" in text
        assert "token from the issuer: jwt" in text
        assert 'smtpcheck_success{check="healthy"} 0' in text
        _, again = await probe(client, "healthy", debug="true")
        assert "not run: run a moment ago" in again
        assert [secret for secret in world.secrets() if secret in text + again] == []


@pytest.mark.parametrize(
    ("waited", "fault", "no_verdict"),
    [
        (2.0, Fault(FaultKind.TIMEOUT), True),
        (0.5, Fault(FaultKind.TIMEOUT), False),
        (2.0, Fault(FaultKind.REFUSED), False),
        (2.0, None, False),
    ],
)
def test_a_run_that_had_less_time_than_its_wait_and_did_not_end_is_no_verdict(
    waited: float, fault: Fault | None, no_verdict: bool
) -> None:
    outcome = Outcome.CRITICAL if fault else Outcome.OK
    report = Report("a", 0.0, 1.0, outcome, (Step(Phase.AUTH, 0.0, 1.0, fault=fault),))
    assert ran_out_of_slots(report, waited) is no_verdict
