"""The inspector: one question after the other, and nothing that fails harms who asks."""

from dataclasses import replace
from pathlib import Path

import pytest

from smtpcheck.inspection.inspectors import Inspectors
from smtpcheck.inspection.question import About, Asked, Question
from smtpcheck.inspection.questions import QUESTIONS
from smtpcheck.inspection.questions.enterprise_application import ENTERPRISE_APPLICATION
from smtpcheck.inspection.questions.gmail_incidents import GMAIL_INCIDENTS
from smtpcheck.inspection.questions.message_centre import MESSAGE_CENTRE
from smtpcheck.inspection.questions.service_health import SERVICE_HEALTH
from smtpcheck.model.inspection import FactName, Obstacle
from smtpcheck.sandbox.scenario import AUDITOR, CredentialKind, Registration
from tests.worlds.inspection import INSPECTED, MAILBOX, tenant

FEDERATED = Registration("contoso", CredentialKind.FEDERATED, inspected_by=AUDITOR)


def test_each_question_says_what_it_needs_and_what_it_gives() -> None:
    assert len({question.name for question in QUESTIONS}) == len(QUESTIONS)
    for question in QUESTIONS:
        assert question.needs.permissions or question is GMAIL_INCIDENTS, question.name
        assert question.needs.requests >= 1, question.name
        assert question.gives or question in (SERVICE_HEALTH, MESSAGE_CENTRE, GMAIL_INCIDENTS), question.name
        of_mailbox = question.about is About.MAILBOX
        assert all(name.is_of_mailbox is of_mailbox for name in question.gives), question.name


def test_the_documentation_names_every_permission() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "inspection.md").read_text()
    wanted = {permission for question in QUESTIONS for permission in question.needs.permissions}
    assert {permission for permission in wanted if f"`{permission}`" not in page} == set()


async def test_all_that_is_said_to_be_given_is_given_and_no_more(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        found = await site.read()
        said = {name for question in QUESTIONS for name in question.gives}
        assert {fact.name for fact in found.facts} <= said
        assert found.not_readable == ()


async def test_without_exchange_it_is_not_asked(tmp_path: Path) -> None:
    registration = replace(INSPECTED, keys={"inspect": {"by": "auditor"}})
    async with tenant(tmp_path, registration) as site:
        found = await site.read()
        assert site.world.issuer.exchange_admin.asked == type(site.world.issuer.exchange_admin.asked)()
        assert found.find(FactName.PRINCIPAL_ID) is not None


async def test_a_fault_of_our_own_is_not_readable(tmp_path: Path) -> None:
    async def broken(_asked: Asked) -> tuple[()]:
        raise KeyError("value")

    async with tenant(tmp_path) as site:
        question = Question("broken", "nothing", About.TENANT, ENTERPRISE_APPLICATION.needs, broken, ())
        (missed,) = (await site.inspector.read([question], ())).not_readable
        assert missed.obstacle is Obstacle.UNEXPECTED


async def test_an_inspector_without_a_token_says_why(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        site.auditor.disabled = True
        found = await site.read()
        assert found.facts == ()
        assert found.not_readable[0].detail == "the credential auditor gets no token (AADSTS7000112)"


async def test_a_silent_provider_is_not_readable(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        await site.value(FactName.PRINCIPAL_ID)  # the token is there
        await site.world.issuer.close()
        found = await site.read()
        assert found.facts == ()
        assert {Obstacle.UNREACHABLE, Obstacle.THROTTLED} <= {each.obstacle for each in found.not_readable}


@pytest.mark.parametrize(("wrong", "matches"), [(False, True), (True, False)])
async def test_the_local_assertion_is_compared_octet_by_octet(tmp_path: Path, *, wrong: bool, matches: bool) -> None:
    async with tenant(tmp_path, replace(FEDERATED, wrong_secret=wrong)) as site:
        assert await site.value(FactName.FEDERATED_MATCH) is matches


async def test_inspectors_of_one_tenant_share_its_pace(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        plans = {name: replace(site.inspector.plan, credential=name) for name in ("contoso", "auditor")}
        both = Inspectors(plans, site.settings.credentials, site.kit.tokens)
        site.world.issuer.graph_directory.throttled, site.world.issuer.graph_directory.retry_after = 1, 600
        for name in plans:
            inspector = both.get(name)
            assert inspector is not None
            await inspector.read(QUESTIONS, (MAILBOX,))
        assert len(site.world.issuer.graph_directory.asked) == 1
        await both.close()


async def test_no_address_of_the_provider_is_in_what_cannot_be_read(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        site.mailbox.exists = False
        found = await site.read()
        assert all("@" not in each.detail for each in found.not_readable)
