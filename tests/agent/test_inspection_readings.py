"""Regular readings: what changes at the provider is a warning before mail breaks."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from structlog.testing import capture_logs

from smtpcheck.agent.agent import Agent
from smtpcheck.agent.inspecting import InspectionService
from smtpcheck.alerts.grouping import Subject, issues_of
from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome, Report
from smtpcheck.sandbox.graph_directory import announcement, incident
from smtpcheck.sandbox.scenario import DOMAIN, Scenario
from smtpcheck.sandbox.world import World
from smtpcheck.state.inspections import InspectionRows
from tests.worlds.agents import edit, running, shown, unhurried
from tests.worlds.inspection import INSPECTED
from tests.worlds.waiting import until

MAILBOX = f"billing@{DOMAIN}"
HEALTHY = Scenario("billing", "A mailbox.", registration=INSPECTED, check={"interval": "1s"})


@asynccontextmanager
async def world_of(folder: Path) -> AsyncIterator[World]:
    async with World(folder, [HEALTHY]) as world:
        unhurried(world)
        yield world


async def read(agent: Agent) -> None:
    """Have everything read now."""
    readings = agent.inspection.readings
    progress = readings._progress["contoso"]
    before = progress.found
    progress.due_at = 0.0
    readings._incidents.due.clear()
    readings._announcements.due.clear()
    agent.inspection.read_due()
    await until(lambda: progress.found is not before and not progress.reading)


def report_of(agent: Agent) -> Report:
    return agent.state.checks["billing"].report


def warned(agent: Agent) -> set[Cause]:
    return {warning.cause for warning in report_of(agent).warnings}


async def test_a_right_that_is_withdrawn_is_a_warning_while_mail_still_works(tmp_path: Path) -> None:
    """The mail servers still have the old state in their cache."""
    async with world_of(tmp_path) as world, running(world.config) as agent:
        await until(lambda: "billing" in agent.state.checks)
        await read(agent)
        assert warned(agent) == set()
        world.exchange._permits_application = lambda *_: True
        world.administration.mailboxes[MAILBOX].closed_to.add(
            agent.settings.credentials["contoso"].hints("contoso").client_id
        )
        await read(agent)
        assert report_of(agent).outcome is Outcome.WARNING
        assert warned(agent) == {Cause.MAILBOX_PERMISSION_MISSING, Cause.SETTING_CHANGED}
        text = await shown(agent)
        assert 'smtpcheck_inspection_success{credential="contoso"} 1' in text
        finding = 'smtpcheck_inspection_finding_info{cause="mailbox_permission_missing",credential="contoso"} 1'
        assert finding in text
        assert MAILBOX not in text


async def test_a_change_survives_a_restart(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world:
        async with running(world.config) as agent:
            await until(lambda: "billing" in agent.state.checks)
            await read(agent)
            world.administration.mailboxes[MAILBOX].forwards_to = "elsewhere@evil.example"
            await read(agent)
            assert warned(agent) == {Cause.SETTING_CHANGED}
        asked = len(world.issuer.exchange_admin.asked)
        async with running(world.config) as agent:
            await until(lambda: agent.state.checks["billing"].runs > 1 and warned(agent) == {Cause.SETTING_CHANGED})
            assert len(world.issuer.exchange_admin.asked) == asked


async def test_the_state_names_nobody(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world, running(world.config) as agent:
        await until(lambda: "billing" in agent.state.checks)
        world.administration.mailboxes[MAILBOX].forwards_to = "elsewhere@evil.example"
        await read(agent)
        reading = agent.state.inspections.readings["contoso"]
        assert "evil" not in repr(reading)
        assert DOMAIN not in repr(reading)


async def test_an_inspector_that_can_read_nothing_is_shown_and_changes_nothing(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world, running(world.config) as agent:
        await until(lambda: "billing" in agent.state.checks)
        auditor = agent.settings.credentials["auditor"].hints("auditor").client_id
        world.issuer.tenants[0].apps[auditor].disabled = True
        await read(agent)
        assert report_of(agent).outcome is Outcome.OK
        assert 'smtpcheck_inspection_success{credential="contoso"} 0' in await shown(agent)
        assert "contoso" not in agent.state.inspections.readings


async def test_an_incident_is_a_metric_and_proves_nothing(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world, running(world.config) as agent:
        await until(lambda: "billing" in agent.state.checks)
        world.issuer.graph_directory.incidents = [incident(), incident("MO1", "Microsoft Teams"), {"id": 5}]
        await read(agent)
        await until(lambda: len(agent.inspection.readings.all_incidents()) == 1)
        labels = 'id="EX226792",provider="microsoft",service="exchange_online",status="degraded"'
        assert f"smtpcheck_provider_incident_info{{{labels}}} 1" in await shown(agent)
        assert report_of(agent).outcome is Outcome.OK
        world.issuer.graph_directory.incidents = []
        await read(agent)
        await until(lambda: agent.inspection.readings.all_incidents() == ())


async def test_a_failure_during_an_incident_says_so_and_a_fault_at_the_provider_is_likelier(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world, running(world.config) as agent:
        await until(lambda: "billing" in agent.state.checks)
        world.issuer.graph_directory.incidents = [incident()]
        await read(agent)
        await until(lambda: len(agent.inspection.readings.all_incidents()) == 1)
        world.exchange._permits_application = lambda *_: False
        await agent.check_now("billing")
        await until(lambda: report_of(agent).outcome is Outcome.CRITICAL)
        report = report_of(agent)
        fault = next(each for each in report.findings if each.cause is Cause.TRANSIENT_SERVER_ERROR)
        assert any("Microsoft reports the incident EX226792" in sentence for sentence in fault.evidence)
        assert report.cause is not Cause.TRANSIENT_SERVER_ERROR


async def test_a_reload_without_the_inspector_ends_its_warnings(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world, running(world.config) as agent:
        await until(lambda: "billing" in agent.state.checks)
        await read(agent)
        world.administration.mailboxes[MAILBOX].forwards_to = "elsewhere@evil.example"
        await read(agent)
        assert warned(agent) == {Cause.SETTING_CHANGED}
        edit(world.config, lambda document: document["credentials"]["contoso"].pop("inspect"))
        assert await agent.reload() == ()
        await agent.check_now("billing")
        assert warned(agent) == set()
        assert agent.state.inspections.readings == {}


async def test_a_warning_about_the_application_is_one_alert_of_its_credential(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world, running(world.config) as agent:
        await until(lambda: "billing" in agent.state.checks)
        await read(agent)
        world.issuer.tenants[0].security_defaults = True
        await read(agent)
        check = agent.settings.checks[0]
        (issue,) = issues_of(check, report_of(agent)).values()
        assert (issue.key.subject, issue.key.name) == (Subject.CREDENTIAL, "contoso")


async def test_names_and_addresses_are_in_no_metric_alert_or_log_and_outlive_nothing(tmp_path: Path) -> None:
    """What the provider names is known to the agent, for the page of those who may see it, and goes nowhere else."""
    async with world_of(tmp_path) as world:
        edit(world.config, lambda document: document.update(alerts={"fail_after": 1, "notify": [{"type": "log"}]}))
        edit(world.config, lambda document: document["agent"].update(expose_addresses=True))
        with capture_logs() as logs:
            async with running(world.config) as agent:
                await until(lambda: "billing" in agent.state.checks)
                client_id = agent.settings.credentials["contoso"].hints("contoso").client_id
                principal = world.issuer.tenants[0].apps[client_id]
                clients = {"clientApplications": {"includeServicePrincipals": [principal.principal_id]}}
                policy = {"id": principal.principal_id, "displayName": "evil-policy", "state": "enabled"}
                world.issuer.tenants[0].policies.append({**policy, "conditions": clients})
                box = world.administration.mailboxes[MAILBOX]
                box.forwards_to, box.closed_to = "anna@evil.example", {client_id}
                await read(agent)
                await until(lambda: report_of(agent).outcome is Outcome.CRITICAL)
                await until(lambda: bool(agent.alerting.firing()))
                known = repr(agent.inspection.found("contoso"))
                kept = repr((agent.state.inspections.readings, report_of(agent)))
                said = await shown(agent) + repr([each.as_json() for each in agent.alerting.each_firing()])
        written = "".join(
            path.read_bytes().decode(errors="replace") for path in (tmp_path / "state").rglob("*") if path.is_file()
        )
    for name in ("anna@evil.example", "evil-policy", "203.0.113.7"):
        assert name in known
        assert name not in said + kept + repr(logs) + written


async def test_an_announced_change_is_known_once_a_day_and_warns_of_nothing(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world, running(world.config) as agent:
        await until(lambda: "billing" in agent.state.checks)
        graph = world.issuer.graph_directory
        graph.messages = [announcement("MC1", "SMTP AUTH: a change", act_by="2026-12-31T08:00:00Z"), announcement()]
        await read(agent)
        await until(lambda: len(agent.inspection.announcements()) == 2)
        assert [each.id for each in agent.inspection.announcements()] == ["MC1", "MC786329"]
        assert (report_of(agent).outcome, warned(agent)) == (Outcome.OK, set())
        assert "MC786329" not in await shown(agent)
        asked = sum("serviceAnnouncement/messages" in each for each in graph.asked)
        agent.inspection.readings._progress["contoso"].due_at = 0.0
        agent.inspection.read_due()
        await until(lambda: not agent.inspection.readings._progress["contoso"].reading)
        assert sum("serviceAnnouncement/messages" in each for each in graph.asked) == asked


async def test_where_the_message_centre_gives_no_answer_it_is_asked_again_within_an_hour(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world, running(world.config) as agent:
        await until(lambda: "billing" in agent.state.checks)
        watch = agent.inspection.readings._announcements
        await until(lambda: "auditor" in watch.found)
        world.issuer.graph_directory.statuses["/v1.0/admin/serviceAnnouncement/messages"] = 500
        watch.due.clear()
        agent.inspection.read_due()
        now = agent._kit.monotonic()
        await until(lambda: now < watch.due["auditor"] < now + 3700)
        assert "auditor" in watch.found


async def test_others_have_their_turn_between_the_news_of_two_checks() -> None:
    """A reading of a thousand mailboxes has news of a thousand checks."""
    seen: list[str] = []
    service = InspectionService(InspectionRows(None), seen.append)
    service._names = {"contoso": ["a", "b", "c"], "another": ["d"]}

    async def other() -> None:
        for _ in range(3):
            seen.append("another task")
            await asyncio.sleep(0)

    await asyncio.gather(service._credential_changed("contoso"), other())
    assert seen == ["a", "another task", "b", "another task", "c", "another task"]


async def test_after_a_restart_it_is_known_when_the_next_reading_begins(tmp_path: Path) -> None:
    """It is due a day after the last one, whose facts did not outlive the agent."""
    async with world_of(tmp_path) as world:
        async with running(world.config) as agent:
            await until(lambda: "billing" in agent.state.checks)
            await read(agent)
        async with running(world.config) as agent:
            await until(lambda: agent.inspection.next_reading_at("contoso") is not None)
            begins = agent.inspection.next_reading_at("contoso")
            assert agent.inspection.found("contoso").facts == ()
            assert begins is not None
            assert begins > time.time() + 3600
            assert agent.inspection.next_reading_at("nobody") is None
