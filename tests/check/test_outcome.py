"""The judgement of a run."""

from typing import Any

import pytest
from msgspec import structs

from smtpcheck.check.connectivity import Try
from smtpcheck.check.outcome import (
    ended_before_login,
    expiries,
    failed_to_reach,
    fresh_token_failing,
    hosts_tried,
    kept_waiting,
    stalled,
    with_outcome,
    without_connectivity,
    without_stall,
)
from smtpcheck.diagnosis.catalogue import load
from smtpcheck.diagnosis.explain import explain
from smtpcheck.diagnosis.observation import observe
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import (
    Phase,
    Warn,
)
from smtpcheck.model.credential import CredentialState
from smtpcheck.model.report import (
    CertificateFacts,
    Exchange,
    Fault,
    FaultKind,
    Finding,
    Outcome,
    Reply,
    Report,
    Step,
    TlsFacts,
    TokenError,
    TokenErrorKind,
)
from tests.worlds.samples import exchange_online

CATALOGUE = load()
DAY = 86400.0
NOW = 1_800_000_000.0
CHECK = exchange_online(warn=Warn(certificate=14 * DAY, secret=30 * DAY, refresh_token=14 * DAY, duration=10))
REACHED = Report("billing", NOW, 0.3, Outcome.UNKNOWN, steps=(Step(Phase.CONNECT, 0, 0.1), Step(Phase.AUTH, 0.1, 0.2)))


def failed(phase: Phase, kind: FaultKind = FaultKind.TIMEOUT, error: TokenError | None = None) -> Report:
    return structs.replace(REACHED, steps=(Step(phase, 0, 0.1, fault=Fault(kind)),), token_error=error)


def certificate(days: float) -> TlsFacts:
    facts = CertificateFacts(
        NOW - DAY, NOW + days * DAY, "CN=a", "CN=b", ("a",), "00", self_signed=False, verified=True
    )
    return TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", facts)


def test_a_run_without_a_fault_is_ok() -> None:
    assert with_outcome(REACHED, (), ()) == structs.replace(REACHED, outcome=Outcome.OK)


def test_a_fault_is_critical_with_the_best_findings_cause() -> None:
    findings = (Finding(Cause.TIMEOUT, 0.9, "a"), Finding(Cause.PORT_BLOCKED, 0.4, "b"))
    report = failed(Phase.CONNECT)
    expected = structs.replace(report, outcome=Outcome.CRITICAL, cause=Cause.TIMEOUT, findings=findings)
    assert with_outcome(report, findings, ()) == expected


def test_what_will_break_a_run_that_works_is_a_warning() -> None:
    warnings = (Finding(Cause.SLOW, 1.0, "judge.slow"),)
    assert with_outcome(REACHED, (), warnings) == structs.replace(REACHED, outcome=Outcome.WARNING, warnings=warnings)


@pytest.mark.parametrize(
    ("report", "credential", "causes"),
    [
        (REACHED, None, []),
        (structs.replace(REACHED, tls=certificate(15)), None, []),
        (structs.replace(REACHED, tls=certificate(13)), None, [Cause.CERTIFICATE_EXPIRING]),
        (structs.replace(REACHED, seconds=10.5), None, [Cause.SLOW]),
        (REACHED, CredentialState("c", "microsoft", client_secret_expires_at=NOW + 31 * DAY), []),
        (
            REACHED,
            CredentialState("c", "microsoft", client_secret_expires_at=NOW - DAY),
            [Cause.SECRET_EXPIRING],
        ),
        (
            REACHED,
            CredentialState(
                "c",
                "microsoft",
                client_certificate_expires_at=NOW + DAY,
                refresh_token_expires_at=NOW + DAY,
            ),
            [Cause.CLIENT_CERTIFICATE_EXPIRING, Cause.REFRESH_TOKEN_EXPIRING],
        ),
    ],
)
def test_what_ends_within_its_margin_is_named(
    report: Report, credential: CredentialState | None, causes: list[Cause]
) -> None:
    assert [finding.cause for finding in expiries(CHECK, report, credential, NOW)] == causes


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({}, False),
        ({"names": ()}, True),
        ({"names": (), "unreadable": ("names",)}, False),
        ({"names": (), "verified": False}, False),
    ],
)
def test_a_certificate_that_names_its_host_in_the_common_name_alone_is_a_warning(
    changes: dict[str, Any], warned: bool
) -> None:
    """Many clients refuse it though OpenSSL does not; what could not be read is not called missing."""
    tls = certificate(365)
    assert tls.certificate
    tls = structs.replace(tls, certificate=structs.replace(tls.certificate, **changes))
    found = [each.cause for each in expiries(CHECK, structs.replace(REACHED, tls=tls), None, NOW)]
    assert found == ([Cause.CERTIFICATE_NAME_IN_CN_ONLY] if warned else [])


def test_an_expiry_says_when_and_how_soon() -> None:
    (finding,) = expiries(CHECK, structs.replace(REACHED, tls=certificate(3)), None, NOW)
    assert finding.evidence == ("the server's certificate expires 2027-01-18 08:00 UTC, in 3 days",)


def test_a_token_that_cannot_be_renewed_is_a_warning_with_its_root() -> None:
    root = Finding(Cause.SECRET_EXPIRED, 0.99, "aadsts7000222", evidence=("AADSTS7000222",))
    warnings = fresh_token_failing(NOW, root)
    assert [finding.cause for finding in warnings] == [Cause.FRESH_TOKEN_FAILING, Cause.SECRET_EXPIRED]
    assert "AADSTS7000222" in warnings[0].evidence


def test_a_cut_off_run_is_unknown_and_keeps_what_it_found() -> None:
    found = with_outcome(failed(Phase.DNS), (Finding(Cause.DNS_FAILURE, 0.9, "dns"),), ())
    report = without_connectivity(found)
    assert (report.outcome, report.cause) == (Outcome.UNKNOWN, Cause.AGENT_CUT_OFF)
    assert [finding.cause for finding in report.findings] == [Cause.AGENT_CUT_OFF, Cause.DNS_FAILURE]


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (REACHED, False),
        (failed(Phase.DNS), True),
        (failed(Phase.CONNECT), True),
        (failed(Phase.TLS), False),
        (failed(Phase.TOKEN, FaultKind.TOKEN, TokenError(TokenErrorKind.CONNECT, at=NOW)), True),
        (failed(Phase.TOKEN, FaultKind.TOKEN, TokenError(TokenErrorKind.TIMEOUT, at=NOW)), False),
        (failed(Phase.TOKEN, FaultKind.TOKEN, TokenError(TokenErrorKind.OAUTH, at=NOW)), False),
    ],
)
def test_only_a_run_that_reached_no_server_may_be_ours(report: Report, expected: bool) -> None:
    assert failed_to_reach(report) == expected


@pytest.mark.parametrize(
    "report",
    [
        failed(Phase.DNS, FaultKind.OUT_OF_RESOURCES),
        failed(Phase.CONNECT, FaultKind.OUT_OF_RESOURCES),
        failed(Phase.TOKEN, FaultKind.TOKEN, TokenError(TokenErrorKind.OUT_OF_RESOURCES, at=NOW)),
        failed(Phase.TOKEN, FaultKind.TOKEN, TokenError(TokenErrorKind.NO_SLOT, at=NOW)),
    ],
)
def test_a_shortage_of_this_machine_is_unknown_and_says_nothing_of_any_host(report: Report) -> None:
    findings = explain(observe(CHECK, report, None, now=NOW), CATALOGUE)
    found = with_outcome(report, findings, ())
    assert (found.outcome, found.cause) == (Outcome.UNKNOWN, Cause.AGENT_OUT_OF_RESOURCES)
    assert not failed_to_reach(found)
    assert list(hosts_tried(CHECK, found, "login.example.org")) == []


def test_a_refused_token_stays_critical_though_this_machine_ran_short_afterwards() -> None:
    steps = (
        Step(Phase.TOKEN, 0, 0.1, fault=Fault(FaultKind.TOKEN)),
        Step(Phase.CONNECT, 0.1, 0, fault=Fault(FaultKind.OUT_OF_RESOURCES)),
    )
    refused = TokenError(TokenErrorKind.OAUTH, at=NOW, error="invalid_client")
    report = structs.replace(REACHED, steps=steps, token_error=refused)
    assert with_outcome(report, (Finding(Cause.SECRET_INVALID, 0.9, "a"),), ()).outcome is Outcome.CRITICAL


def test_hosts_tried_are_the_issuer_and_the_server() -> None:
    steps = (
        Step(Phase.TOKEN, 0, 0.1),
        Step(Phase.DNS, 0.1, 0),
        Step(Phase.CONNECT, 0.1, 1, fault=Fault(FaultKind.TIMEOUT)),
    )
    report = structs.replace(REACHED, steps=steps)
    tried = [Try("login.example.org", reached=True), Try("smtp.office365.com", reached=False)]
    assert list(hosts_tried(CHECK, report, "login.example.org")) == tried


@pytest.mark.parametrize("kind", [FaultKind.REFUSED, FaultKind.RESET])
def test_a_refusal_is_an_answer_and_never_the_agents_own_network(kind: FaultKind) -> None:
    report = failed(Phase.CONNECT, kind)
    assert list(hosts_tried(CHECK, report, "")) == [Try("smtp.office365.com", reached=True)]
    assert not failed_to_reach(report)


def test_an_issuer_that_refuses_the_connection_has_answered() -> None:
    error = TokenError(TokenErrorKind.REFUSED, at=NOW)
    report = failed(Phase.TOKEN, FaultKind.TOKEN, error)
    assert list(hosts_tried(CHECK, report, "login.example.org")) == [Try("login.example.org", reached=True)]
    assert not failed_to_reach(report)


def test_a_name_service_that_answers_nothing_is_told_apart_from_a_wrong_name() -> None:
    def tried(kind: FaultKind) -> list[Try]:
        return list(hosts_tried(CHECK, failed(Phase.DNS, kind), ""))

    assert tried(FaultKind.NAME_SERVER_FAILED) == [Try("smtp.office365.com", False, name_service_silent=True)]
    assert tried(FaultKind.NAME_NOT_FOUND) == [Try("smtp.office365.com", False, name_service_silent=False)]


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (failed(Phase.AUTH, FaultKind.TIMEOUT), True),
        (failed(Phase.EHLO, FaultKind.CLOSED), True),
        (failed(Phase.TOKEN, FaultKind.TOKEN, TokenError(TokenErrorKind.TIMEOUT, at=NOW)), True),
        (failed(Phase.TOKEN, FaultKind.TOKEN, TokenError(TokenErrorKind.OAUTH, at=NOW)), False),
        (failed(Phase.TLS, FaultKind.TLS_EXPIRED), False),
        (failed(Phase.DNS, FaultKind.NAME_NOT_FOUND), False),
        (REACHED, False),
    ],
)
def test_what_a_standstill_of_the_agent_can_have_done(report: Report, expected: bool) -> None:
    assert kept_waiting(report) == expected


@pytest.mark.parametrize(("code", "expected"), [(421, True), (535, False)])
def test_a_server_that_has_waited_too_long_says_421(code: int, expected: bool) -> None:
    exchange = Exchange("EHLO agent", Reply(code, "", ("...",)))
    step = Step(Phase.EHLO, 0, 1, (exchange,), Fault(FaultKind.REPLY))
    assert kept_waiting(structs.replace(REACHED, steps=(step,))) == expected


def test_a_stalled_run_is_unknown_and_keeps_what_was_found() -> None:
    found = structs.replace(
        failed(Phase.AUTH, FaultKind.TIMEOUT), outcome=Outcome.CRITICAL, findings=(Finding(Cause.TIMEOUT, 0.9, "a"),)
    )
    report = stalled(found, 12.0)
    assert (report.outcome, report.cause) == (Outcome.UNKNOWN, Cause.AGENT_STALLED)
    assert [finding.cause for finding in report.findings] == [Cause.AGENT_STALLED, Cause.TIMEOUT]


@pytest.mark.parametrize(("stood_still", "outcome"), [(1.0, Outcome.WARNING), (6.0, Outcome.OK)])
def test_a_run_is_not_slow_for_the_time_that_the_agent_stood_still(stood_still: float, outcome: Outcome) -> None:
    slow = structs.replace(REACHED, seconds=15.0, outcome=Outcome.WARNING, warnings=(Finding(Cause.SLOW, 1.0, "a"),))
    assert without_stall(CHECK, slow, stood_still).outcome is outcome


REFUSED = TokenError(TokenErrorKind.OAUTH, NOW, "invalid_client")
UNREACHED = TokenError(TokenErrorKind.CONNECT, NOW)


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (failed(Phase.DNS, FaultKind.NAME_SERVER_FAILED), True),
        (failed(Phase.CONNECT, FaultKind.REFUSED), True),
        (failed(Phase.CONNECT), True),
        (failed(Phase.TLS, FaultKind.TLS_EXPIRED), True),
        (failed(Phase.TOKEN, FaultKind.TOKEN, UNREACHED), True),
        (failed(Phase.TOKEN, FaultKind.TOKEN, TokenError(TokenErrorKind.REFUSED, NOW)), True),
        (failed(Phase.TOKEN, FaultKind.TOKEN, REFUSED), False),
        (failed(Phase.BANNER, FaultKind.REPLY), False),
        (failed(Phase.AUTH), False),
        (failed(Phase.RCPT, FaultKind.REPLY), False),
        (REACHED, False),
    ],
)
def test_a_run_that_no_server_saw_a_login_of_harmed_nobody(report: Report, expected: bool) -> None:
    for outcome in (Outcome.CRITICAL, Outcome.UNKNOWN):
        assert ended_before_login(structs.replace(report, outcome=outcome)) is expected
    assert not ended_before_login(structs.replace(report, outcome=Outcome.OK))
