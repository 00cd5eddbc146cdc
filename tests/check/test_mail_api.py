"""A check by a mail API, against the sandbox: what is asked, what is kept, and what is never done twice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from smtpcheck.agent.run_once import run_once
from smtpcheck.check.kit import Kit, build_kit
from smtpcheck.check.probe import probe
from smtpcheck.check.talk import OutgoingMessage
from smtpcheck.config import load
from smtpcheck.mail_api.connections import KEPT_SECONDS
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check, Depth, Expect, Phase
from smtpcheck.model.report import FaultKind, Outcome, Report
from smtpcheck.sandbox.certificates import Certificate
from smtpcheck.sandbox.directory import App
from smtpcheck.sandbox.graph_send import GraphSend
from smtpcheck.sandbox.scenario import RECIPIENT
from smtpcheck.sandbox.scenarios import SCENARIOS
from smtpcheck.sandbox.world import World
from smtpcheck.system import System

BY_GRAPH = [scenario for scenario in SCENARIOS if scenario.name in {"graph-healthy", "graph-send"}]
FIVE_MINUTES = 300.0


class Clock(System):
    """A machine whose monotonic clock is ahead by what a test says; the rest is this machine."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@dataclass
class Site:
    """A world with a kit for it."""

    world: World
    kit: Kit
    clock: Clock
    check: Check
    """Proves the right to send by Graph."""

    @property
    def graph(self) -> GraphSend:
        return self.world.issuer.graph_send

    @property
    def app(self) -> App:
        return next(iter(self.world.issuer.tenants[0].apps.values()))

    @property
    def sender(self) -> Check:
        """Return the same check at depth `send`."""
        return replace(self.check, depth=Depth.SEND, recipient=RECIPIENT)

    async def run(self, check: Check | None = None, *, later: float = 0.0) -> Report:
        """Run the check so many seconds later."""
        self.clock.ahead += later
        return await probe(check or self.check, self.kit)


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    clock = Clock()
    async with World(folder, BY_GRAPH) as world:
        settings = load([world.config]).settings
        assert settings is not None
        kit = await build_kit(settings, system=clock)
        check = next(check for check in settings.checks if check.name == "graph-healthy")
        try:
            yield Site(world, kit, clock, check)
        finally:
            await kit.close()


def phases(report: Report) -> list[Phase]:
    return [step.phase for step in report.steps]


async def test_the_right_to_send_is_proven_and_nothing_is_sent(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        report = await here.run()
        assert (report.outcome, report.cause) == (Outcome.OK, None)
        assert phases(report) == [Phase.TOKEN, Phase.DNS, Phase.CONNECT, Phase.TLS, Phase.REQUEST]
        assert all(step.seconds > 0 for step in report.steps[2:])
        answer = report.steps[-1].exchanges[0].answer
        assert answer is not None
        assert (answer.status, answer.error) == (400, "ErrorMimeContentInvalidBase64String")
        assert report.tls is not None
        assert report.tls.certificate is not None
        assert not here.graph.sent


async def test_a_kept_connection_has_no_phases_of_its_own_and_ends_after_ten_minutes(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        await here.run()
        again = await here.run(later=FIVE_MINUTES)
        assert phases(again) == [Phase.REQUEST]
        assert (again.tls, again.attempts) == (None, ())
        later = await here.run(later=KEPT_SECONDS - FIVE_MINUTES + 1)
        assert phases(later) == [Phase.DNS, Phase.CONNECT, Phase.TLS, Phase.REQUEST]


async def test_a_kept_connection_that_the_server_has_closed_is_replaced(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        await here.run()
        await here.world.issuer.close()
        await here.world.issuer.start(here.world.server_context(Certificate.VALID), here.world.issuer.port)
        report = await here.run(later=FIVE_MINUTES)
        assert (report.outcome, phases(report)) == (Outcome.OK, [Phase.DNS, Phase.CONNECT, Phase.TLS, Phase.REQUEST])


async def test_a_proof_is_made_once_within_five_minutes(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        first = await here.run()
        second = await here.run(replace(here.check, name="another"), later=60)
        assert here.graph.asked.total() == 1
        assert second.outcome is Outcome.OK
        assert second.steps[-1].exchanges[0].answer == first.steps[-1].exchanges[0].answer
        assert second.steps[-1].exchanges[0].command.endswith("(answered 60 s before)")
        await here.run(later=FIVE_MINUTES - 60)
        assert here.graph.asked.total() == 2


async def test_a_proof_that_was_taken_for_a_message_is_critical(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        here.graph.takes_anything = True
        report = await here.run()
        assert (report.outcome, report.cause) == (Outcome.CRITICAL, Cause.UNEXPECTED_SUCCESS)
        step = report.failed_step
        assert step is not None
        assert step.fault is not None
        assert (step.phase, step.fault.kind) == (Phase.REQUEST, FaultKind.ACCEPTED)


async def test_a_token_older_than_the_consent_is_replaced_once_and_that_is_said(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        here.app.graph_roles = ()
        assert (await here.run()).cause is Cause.GRAPH_PERMISSION_MISSING
        here.app.graph_roles = ("Mail.Send",)
        report = await here.run(later=FIVE_MINUTES)
        assert report.outcome is Outcome.WARNING
        assert [finding.cause for finding in report.warnings] == [Cause.TOKEN_OLDER_THAN_CONSENT]
        assert here.graph.asked.total() == 3
        assert [answer.status for step in report.steps for e in step.exchanges if (answer := e.answer)] == [403, 400]


async def test_a_refusal_of_a_fresh_token_is_asked_once_only(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        here.graph.mailbox(here.check.mailbox).excluded = True
        report = await here.run()
        assert report.cause is Cause.EXCHANGE_APP_ACCESS_POLICY
        assert here.graph.asked.total() == 1


async def test_a_message_goes_over_a_new_connection(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        await here.run()
        report = await here.run(here.sender)
        assert phases(report) == [Phase.DNS, Phase.CONNECT, Phase.TLS, Phase.REQUEST]
        (sent,) = here.graph.sent
        assert not sent.is_saved
        assert b"X-Smtpcheck-Id" in sent.content


async def test_a_message_that_is_searched_for_has_its_own_message_id(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        content = f"From: {here.check.mailbox}\r\nTo: {RECIPIENT}\r\nMessage-ID: <one@x>\r\n\r\nHello\r\n".encode()

        async def consent() -> bool:
            assert not here.graph.asked
            return True

        report = await probe(here.sender, here.kit, outgoing=OutgoingMessage(content, consent, "one"))
        assert report.outcome is Outcome.OK
        assert [sent.content for sent in here.graph.sent] == [content]


async def test_without_consent_nothing_is_requested(tmp_path: Path) -> None:
    async with site(tmp_path) as here:

        async def consent() -> bool:
            return False

        report = await probe(here.sender, here.kit, outgoing=OutgoingMessage(b"To: a@b\r\n\r\n", consent, "one"))
        assert phases(report) == [Phase.TOKEN, Phase.DNS, Phase.CONNECT, Phase.TLS]
        assert not here.graph.asked


async def test_a_message_whose_end_is_uncertain_is_not_sent_again(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        here.graph.delay = 3600.0
        report = await here.run(replace(here.sender, timeout=1.0))
        step = report.failed_step
        assert step is not None
        assert step.fault is not None
        assert (step.phase, step.fault.kind, report.cause) == (Phase.REQUEST, FaultKind.TIMEOUT, Cause.MAIL_UNCERTAIN)
        assert here.graph.asked.total() == 1


async def test_without_a_token_the_connection_is_tried_and_both_are_reported(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        here.app.secret_expired = True
        report = await here.run()
        assert report.cause is Cause.SECRET_EXPIRED
        assert phases(report) == [Phase.TOKEN, Phase.DNS, Phase.CONNECT, Phase.TLS]


@pytest.mark.parametrize(
    ("errors", "outcome"), [(("ErrorAccessDenied",), Outcome.OK), (("ErrorSendAsDenied",), Outcome.CRITICAL)]
)
async def test_an_expected_refusal_is_met_by_status_and_error(
    errors: tuple[str, ...], outcome: Outcome, tmp_path: Path
) -> None:
    async with site(tmp_path) as here:
        here.graph.mailbox(here.check.mailbox).excluded = True
        report = await here.run(replace(here.check, expect=Expect(Phase.REQUEST, ("403",), api_errors=errors)))
        assert report.outcome is outcome


async def test_a_refusal_that_does_not_come_is_unexpected_success(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        report = await here.run(replace(here.check, expect=Expect(Phase.REQUEST, ("403",))))
        assert (report.outcome, report.cause) == (Outcome.CRITICAL, Cause.UNEXPECTED_SUCCESS)


@pytest.mark.parametrize("via", ["imap", "graph"])
async def test_a_loopback_sends_by_graph_and_is_found(via: str, tmp_path: Path) -> None:
    found = next(scenario for scenario in SCENARIOS if scenario.name == "mail-delivered")
    both = replace(found.registration, name="both", graph_roles=("Mail.ReadWrite", "Mail.Send"))
    by_graph = replace(
        found,
        check={**found.check, "via": {"api": "graph"}},
        registration=both,
        finding=replace(found.finding, via=via),
    )
    async with World(tmp_path, [by_graph]) as world:
        settings = load([world.config]).settings
        assert settings is not None
        (report,) = (await run_once(settings, settings.checks, loopbacks=True)).values()
        assert (report.outcome, report.warnings) == (Outcome.OK, ())
        assert len(world.issuer.graph_send.sent) == 1
