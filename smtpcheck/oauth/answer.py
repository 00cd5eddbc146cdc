"""What an issuer answered: a token, or the error that the answer amounts to.

Rules of this file:
- Pure. The answer as it came is held only until it is evaluated; what is kept of it is the `TokenError`, redacted.
- The issuer's own error (RFC 6749 5.2) comes before the HTTP status, but a demand to wait comes before both.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from smtpcheck.http_client.exchange import Response
from smtpcheck.http_client.parsing import parse_seconds
from smtpcheck.model.printable import printable
from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.oauth.claims import all_claims, expiry
from smtpcheck.secrets.secret import Secret

MAX_BODY = 8 * 1024
"""How many characters of an answer without an OAuth error are kept."""

ASSUMED_SECONDS = 3600.0
"""The life of a token whose answer does not say it (RFC 6749 5.1 recommends that it does)."""

_MAX_TEXT = 4096
_VSCHAR = re.compile(r"[ -~]+")
"""What tokens consist of (RFC 6749 A.12, A.17): anything else could not be sent on."""
_CLOCK_TOLERANCE = 2.0
_BROKEN_ASSERTION = ("Invalid JWT", "Invalid grant: account not found")
_CLIENT_ERRORS = frozenset({"invalid_client", "deleted_client", "disabled_client"})
_AADSTS = re.compile(r"AADSTS(\d{4,9})")
_TRACE = re.compile(r"Trace ID: ([0-9a-fA-F-]{36})")
_CORRELATION = re.compile(r"Correlation ID: ([0-9a-fA-F-]{36})")


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """What a token response says (RFC 6749 5.1)."""

    token: Secret
    expires_at: float
    """Unix seconds."""
    refresh_token: Secret | None
    refresh_token_expires_at: float | None
    """Where the issuer states it, as some do by `refresh_token_expires_in` or `refresh_expires_in`."""
    account: str
    """Whose mailbox it is by the ID token, which came by TLS from the issuer itself (OpenID Connect Core 3.1.3.7)."""


def has_token(answer: Response) -> bool:
    """Return whether it is a token response (RFC 6749 5.1)."""
    body = answer.json if answer.status == 200 else None
    return _token(body, "access_token") is not None


def token_response(answer: Response, *, asked_at: float, seconds: float | None = None) -> TokenResponse:
    """Return what a token response says, its times counted from the request (Unix seconds).

    `seconds` is the token's lifetime where the answer states it in a form of its own.

    Raises:
        ValueError: It is not a token response; see `has_token`.
    """
    body = answer.json
    if body is None or not has_token(answer):
        raise ValueError("no token response")
    token, id_token = body["access_token"], body.get("id_token")
    # Keycloak says 0 for a refresh token that does not expire.
    refresh_seconds = parse_seconds(body.get("refresh_token_expires_in", body.get("refresh_expires_in"))) or None
    return TokenResponse(
        token=Secret(token),
        expires_at=_expiry(answer, token, asked_at, seconds),
        refresh_token=_token(body, "refresh_token"),
        refresh_token_expires_at=None if refresh_seconds is None else asked_at + refresh_seconds,
        account=_account(all_claims(id_token) if isinstance(id_token, str) else {}) or _account(all_claims(token)),
    )


def _token(body: Mapping[str, object] | None, key: str) -> Secret | None:
    value = body.get(key) if body else None
    return Secret(value) if isinstance(value, str) and _VSCHAR.fullmatch(value) else None


def _expiry(answer: Response, token: str, asked_at: float, seconds: float | None) -> float:
    """Return when the token expires by our clock: the earlier of what the answer and the token itself say."""
    if seconds is None:
        seconds = parse_seconds((answer.json or {}).get("expires_in"))
    stated = None if seconds is None else asked_at + seconds
    own, offset = expiry(token), answer.clock_offset or 0.0
    if own is not None and abs(offset) > _CLOCK_TOLERANCE:
        own -= offset
    return min((each for each in (stated, own) if each is not None), default=asked_at + ASSUMED_SECONDS)


def concerns_client(error: TokenError) -> bool:
    """Return whether an OAuth error is surely the client's own, no matter whom the token was to be for.

    Google says `invalid_grant` and "Invalid JWT ..." of a key that is gone and of a clock that is wrong
    (https://developers.google.com/identity/protocols/oauth2/service-account#jwt-error-codes).
    """
    broken = error.error == "invalid_grant" and error.description.startswith(_BROKEN_ASSERTION)
    return error.error in _CLIENT_ERRORS or broken


def token_error(answer: Response, *, requested_scope: str) -> TokenError:
    """Return what the answer amounts to, given that it is not a token response."""
    body = answer.json
    error, description = _text(answer, body, "error"), _text(answer, body, "error_description")
    unusable = answer.status == 200 and bool((body or {}).get("access_token"))
    if unusable:
        description = "the access token is not text of the characters that RFC 6749 A.12 allows"
    return TokenError(
        kind=_kind(answer, body, error),
        at=answer.at,
        endpoint=answer.endpoint,
        http_status=answer.status,
        error=error,
        error_codes=_codes(body, description),
        description=description,
        suberror=_text(answer, body, "suberror"),
        correlation_id=_text(answer, body, "correlation_id") or _found(_CORRELATION, description),
        trace_id=_text(answer, body, "trace_id") or _found(_TRACE, description),
        retry_after=answer.retry_after,
        clock_offset=answer.clock_offset,
        body="" if error or unusable else answer.shown(answer.text, MAX_BODY),
        requested_scope=requested_scope,
    )


def _account(claims: Mapping[str, object]) -> str:
    for name in ("email", "preferred_username", "upn", "unique_name"):
        value = claims.get(name)
        if isinstance(value, str) and "@" in value:
            return printable(value, limit=320)
    return ""


def _kind(answer: Response, body: dict[str, Any] | None, error: str) -> TokenErrorKind:
    if answer.status == 429 or (answer.status >= 500 and answer.retry_after is not None):
        return TokenErrorKind.THROTTLED
    if error:
        return TokenErrorKind.OAUTH
    if answer.status >= 500:
        return TokenErrorKind.HTTP
    if body is None:
        return TokenErrorKind.NOT_JSON
    return TokenErrorKind.DISCOVERY if answer.method == "GET" else TokenErrorKind.HTTP


def _text(answer: Response, body: dict[str, Any] | None, key: str) -> str:
    value = body.get(key) if body else None
    return answer.shown(value, _MAX_TEXT) if isinstance(value, str) else ""


def _codes(body: dict[str, Any] | None, description: str) -> tuple[int, ...]:
    """Return the issuer's numbers, the specific one first; Entra repeats them in the description."""
    listed = body.get("error_codes") if body else None
    if isinstance(listed, list):
        codes = tuple(code for code in listed[:8] if isinstance(code, int) and 0 < code < 10**9)
        if codes:
            return codes
    return tuple(dict.fromkeys(int(code) for code in _AADSTS.findall(description)[:8]))


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1] if match else ""
