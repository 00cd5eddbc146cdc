"""Each failure at Google whose cause Google's word can show: which fact decides, and what proves nothing."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from smtpcheck.diagnosis.drift import Warnings, next_reading
from smtpcheck.diagnosis.explain import CERTAIN, LIKELY
from smtpcheck.diagnosis.inspected.causes import candidates, proven, wanted
from smtpcheck.diagnosis.inspected.defects import defects
from smtpcheck.diagnosis.inspected.view import View
from smtpcheck.diagnosis.inspection_status import InspectionStatus, Proof, merged, signature
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Phase
from smtpcheck.model.inspection import Fact, FactName, Incident, IncidentStatus, Inspection, Value
from smtpcheck.model.inspection_reading import KeptReading
from smtpcheck.model.report import (
    ApiAnswer,
    Exchange,
    Fault,
    FaultKind,
    Finding,
    Outcome,
    Reply,
    Report,
    Step,
    TokenError,
    TokenErrorKind,
)

NOW = 1_795_748_400.0  # 2026-11-27 03:00 UTC
DAY = 86400.0
MAILBOX, KEY, SCOPE = "billing@contoso.example", "a1b2c3", "https://mail.google.com/"
SOURCES = {"user": "Google Workspace", "service_account": "Google IAM", "mailbox": "Gmail"}
ITEMS = {FactName.DELEGATED: SCOPE, FactName.SERVICE_ACCOUNT_KEY: KEY, FactName.LOCAL_KEY: KEY}
IN_ORDER: dict[FactName, Value] = {
    FactName.USER_EXISTS: True,
    FactName.USER_SUSPENDED: False,
    FactName.USER_ARCHIVED: False,
    FactName.USER_MAILBOX_CREATED: True,
    FactName.SERVICE_ACCOUNT_EXISTS: True,
    FactName.SERVICE_ACCOUNT_ENABLED: True,
    FactName.SERVICE_ACCOUNT_CLIENT_ID: "104711",
    FactName.SERVICE_ACCOUNT_KEY: "enabled",
    FactName.LOCAL_KEY: "enabled",
    FactName.DELEGATED: True,
    FactName.MAILBOX_IMAP: True,
    FactName.MAILBOX_FORWARDS: False,
}


def refused_token(error: str, description: str = "") -> Report:
    failed = TokenError(TokenErrorKind.OAUTH, NOW - 60, error=error, description=description)
    step = Step(Phase.TOKEN, 0.0, 0.1, fault=Fault(FaultKind.TOKEN))
    return Report("billing", NOW - 60, 1.0, Outcome.CRITICAL, (step,), token_error=failed)


def refused_login(code: int, enhanced: str, *lines: str) -> Report:
    step = Step(Phase.AUTH, 0.0, 0.1, (Exchange("AUTH", Reply(code, enhanced, lines)),), Fault(FaultKind.REPLY))
    return Report("billing", NOW - 60, 1.0, Outcome.CRITICAL, (step,))


def refused_request(status: int, error: str) -> Report:
    exchange = Exchange("GET", None, answer=ApiAnswer(status, error))
    step = Step(Phase.REQUEST, 0.0, 0.1, (exchange,), Fault(FaultKind.REPLY))
    return Report("billing", NOW - 60, 1.0, Outcome.CRITICAL, (step,))


def read(changes: Mapping[FactName, Value] | None = None, *, at: float = NOW) -> Inspection:
    return Inspection(
        tuple(
            Fact(
                *(name, value, SOURCES[name.value.partition(".")[0]], "GET", at),
                subject=MAILBOX if name.is_of_mailbox else "",
                item=ITEMS.get(name, ""),
            )
            for name, value in {**IN_ORDER, **(changes or {})}.items()
        )
    )


def shown(report: Report, changes: Mapping[FactName, Value] | None = None, *, at: float = NOW) -> tuple[Finding, ...]:
    return proven(report, View(read(changes, at=at), MAILBOX, NOW, app_only=False), {})


BAD_CREDENTIALS = refused_login(
    535, "5.7.8", "Username and Password not accepted.", "https://support.google.com/mail/?p=BadCredentials - gsmtp"
)
FAILURES: dict[str, Report] = {
    "unauthorized_client": refused_token("unauthorized_client", "Unauthorized client or scope in request."),
    "access_denied": refused_token("access_denied", "Requested client not authorized."),
    "disabled_client": refused_token("disabled_client", "The OAuth client was disabled."),
    "user": refused_token("invalid_grant", "Invalid email or User ID"),
    "address": refused_token("invalid_grant", "Not a valid email or user ID."),
    "disabled": refused_token("invalid_grant", "Account disabled"),
    "deleted": refused_token("invalid_grant", "The account has been deleted"),
    "long gone": refused_token("invalid_request", "Invalid impersonation “sub” field: billing@contoso.example"),
    "signature": refused_token("invalid_grant", "Invalid JWT Signature."),
    "account": refused_token("invalid_grant", "Invalid grant: account not found"),
    "robot": refused_token("invalid_grant", "Robot is disabled."),
    "535 5.7.8": BAD_CREDENTIALS,
    "failedPrecondition": refused_request(400, "failedPrecondition"),
}
DECIDING: dict[Cause, Mapping[FactName, Value]] = {
    Cause.GOOGLE_DWD_NOT_AUTHORIZED: {FactName.DELEGATED: False},
    Cause.ACCOUNT_LOCKED: {FactName.USER_SUSPENDED: True},
    Cause.MAILBOX_MISSING_OR_UNLICENSED: {FactName.USER_EXISTS: False},
    Cause.SERVICE_ACCOUNT_KEY_INVALID: {FactName.LOCAL_KEY: "disabled (exposed)"},
    Cause.APP_DISABLED: {FactName.SERVICE_ACCOUNT_ENABLED: False},
}
"""The fact that makes a cause certain."""
PAIRS = [(name, cause) for name, report in FAILURES.items() for cause in candidates(report)]


def test_every_failure_has_causes_and_every_cause_a_failure() -> None:
    assert all(candidates(report) for report in FAILURES.values())
    assert {cause for _, cause in PAIRS} == set(DECIDING)


@pytest.mark.parametrize(("name", "cause"), PAIRS)
def test_each_cause_of_a_failure_becomes_certain_by_its_fact(name: str, cause: Cause) -> None:
    best = shown(FAILURES[name], DECIDING[cause])[0]
    assert (best.cause, best.certainty >= CERTAIN) == (cause, True)
    assert set(DECIDING[cause]) <= set(wanted(FAILURES[name]))
    assert not any("@" in each for each in best.evidence)


@pytest.mark.parametrize(("name", "cause"), PAIRS)
def test_what_was_read_before_the_failure_makes_it_likely(name: str, cause: Cause) -> None:
    best = shown(FAILURES[name], DECIDING[cause], at=NOW - 3600)[0]
    assert (best.cause, LIKELY <= best.certainty < CERTAIN) == (cause, True)


@pytest.mark.parametrize(
    ("changes", "cause", "says"),
    [
        ({FactName.USER_MAILBOX_CREATED: False}, Cause.MAILBOX_MISSING_OR_UNLICENSED, "no mailbox at Gmail"),
        ({FactName.LOCAL_KEY: "not listed"}, Cause.SERVICE_ACCOUNT_KEY_INVALID, "is not among the"),
        ({FactName.LOCAL_KEY: "expired"}, Cause.SERVICE_ACCOUNT_KEY_INVALID, "has expired"),
        ({FactName.SERVICE_ACCOUNT_EXISTS: False}, Cause.SERVICE_ACCOUNT_KEY_INVALID, "no such service account"),
        (
            {FactName.DELEGATED: False},
            Cause.GOOGLE_DWD_NOT_AUTHORIZED,
            f"{SCOPE} is not delegated to the client ID 104711",
        ),
    ],
)
def test_the_evidence_says_what_google_said(changes: Mapping[FactName, Value], cause: Cause, says: str) -> None:
    report = next(
        report for report in FAILURES.values() if candidates(report)[-1:] == (cause,) or cause in candidates(report)
    )
    best = shown(report, changes)[0]
    assert (best.cause, best.certainty >= CERTAIN, says in best.evidence[0]) == (cause, True, True)


def test_an_archived_account_is_only_likely_to_have_no_mailbox() -> None:
    best = shown(FAILURES["user"], {FactName.USER_ARCHIVED: True})[0]
    assert (best.cause, best.certainty < CERTAIN) == (Cause.MAILBOX_MISSING_OR_UNLICENSED, True)


@pytest.mark.parametrize("name", FAILURES)
def test_where_all_is_in_order_nothing_is_proven(name: str) -> None:
    assert shown(FAILURES[name]) == ()


EVERYTHING_WRONG = {name: value for facts in DECIDING.values() for name, value in facts.items()}


@pytest.mark.parametrize(
    "report",
    [
        refused_login(454, "4.7.0", "Cannot authenticate due to temporary system problem. Try again later. - gsmtp"),
        refused_login(535, "5.7.8", "Error: authentication failed"),
        refused_login(421, "4.7.0", "Temporary System Problem. Try again later."),
        refused_token("invalid_grant", "Token has been expired or revoked."),
        refused_token("invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes)"),
        refused_token("temporarily_unavailable"),
        refused_request(403, "insufficientPermissions"),
        refused_request(503, "backendError"),
    ],
)
def test_a_failure_that_no_fact_explains_has_no_proven_cause(report: Report) -> None:
    assert (candidates(report), shown(report, EVERYTHING_WRONG)) == ((), ())


def test_a_defect_that_does_not_fit_the_failure_is_no_cause_of_it() -> None:
    assert shown(FAILURES["signature"], {FactName.USER_SUSPENDED: True}) == ()
    assert shown(FAILURES["user"], {FactName.DELEGATED: False}) == ()


def test_a_proof_holds_for_its_own_failure_alone() -> None:
    """Google has no code; two refusals of a token differ by their words."""
    proof = Proof(
        signature(FAILURES["signature"]), shown(FAILURES["signature"], DECIDING[Cause.SERVICE_ACCOUNT_KEY_INVALID])
    )
    assert merged(FAILURES["signature"], InspectionStatus(proof)).cause is Cause.SERVICE_ACCOUNT_KEY_INVALID
    assert merged(FAILURES["user"], InspectionStatus(proof)) == FAILURES["user"]


def test_an_incident_of_gmail_is_named_beside_a_failure_of_gmail_and_of_no_token() -> None:
    incident = Incident("google", "gmail", "abc", IncidentStatus.DEGRADED, "Delays", NOW, NOW, NOW)
    during = InspectionStatus(incidents=(incident,))
    found = merged(refused_login(454, "4.7.0", "Cannot authenticate"), during)
    assert (found.cause, found.findings[0].certainty < CERTAIN) == (Cause.TRANSIENT_SERVER_ERROR, True)
    assert found.findings[0].evidence[0].startswith("Google reports the incident abc")
    assert merged(FAILURES["user"], during) == FAILURES["user"]


# -- drift ------------------------------------------------------------------------------------------------------------


def reading(before: KeptReading | None, found: Inspection, at: float) -> KeptReading:
    return next_reading(before, found, (MAILBOX,), answered=frozenset(FactName), app_only=False, now=at, every=DAY)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({FactName.USER_SUSPENDED: True}, "user suspended was no"),
        ({FactName.USER_ARCHIVED: True}, "user archived was no"),
        ({FactName.DELEGATED: False}, "mailbox delegated was yes"),
        ({FactName.SERVICE_ACCOUNT_KEY: "disabled (exposed)"}, "service account key was enabled"),
        ({FactName.SERVICE_ACCOUNT_ENABLED: False}, "service account enabled was yes"),
        ({FactName.SERVICE_ACCOUNT_CLIENT_ID: "104712"}, "service account client id was 104711"),
        ({FactName.MAILBOX_IMAP: False}, "mailbox imap enabled was yes"),
        ({FactName.MAILBOX_FORWARDS: True}, "mailbox forwards was no"),
    ],
)
def test_a_change_that_may_harm_is_a_warning(changes: Mapping[FactName, Value], words: str) -> None:
    first = reading(None, read(), NOW)
    assert Warnings(first).of(MAILBOX, {}, NOW) == ()
    second = reading(first, read(changes, at=NOW + DAY), NOW + DAY)
    said = {each.cause: " ".join(each.evidence) for each in Warnings(second).of(MAILBOX, {}, NOW + DAY)}
    assert words in said[Cause.SETTING_CHANGED]
    third = reading(second, read(at=NOW + 2 * DAY), NOW + 2 * DAY)
    fourth = reading(third, read(at=NOW + 3 * DAY), NOW + 3 * DAY)
    assert {each.cause for each in Warnings(fourth).of(MAILBOX, {}, NOW + 3 * DAY)} <= {Cause.SETTING_CHANGED}


def test_a_key_that_is_added_or_removed_is_a_warning() -> None:
    one = read()
    other = Fact(FactName.SERVICE_ACCOUNT_KEY, "enabled", "Google IAM", "GET", NOW + DAY, item="d4e5f6")
    both = replace(read(at=NOW + DAY), facts=(*read(at=NOW + DAY).facts, other))
    added = reading(reading(None, one, NOW), both, NOW + DAY)
    removed = reading(reading(None, both, NOW), read(at=NOW + DAY), NOW + DAY)
    for kept, word in ((added, "a new one was added"), (removed, "one was removed")):
        (warning,) = Warnings(kept).of(MAILBOX, {}, NOW + DAY)
        assert (warning.cause, word in warning.evidence[0]) == (Cause.SETTING_CHANGED, True)


def test_only_the_expiry_of_the_key_in_use_is_warned_of() -> None:
    def expires(item: str) -> Fact:
        return Fact(FactName.SERVICE_ACCOUNT_KEY_EXPIRES, "2026-12-05T00:00:00Z", "Google IAM", "GET", NOW, item=item)

    for item, causes in ((KEY, {Cause.SECRET_EXPIRING}), ("d4e5f6", set[Cause]())):
        kept = reading(None, replace(read(), facts=(*read().facts, expires(item))), NOW)
        assert {each.cause for each in Warnings(kept).of(MAILBOX, {}, NOW)} == causes


def test_what_cannot_work_is_a_defect_without_any_failure() -> None:
    for cause, facts in DECIDING.items():
        assert [each.cause for each in defects(View(read(facts), MAILBOX, NOW, app_only=False))] == [cause]
    assert defects(View(read(), MAILBOX, NOW, app_only=False)) == ()
