"""Checks by a mail API in an agent: what is asked of the API, how often, and what a loopback makes of its answers."""

from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from smtpcheck.agent.on_demand import TooSoon
from smtpcheck.loopback.message_state import Message, Stage, after_sending
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Phase
from smtpcheck.model.report import ApiAnswer, Exchange, Fault, FaultKind, Outcome, Report, Step
from smtpcheck.sandbox.world import World
from smtpcheck.web import create_app
from tests.worlds.agents import edit, only, running
from tests.worlds.samples import NOW, report
from tests.worlds.waiting import until

GRAPH = only("graph-healthy")
YEAR = 365 * 86400.0


async def test_check_now_waits_for_the_next_proof(tmp_path: Path) -> None:
    async with World(tmp_path, GRAPH) as world, running(world.config) as agent:
        await until(lambda: "graph-healthy" in agent.state.checks)
        answer = await agent.check_now("graph-healthy")
        assert isinstance(answer, TooSoon)
        assert answer.seconds == pytest.approx(290, abs=20)
        assert world.issuer.graph_send.asked.total() == 1


async def test_a_probe_by_request_is_suppressed_until_the_next_proof(tmp_path: Path) -> None:
    async with World(tmp_path, GRAPH) as world:
        edit(world.config, lambda document: document["checks"][0].update(schedule=False))
        async with running(world.config) as agent, TestClient(TestServer(create_app(agent))) as client:
            await until(agent.ready)
            texts = [await (await client.get("/probe", params={"check": "graph-healthy"})).text() for _ in range(2)]
            assert 'smtpcheck_probe_suppressed{check="graph-healthy"} 0' in texts[0]
            assert 'smtpcheck_success{check="graph-healthy"} 1' in texts[0]
            assert 'smtpcheck_probe_suppressed{check="graph-healthy"} 1' in texts[1]
            assert world.issuer.graph_send.asked.total() == 1


async def test_a_request_sends_no_message_and_proves_the_right_instead(tmp_path: Path) -> None:
    async with World(tmp_path, only("graph-send")) as world:
        edit(world.config, lambda document: document["checks"][0].update(schedule=False))
        async with running(world.config) as agent, TestClient(TestServer(create_app(agent))) as client:
            await until(agent.ready)
            answer = await client.get("/probe", params={"check": "graph-send", "debug": "true"})
            assert "400 ErrorMimeContentInvalidBase64String" in await answer.text()
            assert not world.issuer.graph_send.sent


async def test_a_check_whose_proof_was_taken_for_a_message_is_stopped_over_a_restart_too(tmp_path: Path) -> None:
    async with World(tmp_path, GRAPH) as world:
        world.issuer.graph_send.takes_anything = True
        for _ in range(2):
            async with running(world.config) as agent:
                await until(agent.ready)
                await until(lambda agent=agent: "graph-healthy" in agent.state.checks)  # type: ignore[misc]
                known = agent.state.checks["graph-healthy"].report
                assert (known.outcome, known.cause) == (Outcome.CRITICAL, Cause.UNEXPECTED_SUCCESS)
                due = agent.next_run("graph-healthy")
                assert due is not None
                assert due > known.started_at + YEAR
        assert world.issuer.graph_send.asked.total() == 1


async def test_a_restart_adds_no_proof(tmp_path: Path) -> None:
    async with World(tmp_path, GRAPH) as world:
        async with running(world.config) as agent:
            await until(lambda: "graph-healthy" in agent.state.checks)
        async with running(world.config) as again:
            await until(again.ready)
            due = again.next_run("graph-healthy")
            assert due is not None
            assert due >= again.state.checks["graph-healthy"].report.started_at + 289
        assert world.issuer.graph_send.asked.total() == 1


MESSAGE = Message("billing", 1, 1, "mark", "<mark@example.org>", NOW)


def requested(answer: ApiAnswer | None, fault: FaultKind | None) -> Report:
    step = Step(
        Phase.REQUEST,
        0.1,
        0.2,
        (Exchange("POST https://x/sendMail", None, answer=answer),),
        Fault(fault) if fault else None,
    )
    return report(Outcome.OK if fault is None else Outcome.CRITICAL, Step(Phase.TLS, 0.0, 0.1), step)


@pytest.mark.parametrize(
    ("answer", "fault", "stage"),
    [
        (ApiAnswer(202), None, Stage.ACCEPTED),
        (ApiAnswer(403, "ErrorAccessDenied"), FaultKind.REPLY, Stage.REFUSED),
        (ApiAnswer(429), FaultKind.REPLY, Stage.REFUSED),
        (ApiAnswer(503), FaultKind.REPLY, Stage.REFUSED),
        (ApiAnswer(504), FaultKind.REPLY, Stage.UNCERTAIN),
        (ApiAnswer(500), FaultKind.REPLY, Stage.UNCERTAIN),
        (None, FaultKind.TIMEOUT, Stage.UNCERTAIN),
        (None, FaultKind.RESET, Stage.UNCERTAIN),
        (None, FaultKind.PROTOCOL, Stage.UNCERTAIN),
        (None, FaultKind.NOT_SENDABLE, None),
    ],
)
def test_what_becomes_of_a_message_that_an_api_was_to_send(
    answer: ApiAnswer | None, fault: FaultKind | None, stage: Stage | None
) -> None:
    after = after_sending(MESSAGE, requested(answer, fault), NOW + 9)
    assert (after.stage if after else None) is stage
    if after and answer and after.receipt:
        assert after.receipt.reply == str(answer)


def test_a_message_that_a_fresh_token_sent_was_accepted() -> None:
    refused = Step(Phase.REQUEST, 0.1, 0.2, (Exchange("POST x", None, answer=ApiAnswer(403, "ErrorAccessDenied")),))
    sent = Step(Phase.REQUEST, 0.3, 0.2, (Exchange("POST x", None, answer=ApiAnswer(202)),))
    after = after_sending(MESSAGE, report(Outcome.WARNING, refused, sent), NOW)
    assert after is not None
    assert after.stage is Stage.ACCEPTED


def test_without_a_request_nothing_was_sent() -> None:
    failed = report(Outcome.CRITICAL, Step(Phase.TLS, 0.0, 0.1, fault=Fault(FaultKind.TLS_UNTRUSTED)))
    assert after_sending(MESSAGE, failed, NOW) is None
