"""After a failure whose cause is not certain, the agent asks the provider, and no check waits for it."""

import asyncio
import re
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from smtpcheck.agent import inspecting, investigation
from smtpcheck.agent.agent import Agent
from smtpcheck.alerts.grouping import Subject, issues_of
from smtpcheck.diagnosis.explain import CERTAIN, LIKELY, describe
from smtpcheck.inspection.inspector import Inspector
from smtpcheck.model.cause import Cause
from smtpcheck.model.inspection import Inspection
from smtpcheck.model.report import Finding, Outcome, Report
from smtpcheck.sandbox import gmail_replies
from smtpcheck.sandbox.directory import IssuerFailure
from smtpcheck.sandbox.flaws import Flaw
from smtpcheck.sandbox.scenario import GMAIL, Registration, Scenario
from smtpcheck.sandbox.world import World
from tests.worlds.agents import edit, running, shown, unhurried
from tests.worlds.google_inspection import INSPECTED as WORKSPACE
from tests.worlds.inspection import INSPECTED
from tests.worlds.waiting import until

FLAWS = {
    Flaw.NOT_REGISTERED: Cause.SERVICE_PRINCIPAL_NOT_REGISTERED,
    Flaw.WRONG_OBJECT_ID: Cause.WRONG_OBJECT_ID_SERVICE_PRINCIPAL,
    Flaw.NO_FULL_ACCESS: Cause.MAILBOX_PERMISSION_MISSING,
    Flaw.SMTP_AUTH_OFF: Cause.SMTP_AUTH_DISABLED_MAILBOX,
    Flaw.MAILBOX_DELETED: Cause.MAILBOX_MISSING_OR_UNLICENSED,
}


def scenario(name: str, flaw: Flaw | None, registration: Registration = INSPECTED, **keys: object) -> Scenario:
    return Scenario(name, "A mailbox.", registration=registration, flaw=flaw, check={"interval": "1s", **keys})


@asynccontextmanager
async def agent_in(folder: Path, *scenarios: Scenario) -> AsyncIterator[tuple[World, Agent]]:
    async with World(folder, scenarios) as world:
        unhurried(world)
        async with running(world.config) as agent:
            yield world, agent


def report_of(agent: Agent, name: str) -> Report | None:
    state = agent.state.checks.get(name)
    return state.report if state else None


def is_proven(agent: Agent, name: str) -> bool:
    report = report_of(agent, name)
    return report is not None and bool(report.findings) and report.findings[0].rule.startswith("inspection.")


@pytest.mark.parametrize("flaw", FLAWS)
async def test_a_bare_refusal_becomes_one_certain_cause(tmp_path: Path, flaw: Flaw) -> None:
    async with agent_in(tmp_path, scenario("billing", flaw)) as (_, agent):
        await until(lambda: is_proven(agent, "billing"))
        report = report_of(agent, "billing")
        assert report is not None
        best = report.findings[0]
        assert (report.cause, best.cause, best.certainty >= CERTAIN) == (FLAWS[flaw], FLAWS[flaw], True)
        assert report.failed_reply is not None
        assert str(report.failed_reply).startswith("535 5.7.3 Authentication unsuccessful")
        assert best.evidence[0].startswith(("Exchange, ", "Entra, "))
        assert best.values["mailbox"] == "billing@contoso.example"
        assert f'cause="{FLAWS[flaw]}"' in await shown(agent)


async def test_what_was_registered_just_now_is_only_likely(tmp_path: Path) -> None:
    async with agent_in(tmp_path, scenario("billing", Flaw.JUST_REGISTERED)) as (_, agent):
        await until(lambda: is_proven(agent, "billing"))
        report = report_of(agent, "billing")
        assert report is not None
        assert report.cause is Cause.PERMISSION_NOT_PROPAGATED
        assert LIKELY <= report.findings[0].certainty < CERTAIN


async def test_the_news_is_no_run_and_the_next_run_knows_it_at_once(tmp_path: Path) -> None:
    async with agent_in(tmp_path, scenario("billing", Flaw.NO_FULL_ACCESS)) as (_, agent):
        await until(lambda: is_proven(agent, "billing"))
        runs = agent.state.checks["billing"].runs
        await until(lambda: agent.state.checks["billing"].runs > runs)
        assert is_proven(agent, "billing")
        assert agent.state.checks["billing"].failures == agent.state.checks["billing"].runs


async def test_a_success_ends_it(tmp_path: Path) -> None:
    async with agent_in(tmp_path, scenario("billing", Flaw.NO_FULL_ACCESS)) as (world, agent):
        await until(lambda: is_proven(agent, "billing"))
        world.administration.mailboxes["billing@contoso.example"].closed_to.clear()
        await agent.check_now("billing")
        report = report_of(agent, "billing")
        assert report is not None
        assert (report.outcome, report.findings) == (Outcome.OK, ())
        assert agent.inspection._proofs == {}


async def test_one_case_is_opened_once(tmp_path: Path) -> None:
    """However often the check fails, the provider is asked once in half an hour."""
    async with agent_in(tmp_path, scenario("billing", Flaw.NO_FULL_ACCESS)) as (world, agent):
        await until(lambda: is_proven(agent, "billing"))
        asked = len(world.issuer.graph_directory.asked), len(world.issuer.exchange_admin.asked)
        runs = agent.state.checks["billing"].runs
        await until(lambda: agent.state.checks["billing"].runs >= runs + 2)
        assert (len(world.issuer.graph_directory.asked), len(world.issuer.exchange_admin.asked)) == asked


async def test_an_issuer_that_varies_its_refusal_opens_no_further_case(tmp_path: Path) -> None:
    """A case is one of a credential and its possible causes, whatever else the refusal says."""
    refused = replace(INSPECTED, known=False)
    async with agent_in(tmp_path, scenario("billing", None, refused)) as (world, agent):
        await until(lambda: report_of(agent, "billing") is not None)
        report = report_of(agent, "billing")
        assert report is not None
        assert report.token_error is not None
        service, check = agent.inspection, agent.settings.checks[0]
        for code in range(20):
            error = structs.replace(report.token_error, error_codes=(700016, code))
            unsure = tuple(structs.replace(finding, certainty=0.5) for finding in report.findings)
            service.ran(check, structs.replace(report, token_error=error, findings=unsure))
        assert len(service._cases) == 1
        await until(lambda: not service._tasks)
        assert sum("servicePrincipals" in each for each in world.issuer.graph_directory.asked) <= 2


async def test_after_half_an_hour_it_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspecting, "CASE_SECONDS", 0.0)
    async with agent_in(tmp_path, scenario("billing", Flaw.NO_FULL_ACCESS)) as (world, agent):
        await until(lambda: is_proven(agent, "billing"))

        def looks() -> int:
            """How often it began with the first question."""
            return sum(name == "Get-ServicePrincipal" for name, _ in world.issuer.exchange_admin.asked)

        before = looks()
        await until(lambda: looks() > before)
        assert is_proven(agent, "billing")


async def test_only_what_separates_the_causes_is_asked(tmp_path: Path) -> None:
    """An application that Exchange does not know is certain by one question."""
    async with agent_in(tmp_path, scenario("billing", Flaw.NOT_REGISTERED)) as (world, agent):
        await until(lambda: is_proven(agent, "billing"))
        asked = [name for name, _ in world.issuer.exchange_admin.asked]
        assert asked == ["Get-ServicePrincipal"]


async def test_of_many_mailboxes_three_are_asked_about(tmp_path: Path) -> None:
    names = [f"billing-{number}" for number in range(6)]
    async with agent_in(tmp_path, *(scenario(name, Flaw.NO_FULL_ACCESS) for name in names)) as (world, agent):
        await until(lambda: sum(is_proven(agent, name) for name in names) == 3)
        runs = [agent.state.checks[name].runs for name in names]
        await until(
            lambda: all(agent.state.checks[name].runs > before for name, before in zip(names, runs, strict=True))
        )
        asked = {str(given["Identity"]) for name, given in world.issuer.exchange_admin.asked if name == "Get-Mailbox"}
        assert len(asked) == 3
        assert sum(is_proven(agent, name) for name in names) == 3


async def test_what_is_said_of_the_application_holds_for_all_of_its_mailboxes(tmp_path: Path) -> None:
    names = [f"billing-{number}" for number in range(6)]
    async with agent_in(tmp_path, *(scenario(name, Flaw.NOT_REGISTERED) for name in names)) as (world, agent):
        await until(lambda: all(is_proven(agent, name) for name in names))
        asked = [name for name, _ in world.issuer.exchange_admin.asked]
        assert asked.count("Get-ServicePrincipal") <= 3


async def test_without_an_inspector_everything_is_as_before(tmp_path: Path) -> None:
    own = replace(INSPECTED, inspected_by=None)
    async with agent_in(tmp_path, scenario("billing", Flaw.NO_FULL_ACCESS, own)) as (world, agent):
        await until(lambda: report_of(agent, "billing") is not None)
        assert not is_proven(agent, "billing")
        assert list(world.issuer.graph_directory.asked) == []


async def test_an_inspector_that_fails_changes_nothing(tmp_path: Path) -> None:
    async with World(tmp_path, [scenario("billing", Flaw.NO_FULL_ACCESS)]) as world:
        unhurried(world)
        auditor = next(app for app in world.issuer.tenants[0].apps.values() if "Exchange.ManageAsApp" in app.roles)
        auditor.disabled = True
        async with running(world.config) as agent:
            await until(
                lambda: agent.state.checks.get("billing") is not None and agent.state.checks["billing"].runs > 1
            )
            report = report_of(agent, "billing")
            assert report is not None
            assert report.cause is not Cause.MAILBOX_PERMISSION_MISSING
            assert not is_proven(agent, "billing")


async def test_no_check_waits_for_a_provider_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = asyncio.Event()

    async def hang(*_: object, **__: object) -> None:
        hanging.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(inspecting, "investigate", hang)
    async with agent_in(tmp_path, scenario("billing", Flaw.NO_FULL_ACCESS)) as (_, agent):
        await hanging.wait()
        runs = agent.state.checks["billing"].runs
        await until(lambda: agent.state.checks["billing"].runs > runs)
        report = report_of(agent, "billing")
        assert report is not None
        assert report.outcome is Outcome.CRITICAL
        assert not is_proven(agent, "billing")
        assert agent.unhealthy_reason() == ""


async def test_a_fault_of_the_inspection_is_counted_and_harms_no_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise KeyError("value")

    monkeypatch.setattr(inspecting, "investigate", broken)
    async with agent_in(tmp_path, scenario("billing", Flaw.NO_FULL_ACCESS)) as (_, agent):
        await until(lambda: agent.inspection.internal_errors > 0)
        runs = agent.state.checks["billing"].runs
        await until(lambda: agent.state.checks["billing"].runs > runs)
        assert re.search(r"^smtpcheck_internal_errors_total [1-9]", await shown(agent), re.MULTILINE)


async def test_a_row_of_the_sign_in_log_may_come_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = replace(INSPECTED, failure=IssuerFailure(code=53003))
    async with World(tmp_path, [scenario("billing", None, refused)]) as world:
        unhurried(world)
        world.issuer.graph_directory.sign_ins.lag = 1.0
        monkeypatch.setattr(inspecting, "LATE_SECONDS", (0.2, 2.0))
        async with running(world.config) as agent:
            await until(lambda: is_proven(agent, "billing"))
            report = report_of(agent, "billing")
            assert report is not None
            assert report.cause is Cause.CONDITIONAL_ACCESS


async def test_a_reload_takes_the_inspector_away(tmp_path: Path) -> None:
    async with agent_in(tmp_path, scenario("billing", Flaw.NO_FULL_ACCESS)) as (world, agent):
        await until(lambda: is_proven(agent, "billing"))
        edit(world.config, lambda document: document["credentials"]["contoso"].pop("inspect"))
        assert await agent.reload() == ()
        await agent.check_now("billing")
        assert not is_proven(agent, "billing")


GOOGLE_FLAWS = {
    Flaw.SUSPENDED: Cause.ACCOUNT_LOCKED,
    Flaw.NO_MAILBOX: Cause.MAILBOX_MISSING_OR_UNLICENSED,
}


@pytest.mark.parametrize("flaw", GOOGLE_FLAWS)
async def test_a_refusal_at_google_becomes_one_certain_cause(tmp_path: Path, flaw: Flaw) -> None:
    refuses = {"AUTH": gmail_replies.AUTH_UNSUCCESSFUL} if flaw is Flaw.NO_MAILBOX else {}
    only = replace(scenario("billing", flaw, WORKSPACE), server=GMAIL, refuses=refuses)
    async with agent_in(tmp_path, only) as (_, agent):
        await until(lambda: is_proven(agent, "billing"))
        report = report_of(agent, "billing")
        assert report is not None
        best = report.findings[0]
        assert (report.cause, best.certainty >= CERTAIN) == (GOOGLE_FLAWS[flaw], True)
        assert best.evidence[0].startswith("Google Workspace, ")
        (issue,) = issues_of(agent.settings.checks[0], report).values()
        assert issue.key.subject is Subject.CHECK, "other mailboxes of the service account are not concerned"
        if flaw is Flaw.SUSPENDED:
            assert "Reactivate" in describe(best, agent.catalogue).remedy[0]


async def test_a_delegation_that_was_withdrawn_is_a_warning_while_the_token_holds(tmp_path: Path) -> None:
    only = replace(scenario("billing", None, WORKSPACE), server=GMAIL)
    async with World(tmp_path, [only]) as world:
        unhurried(world)
        async with running(world.config) as agent:
            await until(lambda: (report := report_of(agent, "billing")) is not None and report.outcome is Outcome.OK)
            next(each for each in world.google.accounts.values() if each.delegated).delegated = None
            for progress in agent.inspection.readings._progress.values():
                progress.due_at = 0.0

            def of_delegation() -> list[Finding]:
                report = report_of(agent, "billing")
                warnings = report.warnings if report is not None else ()
                return [each for each in warnings if each.cause is Cause.GOOGLE_DWD_NOT_AUTHORIZED]

            await until(of_delegation)
            report = report_of(agent, "billing")
            assert report is not None
            assert report.outcome is Outcome.WARNING, "mail is still sent with the token in memory"
            assert "https://mail.google.com/ is not delegated to the client ID" in of_delegation()[0].evidence[0]


async def test_an_incident_of_gmail_is_in_the_metrics(tmp_path: Path) -> None:
    only = replace(scenario("billing", Flaw.GMAIL_INCIDENT, WORKSPACE), server=GMAIL)
    async with agent_in(tmp_path, only) as (_, agent):
        await until(lambda: bool(agent.inspection.incidents()))
        labels = 'id="nRLbNyPEvSuFU6hxqbPJ",provider="google",service="gmail",status="degraded"'
        assert f"smtpcheck_provider_incident_info{{{labels}}}" in await shown(agent)


async def test_a_reload_forgets_no_case_of_what_stays(tmp_path: Path) -> None:
    async with agent_in(tmp_path, scenario("billing", Flaw.NO_FULL_ACCESS)) as (world, agent):
        await until(lambda: is_proven(agent, "billing"))
        asked = len(world.issuer.exchange_admin.asked)
        edit(world.config, lambda document: document["agent"].update(expose_addresses=True))
        assert await agent.reload() == ()
        for _ in range(2):
            await agent.check_now("billing")
        assert is_proven(agent, "billing")
        await until(lambda: not agent.inspection._tasks)
        assert len(world.issuer.exchange_admin.asked) == asked


async def test_what_is_under_way_at_a_reload_is_asked_again_and_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking, go_on, real, inspectors = asyncio.Event(), asyncio.Event(), investigation.investigate, set[int]()

    async def slow(inspector: Inspector, *given: Any, **named: Any) -> Any:
        asking.set()
        inspectors.add(id(inspector))
        await go_on.wait()
        return await real(inspector, *given, **named)

    monkeypatch.setattr(inspecting, "investigate", slow)
    async with agent_in(tmp_path, scenario("billing", Flaw.NO_FULL_ACCESS)) as (world, agent):
        await asking.wait()
        edit(world.config, lambda document: document["agent"].update(expose_addresses=True))
        assert await agent.reload() == ()
        go_on.set()
        await until(lambda: is_proven(agent, "billing"))
        assert len(inspectors) == 2


@pytest.mark.parametrize("changed", ["check", "credential", "inspector"])
async def test_a_reload_ends_the_case_of_what_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    """Its answer would be about something else; the next failure begins a new one."""
    asking, go_on, asked = asyncio.Event(), asyncio.Event(), list[float]()

    async def slow(*_given: Any, began: float, **_named: Any) -> Any:
        asking.set()
        asked.append(began)
        await go_on.wait()
        return Inspection(), ()

    changes: dict[str, Callable[[dict[str, Any]], object]] = {
        "check": lambda document: document["checks"][0].update(sender="press@contoso.example"),
        "credential": lambda document: document["credentials"]["contoso"].update(client_id=str(uuid.uuid4())),
        "inspector": lambda document: document["credentials"]["auditor"].update(client_id=str(uuid.uuid4())),
    }
    monkeypatch.setattr(inspecting, "investigate", slow)
    async with agent_in(tmp_path, scenario("billing", Flaw.NO_FULL_ACCESS)) as (world, agent):
        await asking.wait()
        edit(world.config, changes[changed])
        assert await agent.reload() == ()
        asking.clear()
        await agent.check_now("billing")
        await asking.wait()
        assert len(asked) == 2
        go_on.set()
        await until(lambda: not agent.inspection._tasks)
        assert len(asked) == 2, "the answer to the first is dropped"


async def test_a_code_that_is_certain_and_says_little_is_asked_about(tmp_path: Path) -> None:
    """AADSTS7000215 says that the secret is refused, and the application's own secrets say what it is instead."""
    async with agent_in(tmp_path, scenario("billing", None, replace(INSPECTED, wrong_secret=True))) as (_, agent):
        await until(lambda: is_proven(agent, "billing"))
        report = report_of(agent, "billing")
        assert report is not None
        assert report.cause is Cause.SECRET_INVALID
        assert "no secret of the application begins like the configured one" in report.findings[0].evidence[0]


async def test_a_code_that_is_certain_and_says_all_is_not_asked_about(tmp_path: Path) -> None:
    async with agent_in(tmp_path, scenario("billing", None, replace(INSPECTED, known=False))) as (world, agent):
        await until(lambda: (state := agent.state.checks.get("billing")) is not None and state.runs > 1)
        assert not agent.inspection._cases
        assert not is_proven(agent, "billing")
        assert world.issuer.exchange_admin.asked == deque()
