"""What the doctor's steps judge of what was measured: clock, permissions, scopes, token, secrets, retirements."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import BaseModel

from smtpcheck.cli.doctor import discovery
from smtpcheck.cli.doctor.connection_stages import connection
from smtpcheck.cli.doctor.credential_stages import auth_line_length, credential_stages, expiry_note, renewal
from smtpcheck.cli.doctor.discovery import Discovery
from smtpcheck.cli.doctor.evidence import Evidence
from smtpcheck.cli.doctor.maintenance_stage import maintenance
from smtpcheck.cli.doctor.result import (
    Examined,
    Result,
    Stage,
    examined,
    failed,
    hint,
    ok,
    outcome_of,
    skipped,
    warning,
)
from smtpcheck.cli.doctor.secrets_stage import secret_storage
from smtpcheck.config import from_options
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import (
    Phase,
    Provider,
)
from smtpcheck.model.credential import CredentialState
from smtpcheck.model.report import (
    Attempt,
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
    TokenFacts,
)
from smtpcheck.oauth.credential import Credential
from smtpcheck.oauth.microsoft import Microsoft
from smtpcheck.oauth.static_token import StaticToken

NOW = 1_800_000_000.0
TENANT = "11111111-2222-3333-4444-555555555555"
CLAIMS: dict[str, object] = {
    "iss": f"https://sts.windows.net/{TENANT}/",
    "aud": "https://outlook.office365.com",
    "roles": ["SMTP.SendAsApp"],
    "oid": "x",
}


def microsoft(**keys: object) -> Microsoft:
    """Return a credential of an application."""
    return Microsoft.model_validate(
        {"tenant": TENANT, "client_id": "client", "client_secret": {"value": "secret"}, **keys}
        if "client_secret" not in keys
        else {"tenant": TENANT, "client_id": "client", **keys}
    )


def evidence(
    claims: dict[str, object] | None = CLAIMS,
    *,
    credential: Credential | None = None,
    size: int = 1700,
    life: float = 3600.0,
    error: TokenError | None = None,
    cause: Cause | None = None,
    provider: Provider = Provider.MICROSOFT,
) -> Evidence:
    """Return what was seen of a token with these claims; None for an opaque one."""
    settings = from_options(
        {"mailbox": "a@example.org", "host": "smtp.office365.com", "token_file": Path("token")}
    ).settings
    assert settings
    credential = credential or microsoft()
    token = TokenFacts(
        "fingerprint",
        "opaque" if claims is None else "jwt",
        NOW,
        NOW + life,
        credential.scope,
        size,
        claims or {},
        False,
    )
    findings = (Finding(cause, 1.0, "x"),) if cause else ()
    asked = Report(
        "a", NOW, 1.0, Outcome.CRITICAL if cause else Outcome.OK, cause=cause, findings=findings,
        token=None if error else token, token_error=error,
    )  # fmt: skip
    check = replace(settings.checks[0], provider=provider)
    return Evidence(check, credential, 3600.0, NOW, issuer="login.microsoftonline.com", asked=asked)


def stage(seen: Evidence, wanted: Stage) -> Examined:
    """Return one of the first five steps."""
    return next(found for found in credential_stages(seen) if found.stage is wanted)


def said(found: Examined, result: Result) -> str:
    """Return the notes of one result."""
    return "\n".join(note.text for note in found.notes if note.result is result)


def test_a_step_is_as_bad_as_its_worst_note() -> None:
    """A hint makes nothing worse, and what was skipped counts only where nothing else was looked at."""
    rows = {
        (ok("a"), hint("b")): Result.OK,
        (hint("a"), skipped("b")): Result.OK,
        (skipped("a"),): Result.SKIPPED,
        (ok("a"), warning("b"), skipped("c")): Result.WARNING,
        (warning("a"), failed("b")): Result.FAILED,
        (): Result.SKIPPED,
    }
    assert {notes: examined(Stage.FLOW, notes).result for notes in rows} == rows


def test_the_outcome_is_the_worst_step() -> None:
    ours = examined(Stage.TOKEN, [failed("a")], (Finding(Cause.INTERNAL, 1.0, "x"),))
    theirs, late, good = (examined(Stage.FLOW, [note]) for note in (failed("a"), warning("b"), skipped("c")))
    assert outcome_of([good]) is Outcome.OK
    assert outcome_of([good, late]) is Outcome.WARNING
    assert outcome_of([late, ours]) is Outcome.UNKNOWN
    assert outcome_of([theirs, ours]) is Outcome.CRITICAL


@pytest.mark.parametrize(
    ("offset", "result", "text"),
    [
        (1.0, Result.OK, "agrees"),
        (-60.0, Result.WARNING, "60 s ahead of the issuer's"),
        (400.0, Result.FAILED, "400 s behind the issuer's"),
    ],
)
def test_the_clock_is_compared_with_the_issuers(offset: float, result: Result, text: str) -> None:
    found = stage(
        replace(evidence(), discovery=Discovery("https://x", issuer="https://x/y", clock_offset=offset)), Stage.FLOW
    )
    assert (found.result, text in said(found, result)) == (result, True)


def test_an_authority_without_its_document_or_with_anothers() -> None:
    silent = replace(evidence(), discovery=Discovery("https://x", error="no route to host"))
    other = replace(evidence(), discovery=Discovery("https://x", issuer="https://evil", mismatch=True))
    assert "no route to host" in said(stage(silent, Stage.FLOW), Result.FAILED)
    assert "another issuer, https://evil" in said(stage(other, Stage.FLOW), Result.FAILED)


@pytest.mark.parametrize(
    ("claims", "result", "text"),
    [
        ({}, Result.OK, "SMTP.SendAsApp to the application"),
        ({"roles": None}, Result.HINT, "RBAC for applications"),
        ({"roles": ["IMAP.AccessAsApp"]}, Result.WARNING, "SMTP requires SMTP.SendAsApp"),
        ({"roles": None, "scp": "SMTP.Send openid"}, Result.OK, "grants SMTP.Send"),
        ({"roles": None, "scp": "Mail.Send"}, Result.FAILED, "not SMTP.Send"),
    ],
)
def test_permissions_are_read_from_the_claims(claims: dict[str, object], result: Result, text: str) -> None:
    """No roles at all are a hint, not a fault."""
    found = stage(evidence({name: value for name, value in (CLAIMS | claims).items() if value}), Stage.PERMISSIONS)
    assert text in said(found, result)
    assert found.result is (Result.OK if result is Result.HINT else result)


def of_check(seen: Evidence, credential: str) -> Evidence:
    """Return the same, of a check that names this credential."""
    return replace(seen, check=replace(seen.check, credential=credential))


@pytest.mark.parametrize("cause", [Cause.APP_NOT_IN_TENANT, Cause.CONSENT_MISSING, Cause.RESOURCE_NOT_IN_TENANT])
def test_what_is_wrong_in_the_tenant_names_the_script_that_sets_it_up(cause: Cause) -> None:
    error = TokenError(TokenErrorKind.OAUTH, NOW, error="invalid", description="no")
    seen = of_check(evidence(error=error, cause=cause), "con toso")
    (failing,) = [one for one in credential_stages(seen) if one.result is Result.FAILED]
    assert "smtpcheck setup 'con toso'" in said(failing, Result.HINT)


def test_what_the_token_cannot_show_names_the_script_once() -> None:
    for claims in (CLAIMS, CLAIMS | {"roles": []}, CLAIMS | {"roles": ["IMAP.AccessAsApp"]}):
        found = stage(of_check(evidence(claims), "contoso"), Stage.PERMISSIONS)
        assert said(found, Result.HINT).count("smtpcheck setup contoso") == 1


def test_without_a_configuration_the_script_is_made_from_options() -> None:
    found = stage(of_check(evidence(), "options"), Stage.PERMISSIONS)
    assert "smtpcheck setup --tenant" in said(found, Result.HINT)
    assert "--mailbox a@example.org" in said(found, Result.HINT)


def test_at_an_issuer_of_ones_own_there_is_no_script() -> None:
    seen = of_check(evidence(CLAIMS | {"roles": []}, credential=microsoft(authority="https://id.example.org")), "own")
    assert "smtpcheck setup" not in said(stage(seen, Stage.PERMISSIONS), Result.HINT)


@pytest.mark.parametrize(
    ("roles", "result"), [(["Mail.Send"], Result.OK), (["SMTP.SendAsApp"], Result.FAILED), ([], Result.FAILED)]
)
def test_high_volume_email_wants_another_permission(roles: list[str], result: Result) -> None:
    found = stage(evidence({**CLAIMS, "roles": roles}, provider=Provider.HVE), Stage.PERMISSIONS)
    assert "Mail.Send" in said(found, result)


def test_the_permission_of_high_volume_email_is_not_to_be_removed_there() -> None:
    claims = {**CLAIMS, "roles": ["Mail.Send"]}
    advice = {
        provider: said(secret_storage(evidence(claims, provider=provider)), Result.WARNING)
        for provider in (Provider.HVE, Provider.MICROSOFT)
    }
    assert {provider: "remove it" in text for provider, text in advice.items()} == {
        Provider.HVE: False,
        Provider.MICROSOFT: True,
    }


@pytest.mark.parametrize(
    ("audience", "result"),
    [("https://communication.azure.com", Result.OK), ("https://outlook.office365.com", Result.FAILED)],
)
def test_communication_services_want_a_token_of_their_own(audience: str, result: Result) -> None:
    found = stage(evidence({**CLAIMS, "aud": audience}, provider=Provider.ACS), Stage.SCOPES)
    assert audience in said(found, result)


@pytest.mark.parametrize(
    ("audience", "result"),
    [
        ("https://outlook.office365.com", Result.OK),
        ("https://outlook.office.com/", Result.OK),
        ("00000002-0000-0ff1-ce00-000000000000", Result.OK),
        ("https://outlook.office365.us", Result.OK),
        ("https://graph.microsoft.com", Result.FAILED),
        ("00000003-0000-0000-c000-000000000000", Result.FAILED),
        ("https://vault.azure.net", Result.WARNING),
    ],
)
def test_the_audience_must_be_exchange_online(audience: str, result: Result) -> None:
    assert stage(evidence(CLAIMS | {"aud": audience}), Stage.SCOPES).result is result


def test_the_requested_scope_must_be_for_smtp() -> None:
    graph = microsoft(scope="https://graph.microsoft.com/.default")
    other = microsoft(scope="https://vault.azure.net/.default")
    assert stage(evidence(credential=graph), Stage.SCOPES).result is Result.FAILED
    assert stage(evidence(credential=other), Stage.SCOPES).result is Result.WARNING
    google = stage(evidence(None, credential=other, provider=Provider.GOOGLE), Stage.SCOPES)
    assert "only https://mail.google.com/" in said(google, Result.FAILED)


def test_form_size_and_life_of_the_token() -> None:
    """RFC 4954 allows 12288 octets for a line; the line is counted as it is sent."""
    assert (
        auth_line_length(1700, "a@example.org")
        == 4 * ((1700 + len("user=a@example.org\x01auth=Bearer \x01\x01") + 2) // 3) + 2
    )
    assert stage(evidence(), Stage.TOKEN).result is Result.OK
    assert "a JWT of 1700 characters" in said(stage(evidence(), Stage.TOKEN), Result.OK)
    assert "an opaque token" in said(stage(evidence(None), Stage.TOKEN), Result.OK)
    assert "RFC 4954" in said(stage(evidence(size=9300), Stage.TOKEN), Result.FAILED)
    assert "some servers" in said(stage(evidence(size=4000), Stage.TOKEN), Result.HINT)
    assert "it expired" in said(stage(evidence(life=-5.0), Stage.TOKEN), Result.FAILED)
    assert "it expires in 120 s" in said(stage(evidence(life=120.0), Stage.TOKEN), Result.WARNING)
    assert "Dovecot" in said(stage(evidence(CLAIMS | {"header_typ": "at+jwt"}), Stage.TOKEN), Result.HINT)


@pytest.mark.parametrize(
    ("cause", "wanted"),
    [
        (Cause.TENANT_NOT_FOUND, Stage.FLOW),
        (Cause.SECRET_EXPIRED, Stage.APPLICATION),
        (Cause.CONSENT_MISSING, Stage.PERMISSIONS),
        (Cause.SCOPE_INVALID, Stage.SCOPES),
        (Cause.UNKNOWN, Stage.TOKEN),
        (Cause.REFRESH_TOKEN_EXPIRED_OR_REVOKED, Stage.RENEWAL),
    ],
)
def test_a_refused_token_belongs_to_one_step_alone(cause: Cause, wanted: Stage) -> None:
    """The others say why they cannot judge, and do not fail."""
    error = TokenError(TokenErrorKind.OAUTH, NOW, error="invalid", description="AADSTS1: so it is")
    seen = evidence(error=error, cause=cause)
    found = {one.stage: one for one in (*credential_stages(seen), renewal(seen))}
    assert [step for step, one in found.items() if one.result is Result.FAILED] == [wanted]
    assert [finding.cause for finding in found[wanted].findings] == [cause]
    assert "AADSTS1: so it is" in said(found[wanted], Result.FAILED)


def test_renewal_tells_what_ends_and_how_to_make_it_known() -> None:
    state = CredentialState("c", "microsoft", refresh_token_expires_at=NOW + 86400.0)
    found = renewal(replace(evidence(), state=state))
    assert "after 30 minutes" in said(found, Result.OK)
    assert "client_secret_expires" in said(found, Result.HINT)
    assert "the refresh token expires" in said(found, Result.WARNING)
    known = replace(state, refresh_token_expires_at=None, client_secret_expires_at=NOW + 9e6)
    assert "client_secret_expires" not in said(renewal(replace(evidence(), state=known)), Result.HINT)


@pytest.mark.parametrize(("left", "result"), [(-1.0, Result.FAILED), (10.0, Result.WARNING), (1e6, Result.OK)])
def test_what_ends_soon_is_a_warning(left: float, result: Result) -> None:
    assert expiry_note("it", NOW + left, 100.0, NOW).result is result


@pytest.mark.parametrize(
    ("source", "result", "text"),
    [
        ({"value": "Q~secret"}, Result.WARNING, "in the configuration itself"),
        ({"env": "SMTPCHECK_TEST_SECRET"}, Result.HINT, "variable SMTPCHECK_TEST_SECRET"),
        ({"command": ["/bin/false"]}, Result.OK, "from the command /bin/false"),
        ({"file": "/nowhere/secret"}, Result.WARNING, "does not exist"),
        ({"value": "11111111-2222-3333-4444-555555555555"}, Result.WARNING, "form of a GUID"),
    ],
)
def test_where_the_secret_lies(
    source: dict[str, object], result: Result, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTPCHECK_TEST_SECRET", "Q~secret")
    found = secret_storage(evidence(credential=microsoft(client_secret=source)))
    assert text in said(found, result)


@pytest.mark.parametrize(("mode", "result"), [(0o600, Result.OK), (0o640, Result.HINT), (0o604, Result.WARNING)])
def test_who_can_read_the_secrets_file(mode: int, result: Result, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("Q~secret")
    secret.chmod(mode)
    ready = StaticToken.model_validate({"from": {"file": secret}})
    for credential in (microsoft(client_secret={"file": secret}), ready):
        assert f"(mode {mode:04o})" in said(secret_storage(evidence(credential=credential)), result)


def test_retirements_are_told_where_they_matter() -> None:
    """A password is warned of, a server that takes passwords gets a hint, and others hear nothing."""

    class Password(BaseModel):
        type: str = "password"

    seen = evidence()
    with_login = replace(seen, report=connected(["AUTH LOGIN XOAUTH2"]))
    with_password = replace(with_login, credential=Password())  # type: ignore[arg-type]
    elsewhere = replace(with_login, check=replace(seen.check, provider=Provider.GENERIC))
    assert "December 2026" in said(maintenance(with_login, None), Result.HINT)
    assert "December 2026" in said(maintenance(with_password, None), Result.WARNING)
    at_hve = replace(with_password, check=replace(seen.check, provider=Provider.HVE))
    assert "September 2028" in said(maintenance(at_hve, None), Result.HINT)
    server = replace(seen.check.server, host="smtp-mail.outlook.com")
    personal = replace(with_password, check=replace(seen.check, server=server))
    assert "September 2024" in said(maintenance(personal, None), Result.FAILED)
    for quiet in (elsewhere, replace(seen, report=connected(["AUTH XOAUTH2"]))):
        assert "December 2026" not in said(maintenance(quiet, None), Result.HINT)


def connected(ehlo: list[str], *attempts: Attempt, fault: Fault | None = None) -> Report:
    """Return a run that came as far as EHLO, or failed there."""
    step = Step(Phase.EHLO_TLS, 0.0, 0.1, (Exchange("EHLO x", Reply(250, "", ("host", *ehlo))),), fault)
    return Report("a", NOW, 1.0, Outcome.OK, steps=(step,), attempts=attempts)


def test_the_connection_tells_of_every_address_and_of_ehlo() -> None:
    """An address that did not answer is a hint while another one did."""
    report = connected(
        ["SIZE 1000", "size 0", "AUTH=LOGIN", "AUTH LOGIN XOAUTH2"],
        Attempt("2001:db8::1", 6, Fault(FaultKind.UNREACHABLE, "no route")),
        Attempt("192.0.2.1", 4, None),
    )
    found = connection(replace(evidence(), report=report))
    assert said(found, Result.HINT) == "2001:db8::1 (IPv6) port 587: no route"
    assert said(found, Result.OK).splitlines() == [
        "192.0.2.1 (IPv4) port 587 answers",
        "EHLO offers AUTH LOGIN XOAUTH2",
        "it accepts messages up to 1000 octets",
    ]


async def test_a_discovery_document_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(discovery, "_ask", lambda *_: released.wait(60))
    monkeypatch.setattr(discovery, "authority_of", lambda _: "https://login.example.org/t")
    try:
        found = await discovery.discover(StaticToken.model_validate({"from": {"value": "t"}}), 0.1)
    finally:
        released.set()
    assert found == Discovery("https://login.example.org/t", error="no answer within 0.1 s")
