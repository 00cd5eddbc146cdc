"""Certain causes: what facts show of a failure, and what they do not."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from smtpcheck.diagnosis.explain import CERTAIN, LIKELY
from smtpcheck.diagnosis.inspected.causes import candidates, proven, wanted
from smtpcheck.diagnosis.inspected.defects import OF_FAILURES_ALONE, RULES, defects, evidence_of
from smtpcheck.diagnosis.inspected.view import View
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Phase
from smtpcheck.model.inspection import Fact, FactName, Inspection, Value
from smtpcheck.model.report import (
    Exchange,
    Fault,
    FaultKind,
    Outcome,
    Reply,
    Report,
    Step,
    TokenError,
    TokenErrorKind,
)

NOW = 1_795_748_400.0  # 2026-11-27 03:00 UTC
MAILBOX = "billing@contoso.example"
ID, OTHER_ID = "229f932b-7d6c-407a-b4fa-f8380adb6410", "329f932b-7d6c-407a-b4fa-f8380adb6410"
IN_ORDER: dict[FactName, Value] = {
    FactName.PRINCIPAL_EXISTS: True,
    FactName.PRINCIPAL_ID: ID,
    FactName.PRINCIPAL_ENABLED: True,
    FactName.ASSIGNMENT_REQUIRED: False,
    FactName.EXCHANGE_IN_TENANT: True,
    FactName.APPLICATION_EXISTS: True,
    FactName.APPLICATION_ROLES: ("SMTP.SendAsApp",),
    FactName.DELEGATED_PERMISSIONS: (),
    FactName.SECRET_EXPIRES: "2027-05-01T00:00:00Z",
    FactName.LOCAL_SECRET: "listed",
    FactName.FEDERATED_NAMES: (),
    FactName.SECURITY_DEFAULTS: False,
    FactName.USER_EXISTS: True,
    FactName.USER_LICENCE: "Enabled",
    FactName.USER_ADDRESS_IS_ALIAS: False,
    FactName.MAILBOX_EXISTS: True,
    FactName.MAILBOX_KIND: "UserMailbox",
    FactName.SMTP_AUTH_OFF_MAILBOX: None,
    FactName.SMTP_AUTH_OFF_TENANT: False,
    FactName.FULL_ACCESS: True,
    FactName.FULL_ACCESS_DENIED: False,
    FactName.SEND_AS: True,
    FactName.OTHERS_SEND_AS: True,
    FactName.REGISTERED: True,
    FactName.REGISTERED_ID: ID,
    FactName.REGISTERED_SID: "S-1-5-21-1-2-3-4",
    FactName.ROLE_IN_SCOPE: False,
    FactName.ROLE_ASSIGNMENTS: (),
    FactName.BLOCKED_SENDER: False,
}


def inspected(
    values: Mapping[str, Value] | None = None, *, read_at: float = NOW, changed_at: float | None = None
) -> Inspection:
    """Return what is read where all is in order but for these facts, by their names; DROP leaves one out."""
    known = {**IN_ORDER, **{FactName[name]: value for name, value in (values or {}).items()}}
    return Inspection(
        tuple(
            Fact(
                *(name, value, "Entra" if name is FactName.SIGN_IN_CODE else "Exchange", "Get-Something", read_at),
                subject=MAILBOX if name.is_of_mailbox else "",
                changed_at=NOW - 60 if name is FactName.SIGN_IN_CODE else changed_at,
            )
            for name, value in known.items()
            if value != DROP
        )
    )


DROP = "drop"


def view(inspection: Inspection, *, app_only: bool = True, now: float = NOW) -> View:
    return View(inspection, MAILBOX, now, app_only=app_only)


def refused(code: int, enhanced: str, phase: Phase = Phase.AUTH) -> Report:
    exchange = Exchange("AUTH", Reply(code, enhanced, ("Authentication unsuccessful",)))
    step = Step(phase, 0.0, 0.1, (exchange,), Fault(FaultKind.REPLY))
    return Report("billing", NOW - 60, 1.0, Outcome.CRITICAL, (step,))


def no_token(code: int) -> Report:
    error = TokenError(TokenErrorKind.OAUTH, NOW - 60, error="invalid_client", error_codes=(code,))
    step = Step(Phase.TOKEN, 0.0, 0.1, fault=Fault(FaultKind.TOKEN))
    return Report("billing", NOW - 60, 1.0, Outcome.CRITICAL, (step,), token_error=error)


BARE = refused(535, "5.7.3")

PROOFS: list[tuple[Report, dict[str, Value], Cause]] = [
    (BARE, {"REGISTERED": False, "REGISTERED_ID": DROP}, Cause.SERVICE_PRINCIPAL_NOT_REGISTERED),
    (BARE, {"REGISTERED_ID": OTHER_ID}, Cause.WRONG_OBJECT_ID_SERVICE_PRINCIPAL),
    (BARE, {"MAILBOX_EXISTS": False}, Cause.MAILBOX_MISSING_OR_UNLICENSED),
    (BARE, {"MAILBOX_KIND": "MailUser"}, Cause.MAILBOX_MISSING_OR_UNLICENSED),
    (BARE, {"SMTP_AUTH_OFF_MAILBOX": True}, Cause.SMTP_AUTH_DISABLED_MAILBOX),
    (BARE, {"SMTP_AUTH_OFF_TENANT": True}, Cause.SMTP_AUTH_DISABLED_TENANT),
    (BARE, {"FULL_ACCESS": False}, Cause.MAILBOX_PERMISSION_MISSING),
    (BARE, {"FULL_ACCESS_DENIED": True}, Cause.MAILBOX_PERMISSION_MISSING),
    (BARE, {"APPLICATION_ROLES": ()}, Cause.MISSING_SMTP_PERMISSION),
    (
        BARE,
        {"APPLICATION_ROLES": (), "ROLE_ASSIGNMENTS": ("Application SMTP.SendAsApp (Group)",)},
        Cause.MAILBOX_PERMISSION_MISSING,
    ),
    (refused(535, "5.7.139"), {"SMTP_AUTH_OFF_TENANT": True}, Cause.SMTP_AUTH_DISABLED_TENANT),
    (refused(535, "5.7.139"), {"SIGN_IN_CODE": "530035"}, Cause.SECURITY_DEFAULTS),
    (refused(535, "5.7.139"), {"SIGN_IN_CODE": "53003"}, Cause.CONDITIONAL_ACCESS),
    (refused(430, "4.2.0", Phase.DATA), {"FULL_ACCESS": False}, Cause.MAILBOX_PERMISSION_MISSING),
    (refused(550, "5.1.8", Phase.DATA), {"BLOCKED_SENDER": True}, Cause.ACCOUNT_BLOCKED_OUTBOUND_SPAM),
    (no_token(50105), {"ASSIGNMENT_REQUIRED": True}, Cause.CONSENT_MISSING),
    (no_token(53003), {"SIGN_IN_CODE": "53003"}, Cause.CONDITIONAL_ACCESS),
    (no_token(65001), {"APPLICATION_ROLES": ()}, Cause.MISSING_SMTP_PERMISSION),
    (no_token(700016), {"PRINCIPAL_EXISTS": False}, Cause.APP_NOT_IN_TENANT),
    (no_token(7000112), {"PRINCIPAL_ENABLED": False}, Cause.APP_DISABLED),
    (no_token(7000215), {"SECRET_EXPIRES": DROP}, Cause.SECRET_INVALID),
    (no_token(7000215), {"LOCAL_SECRET": "not listed"}, Cause.SECRET_INVALID),
    (no_token(7000215), {"LOCAL_SECRET": "is the ID of a secret"}, Cause.SECRET_INVALID),
    (no_token(7000222), {"SECRET_EXPIRES": "2026-11-01T00:00:00Z"}, Cause.SECRET_EXPIRED),
    (no_token(70021), {"FEDERATED_MATCH": False}, Cause.FEDERATED_ASSERTION_MISMATCH),
]


@pytest.mark.parametrize(("report", "values", "cause"), PROOFS)
def test_what_the_provider_says_makes_the_cause_certain(report: Report, values: dict[str, Value], cause: Cause) -> None:
    best = proven(report, view(inspected(values)), {"mailbox": MAILBOX})[0]
    assert (best.cause, best.certainty >= CERTAIN) == (cause, True)
    assert best.values == {"mailbox": MAILBOX}


@pytest.mark.parametrize(("report", "values", "cause"), PROOFS)
def test_the_facts_that_prove_it_are_asked_for(report: Report, values: dict[str, Value], cause: Cause) -> None:
    assert cause in candidates(report)
    assert {FactName[name] for name in values} & set(wanted(report))


@pytest.mark.parametrize(("report", "values", "cause"), PROOFS)
def test_what_was_read_before_the_failure_makes_it_likely(
    report: Report, values: dict[str, Value], cause: Cause
) -> None:
    best = proven(report, view(inspected(values, read_at=NOW - 3600)), {})[0]
    assert (best.cause, LIKELY <= best.certainty < CERTAIN) == (cause, True)


@pytest.mark.parametrize(("report", "values", "cause"), [proof for proof in PROOFS if "SIGN_IN_CODE" not in proof[1]])
def test_what_was_changed_just_now_makes_it_likely(report: Report, values: dict[str, Value], cause: Cause) -> None:
    """Exchange may act on its cache for two hours."""
    early, late = (proven(report, view(inspected(values, changed_at=NOW - age)), {})[0] for age in (7199, 7201))
    assert (early.cause, LIKELY <= early.certainty < CERTAIN) == (cause, True)
    assert late.certainty >= CERTAIN


@pytest.mark.parametrize("report", [BARE, refused(535, "5.7.139"), no_token(700016), no_token(65001)])
def test_where_all_is_in_order_nothing_is_proven(report: Report) -> None:
    assert proven(report, view(inspected()), {}) == ()


def test_where_all_is_in_order_since_just_now_it_is_likely_not_applied_yet() -> None:
    (finding,) = proven(BARE, view(inspected(changed_at=NOW - 600)), {})
    assert (finding.cause, LIKELY <= finding.certainty < CERTAIN) == (Cause.PERMISSION_NOT_PROPAGATED, True)


@pytest.mark.parametrize("report", [refused(550, "5.7.1"), refused(421, "4.3.2"), no_token(90002), no_token(0)])
def test_a_failure_that_no_fact_explains_asks_for_nothing(report: Report) -> None:
    assert (candidates(report), wanted(report)) == ((), ())
    assert proven(report, view(inspected({"REGISTERED": False})), {}) == ()


def test_a_defect_that_does_not_fit_the_failure_is_no_cause_of_it() -> None:
    assert proven(no_token(700016), view(inspected({"REGISTERED": False})), {}) == ()


def test_nothing_follows_from_what_was_not_read() -> None:
    for rule in (*RULES, *OF_FAILURES_ALONE):
        assert rule(view(Inspection())) is None


def test_without_exchanges_word_a_missing_permission_is_only_likely() -> None:
    """The role may be assigned in Exchange (RBAC for Applications) instead."""
    silent = inspected({"APPLICATION_ROLES": (), "ROLE_ASSIGNMENTS": DROP, "ROLE_IN_SCOPE": DROP, "REGISTERED": DROP})
    best = proven(BARE, view(silent), {})[0]
    assert (best.cause, best.certainty < CERTAIN) == (Cause.MISSING_SMTP_PERMISSION, True)


def test_a_mailbox_in_the_scope_of_the_role_needs_no_other_right() -> None:
    in_scope = inspected({"APPLICATION_ROLES": (), "ROLE_IN_SCOPE": True, "FULL_ACCESS": False})
    assert proven(BARE, view(in_scope), {}) == ()


@pytest.mark.parametrize("name", ["REGISTERED", "FULL_ACCESS"])
def test_what_applications_need_says_nothing_of_users(name: str) -> None:
    assert proven(BARE, view(inspected({name: False}), app_only=False), {}) == ()


def test_the_mailbox_of_another_check_proves_nothing() -> None:
    other = replace(
        view(inspected({"SMTP_AUTH_OFF_MAILBOX": True, "FULL_ACCESS": False})), mailbox="other@contoso.example"
    )
    assert proven(BARE, other, {}) == ()


def test_the_evidence_says_who_said_it_when_and_how() -> None:
    (defect,) = defects(view(inspected({"SMTP_AUTH_OFF_MAILBOX": True})))
    said = "Exchange, 03:00: SmtpClientAuthenticationDisabled is True for this mailbox (Get-Something)"
    assert evidence_of(defect) == said


def test_no_evidence_names_the_mailbox() -> None:
    for report, values, _ in PROOFS:
        for finding in proven(report, view(inspected(values)), {}):
            assert all("@" not in sentence for sentence in finding.evidence)
