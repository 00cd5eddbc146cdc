"""Stages 1 to 5 and 8: the way to the token, and what the token says of itself.

Rules of this file:
- Pure: it assesses what was measured. The token's claims are read without verification and serve as hints: only the
  server may decide on a token (https://learn.microsoft.com/entra/identity-platform/access-tokens).
- A failed request for a token belongs to the stage that its cause is about; the stages behind it are skipped.
- A token without `roles` is legal: Exchange's RBAC for applications grants without a claim
  (https://learn.microsoft.com/exchange/permissions-exo/application-rbac).
"""

from collections.abc import Iterator
from dataclasses import replace
from math import ceil
from shlex import quote
from urllib.parse import urlsplit

from smtpcheck.cli.doctor import api_notes
from smtpcheck.cli.doctor.api_notes import api_of_check
from smtpcheck.cli.doctor.discovery import authority_of
from smtpcheck.cli.doctor.evidence import Evidence, claim, words
from smtpcheck.cli.doctor.result import Examined, Note, Result, Stage, examined, failed, hint, ok, skipped, warning
from smtpcheck.config.options import OPTIONS
from smtpcheck.diagnosis.remedy import setup_options
from smtpcheck.http_client.urls import host_of
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Provider
from smtpcheck.model.report import Finding, TokenFacts
from smtpcheck.model.timestamp import utc_text
from smtpcheck.oauth.claims import HEADER_TYPE, JWT
from smtpcheck.oauth.cloud_credential import CloudCredential
from smtpcheck.oauth.clouds import CLOUDS
from smtpcheck.oauth.credential import Credential
from smtpcheck.oauth.managed_identity import ManagedIdentity
from smtpcheck.oauth.microsoft import Microsoft
from smtpcheck.oauth.microsoft_user import MicrosoftUser
from smtpcheck.oauth.password import Password
from smtpcheck.oauth.static_token import StaticToken
from smtpcheck.oauth.user_credential import UserCredential

MAX_AUTH_LINE = 12288
"""Octets of a line of an AUTH exchange with its end (RFC 4954 4)."""
_USUAL_AUTH_LINE = 4096
_SKEW_SECONDS = 300.0
_NOTICEABLE_SKEW = 30.0
_SHORT_LIFE = 600.0

_EXCHANGE_AUDIENCES = frozenset(
    {"00000002-0000-0ff1-ce00-000000000000", "https://outlook.office.com", "https://outlook.office365.com"}
    | {facts.scope.removesuffix("/.default") for facts in CLOUDS.values()}
)
"""What is in `aud` of a token for Exchange Online; the GUID is the resource's own id."""
_GRAPH_HOSTS = frozenset(facts.graph for facts in CLOUDS.values())
_GRAPH_ID = "00000003-0000-0000-c000-000000000000"
_GOOGLE_SCOPE = "https://mail.google.com/"
_ACS_AUDIENCE = "https://communication.azure.com"

_STAGES = {
    Stage.FLOW: (
        Cause.TENANT_NOT_FOUND,
        Cause.AUTHORITY_TENANT_MISMATCH,
        Cause.CLOCK_SKEW,
        Cause.ISSUER_UNAVAILABLE,
        Cause.ISSUER_NOT_JSON,
        Cause.ISSUER_THROTTLED,
        Cause.ISSUER_MISMATCH,
        Cause.TIMEOUT,
        Cause.DNS_FAILURE,
        Cause.PORT_BLOCKED,
        Cause.CONNECTION_LOST,
        Cause.TLS_UNTRUSTED_CA,
        Cause.TLS_INTERCEPTED,
        Cause.TLS_VERSION,
        Cause.TLS_HOSTNAME_MISMATCH,
        Cause.CERTIFICATE_EXPIRED,
        Cause.IPV6_UNREACHABLE,
        Cause.IPV4_UNREACHABLE,
        Cause.TLS_NO_COMMON_CIPHER,
        Cause.TLS_WEAK_KEY,
    ),
    Stage.APPLICATION: (
        Cause.SECRET_INVALID,
        Cause.SECRET_EXPIRED,
        Cause.CLIENT_AUTH_REQUIRED,
        Cause.APP_DISABLED,
        Cause.PUBLIC_CLIENT_SECRET_SENT,
        Cause.APP_NOT_IN_TENANT,
        Cause.REDIRECT_URI_MISMATCH,
        Cause.SECRET_UNREADABLE,
        Cause.SERVICE_ACCOUNT_KEY_INVALID,
        Cause.GOOGLE_CLIENT_NOT_FOUND,
        Cause.GOOGLE_CLIENT_DELETED,
        Cause.FEDERATED_ASSERTION_MISMATCH,
        Cause.CERTIFICATE_CREDENTIAL_REJECTED,
        Cause.CLIENT_AUTH_METHOD_MISMATCH,
        Cause.GRANT_TYPE_NOT_ALLOWED,
        Cause.ASSERTION_REUSED,
        Cause.LOGIN_MISSING,
        Cause.SECRET_COMMAND_FAILED,
    ),
    Stage.PERMISSIONS: (
        Cause.CONSENT_MISSING,
        Cause.DECLARED_PERMISSION_INVALID,
        Cause.GOOGLE_NOT_A_TEST_USER,
        Cause.MFA_REQUIRED,
        Cause.CONDITIONAL_ACCESS,
        Cause.SECURITY_DEFAULTS,
        Cause.GOOGLE_DWD_NOT_AUTHORIZED,
        Cause.GOOGLE_ORG_POLICY,
        Cause.ACCOUNT_LOCKED,
        Cause.PASSWORD_WRONG,
    ),
    Stage.SCOPES: (Cause.SCOPE_INVALID, Cause.RESOURCE_NOT_IN_TENANT, Cause.WRONG_SCOPE_GOOGLE),
    Stage.RENEWAL: (Cause.REFRESH_TOKEN_EXPIRED_OR_REVOKED, Cause.GOOGLE_TESTING_MODE_EXPIRY),
}
_SET_UP = frozenset({Stage.APPLICATION, Stage.PERMISSIONS})
_STAGE_OF = {cause: stage for stage, causes in _STAGES.items() for cause in causes}


def credential_stages(evidence: Evidence) -> Iterator[Examined]:
    """Yield stages 1 to 5."""
    stage_notes = {
        Stage.FLOW: _flow,
        Stage.APPLICATION: _application,
        Stage.PERMISSIONS: _permissions,
        Stage.SCOPES: _scopes,
        Stage.TOKEN: _token,
    }
    for stage, notes_of in stage_notes.items():
        yield _with_setup(evidence, _with_refusal(evidence, stage, notes_of(evidence)))


def _with_setup(evidence: Evidence, found: Examined) -> Examined:
    """Return the stage with the command whose script repairs it, where something in the tenant is what may be wrong."""
    line = _setup_line(evidence)
    is_wrong = found.result in {Result.FAILED, Result.WARNING}
    if not (line and is_wrong and (found.stage in _SET_UP or (found.stage is Stage.SCOPES and found.findings))):
        return found
    if any(line in note.text for note in found.notes):
        return found
    return replace(found, notes=(*found.notes, hint(f"a script that sets the tenant up: {line}")))


def _setup_line(evidence: Evidence) -> str:
    """Return the command that prints the script for the check's application; empty where there is none."""
    credential = evidence.credential
    if not isinstance(credential, Microsoft | ManagedIdentity) or credential.authority is not None:
        return ""
    if isinstance(credential, Microsoft) and evidence.check.credential == OPTIONS:
        given = {"tenant": credential.tenant, "client_id": credential.client_id, "cloud": credential.cloud}
        return f"smtpcheck setup {setup_options({**given, 'mailbox': quote(evidence.check.mailbox)})}"
    return f"smtpcheck setup {quote(evidence.check.credential or '')}"


def renewal(evidence: Evidence) -> Examined:
    """Return stage 8."""
    return _with_refusal(evidence, Stage.RENEWAL, _renewal(evidence))


def stage_of_refusal(evidence: Evidence) -> Stage | None:
    """Return the stage that the issuer's refusal is about, None where there was none."""
    findings = _refusal(evidence)
    return _STAGE_OF.get(findings[0].cause, Stage.TOKEN) if findings else None


def _refusal(evidence: Evidence) -> tuple[Finding, ...]:
    """Return why there is no fresh token, also where one in memory still holds; best first."""
    if evidence.asked is None or evidence.asked.cause is not None:
        return evidence.asked.findings if evidence.asked else ()
    causes = [finding.cause for finding in evidence.asked.warnings]
    if Cause.FRESH_TOKEN_FAILING not in causes:
        return ()
    failing = causes.index(Cause.FRESH_TOKEN_FAILING)
    return (evidence.asked.warnings[failing + 1], evidence.asked.warnings[failing])


def _with_refusal(evidence: Evidence, stage: Stage, notes: Iterator[Note]) -> Examined:
    if evidence.credential is None:
        return examined(stage, [skipped("the check names no credential")])
    if evidence.asked is None:
        return examined(stage, [skipped(f"depth {evidence.check.depth} needs no token")])
    if stage_of_refusal(evidence) is not stage:
        return examined(stage, [_of_password(evidence.credential, stage)] if evidence.check.password else notes)
    error = evidence.token_error or (evidence.state.error if evidence.state else None)
    said = error.description or error.error or error.kind.value if error else "smtpcheck itself failed"
    return examined(stage, [*notes, failed(f"no fresh token: {said}")], _refusal(evidence))


def _of_password(credential: Credential, stage: Stage) -> Note:
    if stage is Stage.FLOW and isinstance(credential, Password):
        return ok(f"a password from {credential.password}; no issuer is involved")
    if stage is Stage.RENEWAL:
        return hint("a password's expiry is unknown: only the login shows it")
    return skipped("a password has no application, no permissions and no token")


# -- the stages -------------------------------------------------------------------------------------------------------


def _flow(evidence: Evidence) -> Iterator[Note]:
    credential, found = evidence.credential, evidence.discovery
    if isinstance(credential, StaticToken):
        yield ok(f"a token from {credential.source}; no issuer is involved")
        return
    if credential is not None:
        where = authority_of(credential) or evidence.issuer
        cloud = f", cloud {credential.cloud}" if isinstance(credential, CloudCredential) else ""
        yield ok(f"{_kind(credential)}{f' at {where}' if where else ''}{cloud}")
    if found is None:
        return
    if found.error:
        yield failed(f"the authority gives no discovery document: {found.error}")
    elif found.mismatch:
        yield failed(f"the authority's discovery document names another issuer, {found.issuer}")
    else:
        yield ok(f"the authority answers and names the issuer {found.issuer}")
    if found.clock_offset is not None:
        yield _clock(found.clock_offset)


def _kind(credential: Credential) -> str:
    if not isinstance(credential, Microsoft):
        return f"credential of type {credential.type}"
    proofs = {"secret": credential.client_secret, "certificate": credential.client_certificate}
    proof = next((name for name, value in proofs.items() if value is not None), "federated assertion")
    return f"client credentials with a {proof}"


def _clock(offset: float) -> Note:
    said = f"this machine's clock is {abs(offset):.0f} s {'behind' if offset > 0 else 'ahead of'} the issuer's"
    if abs(offset) > _SKEW_SECONDS:
        return failed(f"{said}: signed assertions and tokens are refused; synchronise it (NTP)")
    if abs(offset) > _NOTICEABLE_SKEW:
        return warning(f"{said}; synchronise it (NTP)")
    return ok("this machine's clock agrees with the issuer's")


def _application(evidence: Evidence) -> Iterator[Note]:
    credential = evidence.credential
    if isinstance(credential, StaticToken):
        appid = claim(evidence.claims, "appid", "azp", "client_id")
        yield (
            ok(f"the token was issued to application {appid}")
            if appid
            else skipped("a token that does not name its application")
        )
    elif stage_of_refusal(evidence) is None and credential is not None and not credential.logs_in:
        yield skipped("a key of a mail API has no application and no issuer; the test of the connection tries it")
    elif stage_of_refusal(evidence) is None:
        client = f" {credential.client_id}" if isinstance(credential, Microsoft) else ""
        yield ok(f"the issuer accepts application{client} and its credential")
    elif stage_of_refusal(evidence) is not Stage.APPLICATION:
        yield skipped("the issuer gave no token for another reason")


def _permissions(evidence: Evidence) -> Iterator[Note]:
    token, claims = evidence.token, evidence.claims
    if token is None:
        if stage_of_refusal(evidence) is not Stage.PERMISSIONS:
            yield skipped("there is no token whose permissions could be read")
    elif not claims:
        yield skipped("the token is opaque: its permissions cannot be read here")
    elif (api := api_of_check(evidence.check)) is not None:
        yield from api_notes.permissions(evidence, api)
    elif not is_of_entra(evidence):
        granted = words(claims.get("scope")) or words(claims.get("scp"))
        yield ok(f"the token grants {', '.join(granted)}") if granted else skipped("the token names no permissions")
    elif words(claims.get("scp")):
        yield from _delegated(claims.get("scp"))
    else:
        yield from _app_only(evidence)
        if (line := _setup_line(evidence)) and evidence.check.provider is Provider.MICROSOFT:
            yield hint(f"a script grants what its checks need, and nothing more: {line}")


def _delegated(scp: object) -> Iterator[Note]:
    if any(word.casefold() == "smtp.send" for word in words(scp)):
        yield ok("the user's token grants SMTP.Send")
    else:
        yield failed(f"the user's token grants {' '.join(words(scp))}, but not SMTP.Send: the login is refused")


def _app_only(evidence: Evidence) -> Iterator[Note]:
    roles = words(evidence.claims.get("roles"))
    provider = evidence.check.provider
    if provider is Provider.ACS:
        yield hint(
            "what the application may do is set by its role at the Communication Services resource, not in the token"
        )
    elif provider is Provider.HVE:
        yield _high_volume(roles)
    elif "SMTP.SendAsApp" in roles:
        yield ok("the token grants SMTP.SendAsApp to the application")
        yield hint(
            "with this role the application also needs its service principal in Exchange (New-ServicePrincipal) and "
            "FullAccess to the mailbox (Add-MailboxPermission); the token cannot show either"
        )
    elif not roles:
        yield hint(
            "the token names no roles: right where Exchange's RBAC for applications grants 'Application "
            "SMTP.SendAsApp', otherwise the consent to SMTP.SendAsApp on Office 365 Exchange Online is missing"
        )
    else:
        yield warning(f"the token's roles are {', '.join(roles)}; SMTP requires SMTP.SendAsApp")


def _high_volume(roles: tuple[str, ...]) -> Note:
    if "Mail.Send" in roles:
        return ok("the token grants Mail.Send, which High Volume Email requires")
    return failed(
        f"the token's roles are {', '.join(roles) or 'none'}; High Volume Email requires Mail.Send of Office 365 "
        "Exchange Online"
    )


def _scopes(evidence: Evidence) -> Iterator[Note]:
    if (api := api_of_check(evidence.check)) is not None:
        yield from api_notes.scopes(evidence, api)
        return
    error, credential = evidence.token_error, evidence.credential
    requested = (error.requested_scope if error else "") or (credential.scope if credential else "")
    if requested and evidence.check.provider not in {Provider.GENERIC, Provider.ACS}:
        yield _requested(evidence, requested)
    elif requested:
        yield ok(f"{requested} is requested")
    if evidence.token is None:
        if not requested:
            yield skipped("no scope is requested, and there is no token")
        return
    audience = evidence.claims.get("aud")
    if audience is None:
        if not requested:
            yield skipped("no scope is requested, and the token does not name its audience")
    elif evidence.check.provider is Provider.ACS:
        yield _communication(" ".join(words(audience)))
    elif is_of_entra(evidence):
        yield _audience(" ".join(words(audience)))
    else:
        yield ok(f"the token is for {' '.join(words(audience))}")


def _communication(audience: str) -> Note:
    if audience.rstrip("/") == _ACS_AUDIENCE:
        return ok(f"the token is for Azure Communication Services ({audience})")
    return failed(f"the token is for {audience}, not for Azure Communication Services")


def _requested(evidence: Evidence, requested: str) -> Note:
    credential = evidence.credential
    if evidence.check.provider is Provider.GOOGLE:
        if _GOOGLE_SCOPE in requested.split():
            return ok(f"{requested} is requested")
        return failed(f"{requested} is requested; SMTP at Google accepts only {_GOOGLE_SCOPE}")
    right = _right_scope(credential) if isinstance(credential, CloudCredential) else ""
    hosts = [urlsplit(scope).hostname for scope in requested.split()]
    if any(host in _GRAPH_HOSTS for host in hosts):
        return failed(
            f"{requested} is requested, of Microsoft Graph; SMTP needs {right or 'a scope of Exchange Online'}"
        )
    if right and not {urlsplit(right).hostname, "outlook.office.com", "outlook.office365.com"} & set(hosts):
        return warning(f"{requested} is requested; the scope for SMTP here is {right}")
    return ok(f"{requested} is requested")


def _right_scope(credential: CloudCredential) -> str:
    facts = CLOUDS[credential.cloud]
    return facts.delegated_scope if isinstance(credential, MicrosoftUser) else facts.scope


def _audience(audience: str) -> Note:
    bare = audience.rstrip("/")
    if bare in _EXCHANGE_AUDIENCES:
        return ok(f"the token is for Exchange Online ({audience})")
    if bare == _GRAPH_ID or host_of(bare) in _GRAPH_HOSTS:
        return failed(f"the token is for Microsoft Graph ({audience}); SMTP refuses it, whatever it grants")
    return warning(f"the token is for {audience}, not for Exchange Online")


def _token(evidence: Evidence) -> Iterator[Note]:
    token = evidence.token
    if token is None:
        if stage_of_refusal(evidence) is not Stage.TOKEN:
            yield skipped("there is no token")
        return
    yield ok(f"{'a JWT' if token.form == JWT else 'an opaque token'} of {token.size} characters")
    line = auth_line_length(token.size, evidence.check.mailbox)
    if line > MAX_AUTH_LINE:
        yield failed(f"its login line of {line} octets is longer than the {MAX_AUTH_LINE} that RFC 4954 allows")
    elif line > _USUAL_AUTH_LINE:
        yield hint(f"its login line has {line} octets; some servers accept no more than {_USUAL_AUTH_LINE}")
    if str(token.claims.get(HEADER_TYPE, "")).casefold() == "at+jwt":
        yield hint("its header says typ at+jwt (RFC 9068), which Dovecot 2.3 refuses")
    yield from _lifetime(token, evidence.now)


def auth_line_length(size: int, mailbox: str) -> int:
    """Return the octets of the line that carries a token of `size` characters by XOAUTH2, with its end."""
    return 4 * ceil((len(f"user={mailbox}\x01auth=Bearer \x01\x01") + size) / 3) + 2


def _lifetime(token: TokenFacts, now: float) -> Iterator[Note]:
    if token.expires_at is None:
        yield hint("its expiry is unknown")
        return
    left = token.expires_at - now
    if left <= 0:
        yield failed(f"it expired {utc_text(token.expires_at)}")
    elif left < _SHORT_LIFE:
        yield warning(f"it expires in {left:.0f} s, although it is new")
    else:
        yield ok(f"it is valid for {left / 60:.0f} more minutes, until {utc_text(token.expires_at)}")


def _renewal(evidence: Evidence) -> Iterator[Note]:
    token, credential, state = evidence.token, evidence.credential, evidence.state
    if isinstance(credential, StaticToken):
        yield hint("something else renews the token; it is read again when its source changes, and every 5 minutes")
    elif token is not None and token.expires_at is not None:
        again = min((token.expires_at - token.acquired_at) / 2, evidence.fresh_every)
        yield ok(f"the agent requests the next token after {again / 60:.0f} minutes, while this one is still valid")
    elif token is None and stage_of_refusal(evidence) is not Stage.RENEWAL:
        yield skipped("there is no token to renew")
    if state is None:
        return
    if state.refresh_token_last_refresh_at is not None:
        yield ok(f"the refresh token was last used {utc_text(state.refresh_token_last_refresh_at)}")
    if state.refresh_token_expires_at is not None:
        margin = evidence.check.warn.refresh_token
        yield expiry_note("the refresh token", state.refresh_token_expires_at, margin, evidence.now)
    if isinstance(credential, Microsoft | ManagedIdentity):
        yield ok("an application needs no refresh token: it requests a new token")
    of_user = isinstance(credential, UserCredential)
    end = state.refresh_token_expires_at if of_user else state.client_secret_expires_at
    if credential is not None and credential.unknown_expiry and end is None:
        yield hint(credential.unknown_expiry)


# -- shared ------------------------------------------------------------------------------------------------------------


def is_of_entra(evidence: Evidence) -> bool:
    """Return whether the token comes from Microsoft Entra, or from one that speaks like it."""
    host = host_of(claim(evidence.claims, "iss"))
    return host == "sts.windows.net" or "microsoftonline" in host or isinstance(evidence.credential, CloudCredential)


def expiry_note(what: str, end: float, margin: float, now: float) -> Note:
    """Return a note on something that expires: failed if it has, a warning if that is nearer than `margin` seconds."""
    if end <= now:
        return failed(f"{what} expired {utc_text(end)}")
    said = f"{what} expires {utc_text(end)}, in {(end - now) / 86400:.0f} days"
    return warning(said) if end - now < margin else ok(said)


def findings_about(evidence: Evidence, *causes: Cause) -> tuple[Finding, ...]:
    """Return the warnings of the runs that are about one of the causes, each once."""
    reports = [report for report in (evidence.report, evidence.asked) if report]
    found = {finding.cause: finding for report in reports for finding in report.warnings if finding.cause in causes}
    return tuple(found.values())
