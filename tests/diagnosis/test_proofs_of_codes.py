"""Each code whose cause the provider's word can show: which fact decides for which cause, as a table without gaps."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from msgspec import structs

from smtpcheck.diagnosis.explain import CERTAIN, LIKELY
from smtpcheck.diagnosis.inspected.causes import candidates, proven
from smtpcheck.diagnosis.inspected.defects import defects
from smtpcheck.diagnosis.inspection_status import InspectionStatus, Proof, merged, signature
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Phase
from smtpcheck.model.inspection import Value
from smtpcheck.model.report import Finding, Report
from tests.diagnosis.test_inspected import DROP, OTHER_ID, inspected, no_token, refused, view

Facts = Mapping[str, Value]
CODES: dict[str, Report] = {
    "535 5.7.3": refused(535, "5.7.3"),
    "535 5.7.139": refused(535, "5.7.139"),
    "430 4.2.0": refused(430, "4.2.0", Phase.DATA),
    "550 5.1.8": refused(550, "5.1.8", Phase.DATA),
    "550 5.7.60": refused(550, "5.7.60", Phase.DATA),
    "554 5.2.252": refused(554, "5.2.252", Phase.DATA),
    **{
        f"AADSTS{code}": no_token(code)
        for code in (
            50105,
            501051,
            53003,
            65001,
            500011,
            700016,
            7000112,
            7000215,
            7000222,
            70021,
            700211,
            700212,
            700213,
        )
    },
}
UNREGISTERED: Facts = {"REGISTERED": False, "REGISTERED_ID": DROP}
DECIDING: dict[Cause, Facts] = {
    Cause.SERVICE_PRINCIPAL_NOT_REGISTERED: UNREGISTERED,
    Cause.WRONG_OBJECT_ID_SERVICE_PRINCIPAL: {"REGISTERED_ID": OTHER_ID},
    Cause.MAILBOX_MISSING_OR_UNLICENSED: {"MAILBOX_EXISTS": False},
    Cause.SMTP_AUTH_DISABLED_MAILBOX: {"SMTP_AUTH_OFF_MAILBOX": True},
    Cause.SMTP_AUTH_DISABLED_TENANT: {"SMTP_AUTH_OFF_TENANT": True},
    Cause.MISSING_SMTP_PERMISSION: {"APPLICATION_ROLES": ()},
    Cause.MAILBOX_PERMISSION_MISSING: {"FULL_ACCESS": False},
    Cause.CONDITIONAL_ACCESS: {"SIGN_IN_CODE": "53003"},
    Cause.ACCOUNT_BLOCKED_OUTBOUND_SPAM: {"BLOCKED_SENDER": True},
    Cause.APP_NOT_IN_TENANT: {"PRINCIPAL_EXISTS": False},
    Cause.APP_DISABLED: {"PRINCIPAL_ENABLED": False},
    Cause.RESOURCE_NOT_IN_TENANT: {"EXCHANGE_IN_TENANT": False},
    Cause.SECRET_INVALID: {"SECRET_EXPIRES": DROP},
    Cause.SECRET_EXPIRED: {"SECRET_EXPIRES": "2026-11-01T00:00:00Z"},
    Cause.FEDERATED_ASSERTION_MISMATCH: {"FEDERATED_MATCH": False},
}
"""The fact that makes a cause certain."""
OF_CONSENT: dict[str, tuple[Facts, bool]] = {
    "AADSTS50105": ({"ASSIGNMENT_REQUIRED": True}, True),
    "AADSTS65001": ({"DELEGATED_PERMISSIONS": ()}, False),
}
"""A missing consent is shown by another fact for each code; and whether the application acts for itself."""
SHOWN_IN_PART: dict[Cause, Facts] = {
    Cause.SENDER_NOT_ALLOWED: {"SEND_AS": False},
    Cause.SECURITY_DEFAULTS: {"SECURITY_DEFAULTS": True},
}
"""Stays likely: how Get-RecipientPermission names a service principal is not documented, and security defaults are on
in many tenants whose applications send mail."""

PAIRS = [(code, cause) for code, report in CODES.items() for cause in candidates(report)]


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_causes_that_facts_can_show(code: str) -> None:
    assert candidates(CODES[code])


@pytest.mark.parametrize(("code", "cause"), PAIRS)
def test_each_cause_of_a_code_becomes_certain_by_its_fact(code: str, cause: Cause) -> None:
    if cause in SHOWN_IN_PART:
        best = proven(CODES[code], view(inspected(SHOWN_IN_PART[cause])), {})[0]
        assert (best.cause, LIKELY <= best.certainty < CERTAIN) == (cause, True)
        return
    facts, app_only = OF_CONSENT[code] if cause is Cause.CONSENT_MISSING else (DECIDING[cause], True)
    best = proven(CODES[code], view(inspected(facts), app_only=app_only), {})[0]
    assert (best.cause, best.certainty >= CERTAIN) == (cause, True)


NOBODY_MAY: Facts = {"SEND_AS": False, "OTHERS_SEND_AS": False}


@pytest.mark.parametrize(
    ("facts", "login", "certain"),
    [
        (NOBODY_MAY, "anna@contoso.example", True),
        (NOBODY_MAY, "", False),  # it sends as itself
        ({**NOBODY_MAY, "OTHERS_SEND_AS": True}, "anna@contoso.example", False),
        ({**NOBODY_MAY, "OTHERS_SEND_AS": DROP}, "anna@contoso.example", False),
        ({**NOBODY_MAY, "USER_ADDRESS_IS_ALIAS": True}, "anna@contoso.example", False),
        ({**NOBODY_MAY, "USER_ADDRESS_IS_ALIAS": DROP}, "anna@contoso.example", False),
    ],
)
def test_only_where_nobody_has_send_as_is_it_certain(facts: Facts, login: str, *, certain: bool) -> None:
    known = replace(view(inspected(facts)), login=login)
    best = proven(CODES["554 5.2.252"], known, {})[0]
    assert (best.cause, best.certainty >= CERTAIN) == (Cause.SENDER_NOT_ALLOWED, certain)


@pytest.mark.parametrize("local", ["is the ID of a secret", "not listed"])
def test_what_the_refused_secret_is_comes_before_that_all_have_expired(local: str) -> None:
    facts: Facts = {"LOCAL_SECRET": local, "SECRET_EXPIRES": "2026-11-01T00:00:00Z"}
    best = proven(CODES["AADSTS7000215"], view(inspected(facts)), {})[0]
    assert (best.cause, best.certainty >= CERTAIN) == (Cause.SECRET_INVALID, True)


GUESSES = tuple(
    Finding(cause, certainty, f"exchange.{cause}")
    for cause, certainty in (
        (Cause.SERVICE_PRINCIPAL_NOT_REGISTERED, 0.6),
        (Cause.MAILBOX_PERMISSION_MISSING, 0.55),
        (Cause.PERMISSION_NOT_PROPAGATED, 0.4),
    )
)


def explained(code: str, facts: Facts, *, own: tuple[Finding, ...] = GUESSES) -> list[tuple[Cause, float]]:
    report = structs.replace(CODES[code], findings=own)
    proof = Proof(signature(report), proven(report, view(inspected(facts)), {}))
    return [(each.cause, each.certainty) for each in merged(report, InspectionStatus(proof)).findings]


def test_where_a_cause_is_proven_no_guess_is_offered_beside_it() -> None:
    causes = explained("535 5.7.3", {"FULL_ACCESS": False})
    assert [cause for cause, _ in causes] == [Cause.MAILBOX_PERMISSION_MISSING]
    both = explained("535 5.7.139", {"SMTP_AUTH_OFF_MAILBOX": True, "SECURITY_DEFAULTS": True})
    assert [cause for cause, _ in both] == [Cause.SMTP_AUTH_DISABLED_MAILBOX]


def test_what_is_only_likely_leaves_the_others() -> None:
    causes = explained("535 5.7.139", {"SECURITY_DEFAULTS": True})
    assert causes[0][0] is Cause.SECURITY_DEFAULTS
    assert len(causes) == 1 + len(GUESSES)


def test_no_word_of_the_provider_makes_a_certain_cause_less_certain() -> None:
    stated = (Finding(Cause.SENDER_NOT_ALLOWED, 0.95, "exchange.sender"),)
    assert explained("554 5.2.252", {"SEND_AS": False}, own=stated) == [(Cause.SENDER_NOT_ALLOWED, 0.95)]


def test_that_a_secret_is_not_listed_is_no_defect_while_it_works() -> None:
    """It may be one of the service principal's own, which is not read."""
    assert defects(view(inspected({"LOCAL_SECRET": "not listed"}))) == ()


def test_no_fact_is_listed_for_a_cause_that_no_code_has() -> None:
    listed = {*DECIDING, *SHOWN_IN_PART, Cause.CONSENT_MISSING}
    assert listed == {cause for _, cause in PAIRS}


@pytest.mark.parametrize(
    ("code", "facts"),
    [
        ("AADSTS65001", {"ASSIGNMENT_REQUIRED": True, "DELEGATED_PERMISSIONS": ("SMTP.Send",)}),
        ("AADSTS501051", {"ASSIGNMENT_REQUIRED": True}),
        ("AADSTS50105", {"DELEGATED_PERMISSIONS": ()}),
        ("AADSTS53003", {"ASSIGNMENT_REQUIRED": True, "DELEGATED_PERMISSIONS": ()}),
    ],
)
@pytest.mark.parametrize("app_only", [False, True])
def test_a_fact_of_another_code_shows_nothing(code: str, facts: Facts, *, app_only: bool) -> None:
    """That an application wants an assignment is no missing consent, and is about itself, not about Exchange."""
    assert proven(CODES[code], view(inspected(facts), app_only=app_only), {}) == ()
