"""Graph, read only: what is asked, how far an answer is read, and what a refusal means."""

from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.inspection.graph import GraphPath
from smtpcheck.inspection.reader import MOST_PAGES
from smtpcheck.model.inspection import FactName, NotReadable, Obstacle
from tests.worlds.inspection import MAILBOX, Tenant, tenant

ROOT = "https://graph.microsoft.com"


@given(
    st.text(min_size=1, max_size=60), st.sampled_from([GraphPath.USER, GraphPath.USER_BY_ADDRESS, GraphPath.PURPOSE])
)
def test_a_value_never_adds_to_a_request(value: str, path: GraphPath) -> None:
    """Whatever a mailbox is called, the request is the same one: path, filter and options."""
    url = path.address(ROOT, {"mailbox": value.encode("utf-8", "replace").decode(), "user_id": "x"})
    plain = urlsplit(path.address(ROOT, {"mailbox": "x", "user_id": "x"}))
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc) == (plain.scheme, plain.netloc)
    assert parts.path.count("/") == plain.path.count("/")
    assert parse_qs(parts.query).keys() == parse_qs(plain.query).keys()
    assert unquote(parts.query).count("'") % 2 == 0


def test_only_reading_is_asked_for() -> None:
    for path in GraphPath:
        assert path.value.startswith(("/v1.0/", "/beta/auditLogs/"))
        assert path.shown.startswith("GET /")
        assert "{" not in path.shown


async def not_readable(site: Tenant, question: str) -> NotReadable:
    found = await site.read()
    return next(each for each in found.not_readable if each.question == question)


async def test_every_page_is_read(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        site.app.roles = ("SMTP.SendAsApp", "IMAP.AccessAsApp")
        site.world.issuer.graph_directory.page_size = 1
        assert await site.value(FactName.APPLICATION_ROLES) == ("IMAP.AccessAsApp", "SMTP.SendAsApp")


async def test_paging_without_end_is_cut_off_and_proves_nothing(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        directory = site.world.issuer.graph_directory
        directory.endless = True
        missed = await not_readable(site, "consents")
        assert (missed.obstacle, missed.detail) == (Obstacle.UNEXPECTED, f"the answer has more than {MOST_PAGES} pages")
        assert sum("appRoleAssignments" in each for each in directory.asked) == MOST_PAGES


@pytest.mark.parametrize("address", ["https://evil.example/v1.0/x", "/v1.0/other", "https://localhost:1/"])
async def test_the_token_follows_no_page_to_another_address(tmp_path: Path, address: str) -> None:
    async with tenant(tmp_path) as site:
        site.world.issuer.graph_directory.next_page = address
        missed = await not_readable(site, "consents")
        assert missed.detail == "the next page is at another address"


@pytest.mark.parametrize(
    ("lost", "question", "detail"),
    [
        ("Application.Read.All", "enterprise_application", "permission Application.Read.All is missing"),
        ("User.Read.All", "mailbox_user", "permission User.Read.All is missing"),
        ("Policy.Read.All", "security_defaults", "permission Policy.Read.All is missing"),
    ],
)
async def test_a_missing_permission_is_named(tmp_path: Path, lost: str, question: str, detail: str) -> None:
    async with tenant(tmp_path) as site:
        site.auditor.graph_roles = tuple(role for role in site.auditor.graph_roles if role != lost)
        missed = await not_readable(site, question)
        assert (missed.obstacle, missed.detail) == (Obstacle.PERMISSION, detail)


async def test_a_missing_licence_is_named(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        site.world.issuer.tenants[0].premium = False
        missed = await not_readable(site, "conditional_access")
        assert (missed.obstacle, missed.detail) == (Obstacle.LICENCE, "it needs Entra Workload ID Premium")


async def test_a_throttled_tenant_is_left_alone_at_once(tmp_path: Path) -> None:
    """The rest is not read either, and costs no request."""
    async with tenant(tmp_path) as site:
        directory = site.world.issuer.graph_directory
        directory.throttled, directory.retry_after = 1, 600
        found = await site.read()
        assert found.facts == ()
        assert {each.obstacle for each in found.not_readable} == {Obstacle.THROTTLED, Obstacle.UNAVAILABLE}
        assert len(directory.asked) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"id": "x", "appId": 5},
        {"id": "6a1c5c5e-3a6f-4b59-a1e2-6a0f3c2b9d10", "appId": "6a1c5c5e-3a6f-4b59-a1e2-6a0f3c2b9d10"},
        [],
        "text",
    ],
)
async def test_an_answer_about_something_else_is_no_answer(tmp_path: Path, body: object) -> None:
    """Half of an answer, one of another application, and one that is no object."""
    async with tenant(tmp_path) as site:
        path = f"/v1.0/servicePrincipals(appId='{site.app.client_id}')"
        site.world.issuer.graph_directory.answers[path] = body
        found = await site.read()
        missed = next(each for each in found.not_readable if each.question == "enterprise_application")
        assert missed.obstacle is Obstacle.UNEXPECTED
        assert found.find(FactName.PRINCIPAL_EXISTS) is None
        assert found.find(FactName.APPLICATION_ROLES) is None


async def test_a_missing_page_of_something_in_between_is_no_missing_application(tmp_path: Path) -> None:
    """A proxy's 404 says nothing of the directory."""
    async with tenant(tmp_path) as site:
        path = f"/v1.0/servicePrincipals(appId='{site.app.client_id}')"
        site.world.issuer.graph_directory.statuses[path] = 404
        found = await site.read()
        assert found.find(FactName.PRINCIPAL_EXISTS) is None


async def test_permissions_without_names_prove_none_to_be_missing(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        path = "/v1.0/servicePrincipals(appId='00000002-0000-0ff1-ce00-000000000000')"
        site.world.issuer.graph_directory.answers[path] = {"id": "6a1c5c5e-3a6f-4b59-a1e2-6a0f3c2b9d10", "appRoles": 5}
        found = await site.read()
        assert found.find(FactName.APPLICATION_ROLES) is None


async def test_consents_of_another_application_do_not_count(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        path = f"/v1.0/servicePrincipals/{site.app.principal_id}/appRoleAssignments"
        foreign = {
            "appRoleId": "7146a1f0-8703-45b3-9eae-527a64c00995",
            "principalId": site.auditor.principal_id,
            "resourceId": "6a1c5c5e-3a6f-4b59-a1e2-6a0f3c2b9d10",
        }
        site.world.issuer.graph_directory.answers[path] = {"value": [foreign]}
        assert await site.fact(FactName.APPLICATION_ROLES) is None


async def test_an_account_is_found_by_its_alias_too(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        entry = site.world.administration.mailboxes.pop(MAILBOX)
        entry.address, entry.aliases = "anna@contoso.example", (MAILBOX,)
        site.world.administration.mailboxes[entry.address] = entry
        assert await site.value(FactName.USER_EXISTS) is True
        assert await site.value(FactName.USER_ADDRESS_IS_ALIAS) is True


async def test_a_deleted_account_is_known_as_such(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        site.mailbox.exists, site.mailbox.soft_deleted = False, True
        assert await site.value(FactName.USER_EXISTS) is False
        assert await site.value(FactName.USER_DELETED) is True


async def test_what_names_a_person_is_marked(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        fact = await site.fact(FactName.USER_NAME)
        assert fact is not None
        assert fact.personal
