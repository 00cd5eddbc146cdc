"""Findings: their rank on real failures, and what claims, scopes, addresses, clocks and certificates add to a text."""

import base64
import json
import re
from pathlib import Path

import pytest

from smtpcheck.config import load as load_config
from smtpcheck.diagnosis.catalogue import load
from smtpcheck.diagnosis.explain import LIKELY, Explanation, describe, explain, reasons_first
from smtpcheck.diagnosis.observation import Observation, from_case, from_text, observe
from smtpcheck.model.cause import Cause
from smtpcheck.model.credential import CredentialHints
from smtpcheck.model.report import Attempt, CertificateFacts, Fault, FaultKind, Finding, Outcome, Report, TlsFacts

CATALOGUE = load()
EXCHANGE = "https://outlook.office365.com"
GRAPH = "https://graph.microsoft.com"
REJECTED = (
    "535 5.7.3 Authentication unsuccessful [LO2P265CA0061.GBRP265.PROD.OUTLOOK.COM 2026-04-09T12:13:06.348Z 08DE95BE]"
)
REJECTED_AT = 1775736786
APP: dict[str, object] = {"aud": EXCHANGE, "idtyp": "app", "appid": "app-1", "oid": "oid-1", "tid": "tenant-1"}
USER: dict[str, object] = {"aud": EXCHANGE, "scp": "SMTP.Send", "upn": "anna@example.org"}


def _causes(observation: Observation) -> list[str]:
    return [str(finding.cause) for finding in explain(observation, CATALOGUE)]


def _first(observation: Observation) -> Explanation:
    return describe(explain(observation, CATALOGUE)[0], CATALOGUE)


@pytest.mark.parametrize(
    ("claims", "user", "causes"),
    [
        ({**USER, "aud": GRAPH}, "anna@example.org", ["wrong_token_audience"]),
        ({"aud": "00000003-0000-0000-c000-000000000000", "scp": "SMTP.Send"}, "a@x.org", ["wrong_token_audience"]),
        (
            {"aud": "app-1", "appid": "app-1", "nonce": "n", "upn": "a@x.org"},
            "a@x.org",
            ["token_corrupt_or_wrong_kind"],
        ),
        ({**USER, "scp": "IMAP.AccessAsUser.All"}, "anna@example.org", ["missing_smtp_permission"]),
        ({**APP, "roles": ["Mail.Send"]}, "a@x.org", ["missing_smtp_permission"]),
        ({**APP}, "a@x.org", ["missing_smtp_permission", "service_principal_not_registered"]),
        (
            {**APP, "roles": ["SMTP.SendAsApp"]},
            "a@x.org",
            ["service_principal_not_registered", "wrong_object_id_service_principal", "mailbox_permission_missing"],
        ),
        ({**USER}, "bert@example.org", ["user_mismatch", "shared_mailbox_as_auth_identity"]),
        ({**USER}, "info@example.org", ["shared_mailbox_as_auth_identity", "user_mismatch"]),
        ({**USER, "upn": "admin@example.org"}, "info@example.org", ["user_mismatch"]),
        ({**USER, "exp": REJECTED_AT - 60}, "anna@example.org", ["token_expired"]),
        ({**USER, "nbf": REJECTED_AT + 600}, "anna@example.org", ["clock_skew"]),
        ({**USER, "tid": "9188040d-6c67-4c5b-b112-36a304b66dad"}, "anna@example.org", ["personal_account_unsupported"]),
    ],
)
def test_claims_decide_what_a_bare_refusal_means(claims: dict[str, object], user: str, causes: list[str]) -> None:
    seen = Observation(provider="microsoft", phase="auth", claims=claims, sasl_user=user, replies=(REJECTED,))
    assert _causes(seen)[: len(causes)] == causes


def test_what_the_claims_speak_against_is_not_named() -> None:
    claims = {**USER, "exp": REJECTED_AT + 600}
    seen = Observation(
        provider="microsoft", phase="auth", claims=claims, sasl_user="anna@example.org", replies=(REJECTED,)
    )
    ruled_out = {"wrong_token_audience", "missing_smtp_permission", "user_mismatch", "token_expired"}
    assert ruled_out & set(_causes(seen)) == set()


def test_missing_roles_are_a_hint_and_no_verdict() -> None:
    told = _first(Observation(provider="microsoft", phase="auth", claims=APP, replies=(REJECTED,)))
    assert (told.certainty < 0.8, "RBAC for applications" in told.evidence[0]) == (True, True)
    assert any("New-ManagementRoleAssignment" in step for step in told.remedy)


@pytest.mark.parametrize(
    ("provider", "host", "claims", "cause"),
    [
        ("hve", "smtp.hve.mx.microsoft", {**APP, "roles": ["SMTP.SendAsApp"]}, "missing_smtp_permission"),
        ("hve", "smtp.hve.mx.microsoft", {**APP, "aud": GRAPH}, "wrong_token_audience"),
        ("acs", "smtp.azurecomm.net", APP, "wrong_token_audience"),
        ("acs", "smtp.azurecomm.net", {**APP, "aud": "https://communication.azure.com"}, "mailbox_permission_missing"),
    ],
)
def test_each_service_of_microsoft_wants_a_token_of_its_own(
    provider: str, host: str, claims: dict[str, object], cause: str
) -> None:
    seen = Observation(
        provider=provider,
        host=host,
        phase="auth",
        flow="client_credentials",
        claims=claims,
        replies=("535 5.7.3 Authentication unsuccessful",),
        fault="reply",
    )
    assert _causes(seen)[0] == cause


def test_the_permission_of_high_volume_email_is_right_there_alone() -> None:
    claims = {**APP, "roles": ["Mail.Send"]}
    seen = Observation(provider="hve", phase="auth", claims=claims, replies=("535 5.7.142 refused",))
    assert _causes(seen)[0] == "token_expired"
    assert "missing_smtp_permission" not in _causes(seen)


def test_the_evidence_is_said_in_the_reader_s_words() -> None:
    seen = Observation(provider="microsoft", phase="auth", claims={**USER, "aud": GRAPH}, replies=(REJECTED,))
    assert _first(seen).evidence == (
        "the token is for Microsoft Graph (https://graph.microsoft.com), not for Exchange Online (aud)",
        f"reply: {REJECTED}",
    )


def test_the_commands_are_filled_from_the_token_and_the_configuration() -> None:
    hints = CredentialHints("contoso", "microsoft", tenant="contoso.example", client_id="other", cloud="china")
    seen = Observation(
        provider="microsoft",
        phase="auth",
        claims={**APP, "roles": ["SMTP.SendAsApp"]},
        sasl_user="a@example.org",
        replies=(REJECTED,),
        hints=hints,
    )
    commands = [step.rpartition(": ")[2] for step in _first(seen).remedy[1:4]]
    assert commands == [
        "smtpcheck setup contoso",
        "New-ServicePrincipal -AppId app-1 -ObjectId oid-1",
        "Add-MailboxPermission -Identity a@example.org -User oid-1 -AccessRights FullAccess",
    ]


def test_a_scope_for_the_issuer_s_cloud_is_named() -> None:
    hints = CredentialHints("china", "microsoft", cloud="china")
    seen = Observation(provider="microsoft", phase="token", error_codes=(1002012,), hints=hints)
    assert "https://partner.outlook.cn/.default" in " ".join(_first(seen).remedy)


@pytest.mark.parametrize("value", ["a'; Remove-Mailbox b", "$(x)", "-Force", "a b", "a\nb"])
def test_a_value_that_is_no_plain_identifier_is_not_put_into_a_command(value: str) -> None:
    seen = Observation(phase="auth", sasl_user=value, replies=("535 5.7.139 disabled for the Tenant",))
    assert "mailbox" not in explain(seen, CATALOGUE)[0].values


def test_an_ambiguous_finding_says_what_looks_the_same_and_how_to_tell() -> None:
    told = _first(Observation(provider="microsoft", phase="auth", flow="client_credentials", replies=(REJECTED,)))
    assert "Also possible: missing_smtp_permission (decode: roles/scp)" in told.tell_apart


@pytest.mark.parametrize(
    ("flow", "first"),
    [
        ("client_credentials", "service_principal_not_registered"),
        ("authorization_code", "user_mismatch"),
        ("password", "smtp_auth_disabled_mailbox"),
    ],
)
def test_the_way_to_the_token_ranks_a_bare_refusal(flow: str, first: str) -> None:
    assert _causes(Observation(provider="microsoft", phase="auth", flow=flow, replies=(REJECTED,)))[0] == first


@pytest.mark.parametrize(
    ("scope", "provider", "cause"),
    [
        ("https://graph.microsoft.com/Mail.Send offline_access", "microsoft", "wrong_token_audience"),
        ("User.Read https://outlook.office.com/SMTP.Send", "microsoft", "wrong_token_audience"),
        ("openid offline_access", "microsoft", "wrong_token_audience"),
        ("https://www.googleapis.com/auth/gmail.send", "google", "wrong_scope_google"),
    ],
)
def test_the_requested_scope_names_the_cause(scope: str, provider: str, cause: str) -> None:
    reply = REJECTED if provider == "microsoft" else "535 5.7.8 Username and Password not accepted."
    seen = Observation(provider=provider, phase="auth", flow="authorization_code", scope=scope, replies=(reply,))
    assert _causes(seen)[0] == cause


def test_with_the_right_scope_gmail_refuses_the_user() -> None:
    seen = Observation(
        provider="google",
        phase="auth",
        flow="refresh_token",
        scope="https://mail.google.com/",
        challenge='{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}',
        replies=("334", "535 5.7.8 Username and Password not accepted."),
    )
    assert _causes(seen)[0] == "user_mismatch"


@pytest.mark.parametrize(
    ("hours", "cause"), [(1, "permission_not_propagated"), (3, "service_principal_not_registered")]
)
def test_a_right_that_was_granted_lately_may_not_hold_yet(hours: int, cause: str) -> None:
    seen = Observation(
        provider="microsoft",
        phase="auth",
        flow="client_credentials",
        claims={**APP, "roles": ["SMTP.SendAsApp"]},
        replies=(REJECTED,),
        granted_at=1000.0,
        now=1000.0 + 3600 * hours,
    )
    causes = _causes(seen)
    assert (causes[0], "permission_not_propagated" in causes) == (cause, hours == 1)


def test_the_configuration_says_when_a_right_was_granted(tmp_path: Path) -> None:
    file = tmp_path / "checks.yaml"
    file.write_text(
        "credentials: {ready: {type: token, from: {value: abc}}}\n"
        "checks: [{name: a, mailbox: a@example.org, credential: ready, server: {host: smtp.office365.com},"
        " granted: 2026-11-20T10:00Z}]"
    )
    settings = load_config([file]).settings
    assert settings is not None
    report = Report("a", 0.0, 0.0, Outcome.CRITICAL)
    assert observe(settings.checks[0], report, None, now=0.0).granted_at == 1795168800.0


@pytest.mark.parametrize(
    ("families", "fault", "cause"),
    [
        ([6], "unreachable", "ipv6_unreachable"),
        ([4], "timeout", "port_blocked"),
        ([6, 4], "timeout", "port_blocked"),
        ([6, 4], "refused", "connection_refused"),
        ([6], "refused", "connection_refused"),
    ],
)
def test_a_failure_to_connect_is_judged_by_family(families: list[int], fault: str, cause: str) -> None:
    tried = tuple(Attempt("address", family, Fault(FaultKind(fault))) for family in families)
    seen = Observation(phase="connect", fault=fault, host="mail.example.org", port=587, attempts=tried)
    assert _causes(seen)[0] == cause


def test_a_refusal_excludes_a_port_that_is_blocked_on_the_way() -> None:
    tried = (Attempt("192.0.2.1", 4, Fault(FaultKind.REFUSED)),)
    seen = Observation(phase="connect", fault="refused", host="mail.example.org", port=2587, attempts=tried)
    causes = _causes(seen)
    assert causes[0] == "connection_refused"
    assert {"port_blocked", "timeout"} & set(causes) == set()
    assert "ss -ltnp | grep :2587" in " ".join(_first(seen).remedy)


def test_no_command_names_another_port_than_the_checks_own() -> None:
    steps = [step.text for each in CATALOGUE.entries.values() for step in each.steps]
    assert [step for step in steps if re.search(r"\{host\}[: ][0-9]", step)] == []


def test_an_address_that_lost_the_race_is_no_fault() -> None:
    tried = (Attempt("::1", 6, Fault(FaultKind.TIMEOUT)), Attempt("192.0.2.1", 4, None))
    seen = Observation(phase="tls", fault="tls_version", port=587, attempts=tried)
    assert _causes(seen)[0] == "tls_version"


def test_port_465_does_not_exist_at_exchange_online() -> None:
    seen = Observation(provider="microsoft", phase="connect", fault="timeout", host="smtp.office365.com", port=465)
    assert _causes(seen)[0] == "wrong_port_or_tls_mode"


@pytest.mark.parametrize(
    ("host", "issuer", "self_signed", "cause"),
    [
        ("smtp.office365.com", "CN=Contoso Inspection CA", False, "tls_intercepted"),
        ("smtp.gmail.com", "CN=smtp.gmail.com", True, "tls_intercepted"),
        ("smtp.office365.com", "CN=DigiCert Cloud Services CA-1,O=DigiCert Inc", False, "tls_untrusted_ca"),
        ("mail.example.org", "CN=Contoso Inspection CA", False, "tls_untrusted_ca"),
    ],
)
def test_an_intercepted_certificate_is_known_by_its_issuer(
    host: str, issuer: str, self_signed: bool, cause: str
) -> None:
    shown = CertificateFacts(0, 9, f"CN={host}", issuer, (host,), "00", self_signed=self_signed, verified=False)
    seen = Observation(phase="tls", fault="tls_untrusted", host=host, tls=TlsFacts("TLSv1.3", "x", shown))
    assert _causes(seen)[0] == cause


def test_a_mechanism_that_is_not_offered_explains_a_535() -> None:
    seen = Observation(phase="auth", ehlo=("SIZE 1", "AUTH PLAIN LOGIN"), replies=("535 5.7.8 Error: failed",))
    assert _causes(seen)[0] == "mechanism_not_offered"


def test_an_ehlo_before_tls_says_nothing_of_mechanisms() -> None:
    seen = Observation(provider="microsoft", phase="auth", ehlo=("SIZE 1", "STARTTLS"), replies=(REJECTED,))
    assert "mechanism_not_offered" not in _causes(seen)


@pytest.mark.parametrize("reply", ["500 unrecognized command", "501 Invalid base64 data"])
def test_a_long_line_explains_a_refusal_of_its_syntax(reply: str) -> None:
    seen = Observation(provider="generic", phase="auth", auth_line_length=3000, replies=(reply,))
    assert _causes(seen)[0] == "sasl_line_too_long"


def test_a_server_that_is_busy_after_a_long_line_did_not_refuse_its_length() -> None:
    seen = Observation(provider="generic", phase="auth", auth_line_length=3000, replies=("421 closing",))
    assert "sasl_line_too_long" not in _causes(seen)


def test_a_clock_that_is_off_explains_a_refused_assertion() -> None:
    seen = Observation(
        provider="google", phase="token", flow="service_account", error="invalid_grant", clock_offset=900.0
    )
    told = _first(seen)
    assert (told.cause, told.evidence[0]) == (Cause.CLOCK_SKEW, "the issuer's clock is 15 minutes ahead of ours")


@pytest.mark.parametrize(
    ("days", "cause"), [(7.1, "google_testing_mode_expiry"), (2, "refresh_token_expired_or_revoked")]
)
def test_the_age_of_a_refresh_token_at_google_tells_testing_mode(days: float, cause: str) -> None:
    seen = Observation(
        provider="google", phase="token", flow="refresh_token", error="invalid_grant", refresh_token_age=days * 86400
    )
    assert _causes(seen)[0] == cause


@pytest.mark.parametrize("flow", ["service_account", "client_credentials"])
def test_a_personal_mailbox_has_no_token_of_an_application(flow: str) -> None:
    google = flow == "service_account"
    seen = Observation(
        provider="google" if google else "microsoft",
        phase="auth",
        flow=flow,
        sasl_user="anna@gmail.com" if google else "anna@outlook.com",
        replies=("535 5.7.8 Username and Password not accepted." if google else REJECTED,),
    )
    assert _causes(seen)[0] == ("google_dwd_not_authorized" if google else "personal_account_unsupported")


def test_a_case_may_be_written_in_several_ways() -> None:
    claims = base64.urlsafe_b64encode(json.dumps({"aud": GRAPH, "scp": "SMTP.Send"}).encode()).decode().rstrip("=")
    case = {
        "provider": "microsoft",
        "observed": {
            "phase": "auth",
            "token_claims": f"eyJhbGciOiJSUzI1NiJ9.{claims}.c2ln",
            "ehlo": "250-SIZE 1\n250 AUTH LOGIN XOAUTH2",
            "smtp_reply": ["334", REJECTED],
            "requested_scope": ["https://graph.microsoft.com/.default"],
        },
    }
    assert _causes(from_case(case))[0] == "wrong_token_audience"


@pytest.mark.parametrize(
    "error",
    [
        {"error_codes": ["7000222"]},
        {"error_codes": ["AADSTS7000222"]},
        "AADSTS7000222: The provided client secret keys are expired.",
        '{"error":"invalid_client","error_codes":[7000222]}',
    ],
)
def test_a_token_error_may_be_written_in_several_ways(error: object) -> None:
    assert _causes(from_case({"observed": {"phase": "token", "token_error": error}}))[0] == "secret_expired"


TIMES = "AADSTS700024: Client assertion is not within its valid time range. Current time: 2026-01-01T10:00:00.1234567Z"


@pytest.mark.parametrize(
    ("begin", "end", "cause"),
    [
        ("2026-01-01T08:01:00", "2026-01-01T08:11:00", "clock_skew"),
        ("2026-01-01T12:00:30", "2026-01-01T12:10:30", "clock_skew"),
        ("2026-01-01T10:20:00", "2026-01-01T10:30:00", "clock_skew"),
        ("2026-01-01T04:33:00", "2026-01-01T04:43:00", "assertion_reused"),
    ],
    ids=["two hours late", "two hours early", "twenty minutes early", "five hours and a quarter late"],
)
def test_the_times_in_the_text_tell_a_time_zone_from_an_assertion_used_again(begin: str, end: str, cause: str) -> None:
    text = f"{TIMES}, assertion valid from {begin}.0000000Z, expiry time of assertion {end}.0000000Z."
    assert _causes(from_text(text))[0] == cause


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("connect EHOSTUNREACH 2001:db8::1:587", "ipv6_unreachable"),
        ("dial tcp [2001:db8::1]:587: connect: network is unreachable", "ipv6_unreachable"),
        ("dial tcp 192.0.2.1:587: connect: network is unreachable", "ipv4_unreachable"),
    ],
)
def test_the_address_in_the_text_decides_on_the_family(text: str, cause: str) -> None:
    assert _causes(from_text(text))[0] == cause


def test_a_telling_number_beats_the_general_one_beside_it() -> None:
    text = "AADSTS70002: Error validating. AADSTS50012: Client assertion is not within its valid time range."
    assert _causes(from_text(text))[0] == "clock_skew"


@pytest.mark.parametrize(
    "text",
    ["License expired", "Permission denied", "the request timed out", "certificate has expired", "rate limit exceeded"],
)
def test_bare_words_never_decide(text: str) -> None:
    assert explain(from_text(text), CATALOGUE)[0].certainty < LIKELY


def test_a_cause_that_speaks_of_a_step_names_it_and_the_server() -> None:
    seen = Observation(phase="banner", fault="timeout", host="smtp.example.org", port=587)
    assert _first(seen).summary == "No answer from smtp.example.org:587 in the step banner within the time limit."
    assert describe(Finding(Cause.TIMEOUT, 1.0, "asked"), CATALOGUE).summary == "No answer within the time limit."


def test_a_cause_that_everything_speaks_against_is_not_named() -> None:
    """No exclusion is dropped for want of another cause."""
    seen = Observation(flow="password", phase="auth", replies=("503 5.5.1 no",))
    assert not {"user_mismatch", "token_expired"} & set(_causes(seen))


def test_the_unknown_stands_alone() -> None:
    observations = (from_text("nothing of the kind"), Observation(token_kind="oauth", error="invalid_grant"))
    assert [_causes(seen).count("unknown") for seen in observations] == [1, 0]


def test_the_issuer_s_address_and_status_are_in_the_evidence() -> None:
    seen = Observation(phase="token", token_kind="http", endpoint="https://idp.example.org/token", http_status=403)
    assert "issuer: https://idp.example.org/token answered with HTTP status 403" in _first(seen).evidence


def test_a_cause_is_checked_after_those_that_explain_it() -> None:
    causes = [Cause.TLS_UNTRUSTED_CA, Cause.CERTIFICATE_EXPIRED, Cause.TLS_INTERCEPTED, Cause.CLOCK_SKEW]
    assert reasons_first(causes, CATALOGUE) == (
        Cause.TLS_INTERCEPTED,
        Cause.TLS_UNTRUSTED_CA,
        Cause.CLOCK_SKEW,
        Cause.CERTIFICATE_EXPIRED,
    )
