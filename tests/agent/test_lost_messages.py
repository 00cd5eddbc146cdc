"""Where a lost message is: the provider's trace says it, once the message is lost."""

from dataclasses import replace
from pathlib import Path

import pytest

from smtpcheck.diagnosis.explain import CERTAIN
from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome, Report
from smtpcheck.sandbox.mail_store import Delivery
from smtpcheck.sandbox.scenario import AUDITOR, CONTOSO_MAIL, DOMAIN, Registration, Scenario
from smtpcheck.sandbox.world import World
from tests.worlds.agents import running, unhurried
from tests.worlds.waiting import until

MAIL = replace(CONTOSO_MAIL, name="contoso", inspected_by=AUDITOR)
TRACED = {
    "quarantined": (Cause.MAIL_QUARANTINED, "it is in quarantine"),
    "filteredAsSpam": (Cause.MAIL_IN_JUNK, "it was filtered as spam"),
    "failed": (Cause.MAIL_BOUNCED, "its delivery failed"),
    "pending": (Cause.MAIL_LATE, "its delivery is pending"),
    "delivered": (Cause.MAIL_LOST, "it was delivered: to another folder by a rule, or to another mailbox"),
    "unknownFutureValue": (Cause.MAIL_LOST, "its status is one that is not known here"),
}


def scenario(status: str, registration: Registration = MAIL) -> Scenario:
    loopback = {"to": f"probe@{DOMAIN}", "every": "5m", "warn_after": "1s", "lost_after": "2s"}
    return Scenario(
        *("billing", "Mail is lost."),
        check={"interval": "1s", "loopback": loopback},
        registration=registration,
        delivery=Delivery(copies=0, trace=status),
    )


async def traced(folder: Path, status: str, without: str = "") -> tuple[Report, World]:
    """Return the report of a check whose message is lost, once the trace has said what became of it."""
    async with World(folder, [scenario(status)]) as world:
        unhurried(world)
        for app in world.issuer.tenants[0].apps.values():
            app.graph_roles = tuple(role for role in app.graph_roles if role != without)
        async with running(world.config) as agent:

            def is_traced() -> bool:
                state = agent.state.checks.get("billing")
                return bool(state and state.report.findings and state.report.findings[0].rule.startswith("inspection."))

            await until(is_traced)
            return agent.state.checks["billing"].report, world


@pytest.mark.parametrize("status", TRACED)
async def test_the_trace_says_where_the_message_is(tmp_path: Path, status: str) -> None:
    report, _ = await traced(tmp_path, status)
    cause, says = TRACED[status]
    best = report.findings[0]
    assert (report.outcome, report.cause, best.certainty >= CERTAIN) == (Outcome.CRITICAL, cause, True)
    assert best.evidence[0].startswith("Exchange, ")
    assert says in best.evidence[0]
    assert best.values["message_id"]
    assert all(finding.cause is cause for finding in report.findings)


async def test_a_refusal_is_named_by_its_codes_alone(tmp_path: Path) -> None:
    report, _ = await traced(tmp_path, "failed")
    assert "the refusal was 550 5.1.10" in report.findings[0].evidence
    assert "RESOLVER" not in " ".join(report.findings[0].evidence)


async def test_where_graph_has_no_trace_exchange_is_asked(tmp_path: Path) -> None:
    report, world = await traced(tmp_path, "quarantined", without="ExchangeMessageTrace.Read.All")
    assert report.cause is Cause.MAIL_QUARANTINED
    assert "Get-MessageTraceV2" in {name for name, _ in world.issuer.exchange_admin.asked}


async def test_of_a_message_in_quarantine_it_is_said_why_and_until_when(tmp_path: Path) -> None:
    report, world = await traced(tmp_path, "quarantined")
    where, state, until_when = report.findings[0].evidence[:3]
    assert "it is in quarantine as high confidence phishing, by the anti-spam policy" in where
    assert "(Get-QuarantineMessage)" in where
    assert state == "its state is: not released"
    assert until_when.startswith("it is deleted from quarantine on 20")
    assert "Standard Preset" not in " ".join(report.findings[0].evidence)
    asked = [parameters for name, parameters in world.issuer.exchange_admin.asked if name == "Get-QuarantineMessage"]
    assert [set(parameters) for parameters in asked] == [{"MessageId"}]


async def test_a_delivered_message_is_not_looked_for_in_quarantine(tmp_path: Path) -> None:
    _, world = await traced(tmp_path, "delivered")
    assert "Get-QuarantineMessage" not in {name for name, _ in world.issuer.exchange_admin.asked}


async def test_one_lost_message_is_asked_for_once(tmp_path: Path) -> None:
    _, world = await traced(tmp_path, "quarantined")
    assert sum("messageTraces" in each for each in world.issuer.graph_directory.asked) == 1
