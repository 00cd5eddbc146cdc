"""Answers that are cut, odd, about somebody else or from another time: never a wrong certainty follows from one.

The tenant is in order, so whatever is called certain is wrong.
"""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from smtpcheck.diagnosis.explain import CERTAIN
from smtpcheck.diagnosis.inspected.causes import proven
from smtpcheck.diagnosis.inspected.defects import defects
from smtpcheck.diagnosis.inspected.view import View
from smtpcheck.model.cause import Cause
from smtpcheck.model.inspection import Fact, FactName, Inspection
from smtpcheck.sandbox.graph_directory import EXCHANGE_ONLINE, ROLES
from tests.diagnosis.test_inspected import no_token, refused
from tests.worlds.inspection import INSPECTED, MAILBOX, Tenant, tenant

OTHER = "6a1c5c5e-3a6f-4b59-a1e2-6a0f3c2b9d99"
FAILURES = (
    *(refused(535, "5.7.3"), refused(535, "5.7.139"), refused(554, "5.2.252")),
    *(no_token(code) for code in (65001, 501051, 7000215, 7000222, 700213, 7000112)),
)
EXCHANGE = f"/v1.0/servicePrincipals(appId='{EXCHANGE_ONLINE}')"


def _paths(site: Tenant) -> dict[str, str]:
    app = site.app
    principal = f"/v1.0/servicePrincipals/{app.principal_id}"
    return {
        "principal": f"/v1.0/servicePrincipals(appId='{app.client_id}')",
        "roles": f"{principal}/appRoleAssignments",
        "grants": f"{principal}/oauth2PermissionGrants",
        "federated": f"/v1.0/applications(appId='{app.client_id}')/federatedIdentityCredentials",
        "user": f"/v1.0/users/{MAILBOX}",
        "exchange": EXCHANGE,
    }


def certain(found: Inspection) -> set[Cause]:
    """Return what is called certain of a tenant that is in order."""
    now = time.time()
    wrong = set[Cause]()
    for app_only in (True, False):
        view = View(found, MAILBOX, now, app_only=app_only, login="anna@contoso.example")
        wrong |= {each.cause for each in defects(view) if each.certainty >= CERTAIN}
        for failure in FAILURES:
            causes = proven(structs.replace(failure, started_at=now - 60), view, {}, began=now - 60)
            wrong |= {each.cause for each in causes if each.certainty >= CERTAIN}
    return wrong - ({Cause.CONSENT_MISSING} if found.find(FactName.DELEGATED_PERMISSIONS) else set())


def _assignment(**changes: object) -> dict[str, object]:
    return {"appRoleId": ROLES["SMTP.SendAsApp"], "principalId": OTHER, "resourceId": OTHER, **changes}


GRAPH_BODIES: dict[str, tuple[str, Any]] = {
    "no list of roles": ("roles", {}),
    "roles are null": ("roles", {"value": None}),
    "roles are a text": ("roles", {"value": "none"}),
    "roles are nothing": ("roles", {"value": [None, 5, "x"]}),
    "roles of another application": ("roles", {"value": [_assignment()]}),
    "roles without ids": ("roles", {"value": [{"appRoleId": ROLES["SMTP.SendAsApp"]}]}),
    "more roles on a page than are read": ("roles", {"value": [_assignment()] * 1001}),
    "no list of grants": ("grants", {"value": {}}),
    "grants of another application": ("grants", {"value": [{"clientId": OTHER, "resourceId": OTHER, "scope": "x"}]}),
    "another service principal as Exchange": (
        "exchange",
        {"id": OTHER, "appId": OTHER, "appRoles": [{"id": OTHER, "value": "SMTP.SendAsApp"}]},
    ),
    "Exchange without permissions": ("exchange", {"id": OTHER, "appId": EXCHANGE_ONLINE, "appRoles": []}),
    "another application": ("principal", {"id": OTHER, "appId": OTHER, "accountEnabled": False}),
    "no list of federated credentials": ("federated", {"value": 0}),
    "half a federated credential": ("federated", {"value": [{"name": "cluster", "issuer": "https://a.example"}]}),
    "a flexible federated credential": (
        "federated",
        {
            "value": [
                {"name": "x", "issuer": "https://a.example", "subject": None, "audiences": ["api://x"]}
                | {"claimsMatchingExpression": {"value": "claims['sub'] matches 'x'", "languageVersion": 1}}
            ]
        },
    ),
    "another account": ("user", {"id": OTHER, "userPrincipalName": "x@elsewhere.example", "assignedPlans": []}),
    "half an account": ("user", {"id": OTHER, "userPrincipalName": MAILBOX}),
    "an unknown licence": (
        "user",
        {
            "userPrincipalName": MAILBOX,
            "assignedPlans": [{"service": "exchange", "capabilityStatus": "FrozenByPolicy"}],
        },
    ),
}


@pytest.mark.parametrize("name", GRAPH_BODIES)
async def test_an_odd_answer_of_graph_makes_nothing_certain(tmp_path: Path, name: str) -> None:
    where, body = GRAPH_BODIES[name]
    async with tenant(tmp_path) as site:
        assert certain(await site.read()) == set()
        site.world.issuer.graph_directory.answers[_paths(site)[where]] = body
        assert certain(await site.read()) == set()


async def test_an_unknown_status_of_the_application_is_no_fact(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        app = site.app
        body = {"id": app.principal_id, "appId": app.client_id, "accountEnabled": "perhaps"}
        answers = site.world.issuer.graph_directory.answers
        answers[_paths(site)["principal"]] = body | {"disabledByMicrosoftStatus": "unknownFutureValue"}
        found = await site.read()
    assert certain(found) == set()
    assert found.find(FactName.PRINCIPAL_DISABLED_BY_MICROSOFT) is None
    assert found.find(FactName.PRINCIPAL_ENABLED) is None


async def test_thousands_of_permissions_are_not_readable_instead_of_kept(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        app, exchange = site.app, "6a1c5c5e-3a6f-4b59-a1e2-6a0f3c2b9d10"
        many = [
            _assignment(appRoleId=f"{OTHER[:-4]}{number:04d}", principalId=app.principal_id, resourceId=exchange)
            for number in range(900)
        ]
        site.world.issuer.graph_directory.answers[_paths(site)["roles"]] = {"value": many}
        found = await site.read()
    assert found.find(FactName.APPLICATION_ROLES) is None
    (missed,) = (each for each in found.not_readable if each.question == "consents")
    assert missed.detail == "the answer names more than 200 permissions"


async def test_a_permission_that_has_no_name_may_be_the_one_that_is_missing(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        row = _assignment(appRoleId=OTHER, principalId=site.app.principal_id)
        row["resourceId"] = "6a1c5c5e-3a6f-4b59-a1e2-6a0f3c2b9d10"
        site.world.issuer.graph_directory.answers[_paths(site)["roles"]] = {"value": [row]}
        found = await site.read()
    fact = found.find(FactName.APPLICATION_ROLES)
    assert fact is not None
    assert fact.value == (f"unknown permission {OTHER}",)
    assert Cause.MISSING_SMTP_PERMISSION not in certain(found)


EXCHANGE_BODIES: dict[str, tuple[str, Any]] = {
    "no list of rights": ("Get-MailboxPermission", {"value": None}),
    "rights that are nothing": ("Get-MailboxPermission", {"value": [None]}),
    "no rights": ("Get-MailboxPermission", {"value": []}),
    "rights of others alone": ("Get-MailboxPermission", {"value": [{"User": "NT AUTHORITY\\SELF"}]}),
    "trustees without names": ("Get-RecipientPermission", {"value": [{"AccessRights": ["SendAs"]}]}),
    "nobody has Send As, not even the owner": ("Get-RecipientPermission", {"value": []}),
    "an owner without a right": ("Get-RecipientPermission", {"value": [{"Trustee": "NT AUTHORITY\\SELF"}]}),
    "an owner, and somebody without a name": (
        "Get-RecipientPermission",
        {"value": [{"Trustee": "NT AUTHORITY\\SELF", "AccessRights": ["SendAs"]}, {"AccessRights": ["SendAs"]}]},
    ),
    "an unknown switch": ("Get-CASMailbox", {"value": [{"SmtpClientAuthenticationDisabled": "Sometimes"}]}),
    "a switch that is a number": ("Get-CASMailbox", {"value": [{"SmtpClientAuthenticationDisabled": 1}]}),
    "several mailboxes": (
        "Get-CASMailbox",
        {"value": [{"PrimarySmtpAddress": "a@b.example", "SmtpClientAuthenticationDisabled": True}] * 2},
    ),
    "no mailbox": ("Get-Mailbox", {"value": []}),
    "mailboxes of others": (
        "Get-Mailbox",
        {"value": [{"PrimarySmtpAddress": f"{name}@b.example", "RecipientTypeDetails": "MailUser"} for name in "ab"]},
    ),
    "a kind from the future": ("Get-Mailbox", {"value": [{"RecipientTypeDetails": "QuantumMailbox"}]}),
    "another application's registration": (
        "Get-ServicePrincipal",
        {"value": [{"AppId": OTHER, "ObjectId": OTHER, "Sid": "S-1-5-21-9"}]},
    ),
    "a registration without ids": ("Get-ServicePrincipal", {"value": [{}]}),
    "scopes that were not run": (
        "Test-ServicePrincipalAuthorization",
        {"value": [{"RoleName": "Application SMTP.SendAsApp", "InScope": "Not Run"}]},
    ),
    "a tenant's switch that is missing": ("Get-TransportConfig", {"value": [{}]}),
    "a blocked sender that is somebody else": (
        "Get-BlockedSenderAddress",
        {"value": [{"SenderAddress": "x@y.example"}]},
    ),
}


@pytest.mark.parametrize("name", EXCHANGE_BODIES)
async def test_an_odd_answer_of_exchange_makes_nothing_certain(tmp_path: Path, name: str) -> None:
    cmdlet, body = EXCHANGE_BODIES[name]
    async with tenant(tmp_path) as site:
        site.world.administration.smtp_auth_disabled = True
        site.mailbox.smtp_auth_disabled = False
        assert certain(await site.read()) == set()
        site.world.issuer.exchange_admin.answers[cmdlet] = body
        assert certain(await site.read()) == set()


async def test_a_right_that_is_cut_short_is_not_called_missing(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        sid = await site.value(FactName.REGISTERED_SID)
        owner = {"User": "NT AUTHORITY\\SELF", "AccessRights": ["FullAccess"]}
        site.world.issuer.exchange_admin.answers["Get-MailboxPermission"] = {"value": [owner, {"User": sid}]}
        found = await site.read()
    assert found.find(FactName.FULL_ACCESS, MAILBOX) is None
    assert certain(found) == set()


async def test_a_secret_that_lasts_for_ever_has_not_expired(tmp_path: Path) -> None:
    """Portals and scripts of earlier years made secrets that expire in 2299."""
    async with tenant(tmp_path) as site:
        listed = [{"keyId": OTHER, "endDateTime": "2299-12-31T05:00:00Z"}]
        old = {"keyId": OTHER[:-1] + "0", "endDateTime": "2020-01-01T00:00:00Z"}
        app = site.app
        body: dict[str, Any] = {
            "id": OTHER,
            "appId": app.client_id,
            "passwordCredentials": [*listed, old],
            "keyCredentials": [],
        }
        found = await _with_application(site, body)
        assert certain(found) == set()
        without_day = {**body, "passwordCredentials": [{"keyId": OTHER}, old]}
        assert certain(await _with_application(site, without_day)) == set()
        half = {key: value for key, value in body.items() if key != "keyCredentials"}
        assert certain(await _with_application(site, {**half, "passwordCredentials": [old]})) == set()


async def _with_application(site: Tenant, body: dict[str, Any]) -> Inspection:
    site.world.issuer.graph_directory.answers[f"/v1.0/applications(appId='{site.app.client_id}')"] = body
    return await site.read()


@pytest.mark.parametrize("hours", [-30 * 24, -48, -3, -1, 1, 3, 48])
def test_a_sign_in_of_another_time_is_not_the_failure(hours: float) -> None:
    """As where clocks are hours apart, or the log has only an earlier request."""
    now = time.time()
    fact = Fact(FactName.SIGN_IN_CODE, "53003", "Entra sign-in log", "GET", now, changed_at=now + hours * 3600)
    view = View(Inspection((fact,)), MAILBOX, now)
    failure = structs.replace(no_token(53003), started_at=now - 60)
    (finding,) = proven(failure, view, {})
    assert finding.certainty < CERTAIN
    assert "that sign-in was at another time than the failure" in finding.evidence
    (finding,) = proven(failure, View(Inspection((replace(fact, changed_at=now - 61),)), MAILBOX, now), {})
    assert finding.certainty >= CERTAIN


@pytest.mark.parametrize("at", [0.0, 1.0, 4e12])
async def test_a_clock_that_is_far_away_makes_nothing_certain(tmp_path: Path, at: float) -> None:
    async with tenant(tmp_path, INSPECTED) as site:
        site.inspector._wall = lambda: at
        found = await site.read()
    assert all(fact.read_at == at for fact in found.facts)
    wrong = certain(found)
    assert wrong == set()
