"""What an issuer answered, and the error that it amounts to.

Rules of this file:
- Pure. The answer as it came is held only until it is judged; what is kept of it is the `TokenError`, redacted.
- The issuer's own error (RFC 6749 5.2) comes before the HTTP status, but a demand to wait comes before both.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.oauth.claims import all_claims, expiry
from smtpcheck.secrets.redaction import redact
from smtpcheck.secrets.secret import Secret

MAX_BODY = 8 * 1024
"""How many characters of an answer without an OAuth error are kept."""

MAX_RETRY_AFTER = 86400.0

ASSUMED_SECONDS = 3600.0
"""The life of a token whose answer does not say it (RFC 6749 5.1 recommends that it does)."""

_MAX_TEXT = 4096
_BROKEN_ASSERTION = ("Invalid JWT", "Invalid grant: account not found")
_CLIENT_ERRORS = frozenset({"invalid_client", "deleted_client", "disabled_client"})
_AADSTS = re.compile(r"AADSTS(\d{4,9})")
_TRACE = re.compile(r"Trace ID: ([0-9a-fA-F-]{36})")
_CORRELATION = re.compile(r"Correlation ID: ([0-9a-fA-F-]{36})")


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer of an issuer."""

    method: str
    url: str
    status: int
    headers: Mapping[str, str]
    """Of the answer: Date, Retry-After, Content-Type; in lower case."""
    text: str = field(repr=False)
    sent: frozenset[str] = field(repr=False)
    """The values of the request that nobody may see."""
    at: float
    """When it came (Unix seconds)."""

    @property
    def endpoint(self) -> str:
        """Return the URL without query and user."""
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))

    @property
    def json(self) -> dict[str, Any] | None:
        """Return the body as a JSON object, None if it is none."""
        try:
            value = json.loads(self.text)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    @property
    def has_token(self) -> bool:
        """Return whether it is a token response (RFC 6749 5.1)."""
        body = self.json if self.status == 200 else None
        token = body.get("access_token") if body else None
        return isinstance(token, str) and bool(token)


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


def token_response(answer: Answer, *, asked_at: float) -> TokenResponse:
    """Return what a token response says, its times counted from the request (Unix seconds).

    Raises:
        ValueError: It is no token response; see `Answer.granted`.
    """
    body = answer.json
    if body is None or not answer.has_token:
        raise ValueError("no token response")
    token, seconds = body["access_token"], seconds_of(body.get("expires_in"))
    refresh_token, id_token = body.get("refresh_token"), body.get("id_token")
    # Keycloak says 0 for a refresh token without end.
    refresh_seconds = seconds_of(body.get("refresh_token_expires_in", body.get("refresh_expires_in"))) or None
    return TokenResponse(
        token=Secret(token),
        expires_at=asked_at + seconds if seconds is not None else expiry(token) or asked_at + ASSUMED_SECONDS,
        refresh_token=Secret(refresh_token) if isinstance(refresh_token, str) and refresh_token else None,
        refresh_token_expires_at=None if refresh_seconds is None else asked_at + refresh_seconds,
        account=_account(all_claims(id_token) if isinstance(id_token, str) else {}) or _account(all_claims(token)),
    )


def seconds_of(value: object) -> float | None:
    """Return a number of seconds, which some issuers send as text; None for anything else."""
    try:
        seconds = float(value) if isinstance(value, int | float | str) else None
    except ValueError:
        return None
    return seconds if seconds is not None and 0 <= seconds < 1e9 else None


def concerns_client(error: TokenError) -> bool:
    """Return whether an OAuth error is surely the client's own, whoever the token was to be for.

    Google says `invalid_grant` and "Invalid JWT ..." of a key that is gone and of a clock that is wrong
    (https://developers.google.com/identity/protocols/oauth2/service-account#jwt-error-codes).
    """
    broken = error.error == "invalid_grant" and error.description.startswith(_BROKEN_ASSERTION)
    return error.error in _CLIENT_ERRORS or broken


def token_error(answer: Answer, *, requested_scope: str) -> TokenError:
    """Return what the answer amounts to, given that it is no token response."""
    body = answer.json
    retry_after = _retry_after(answer)
    error, description = _text(answer, body, "error"), _text(answer, body, "error_description")
    return TokenError(
        kind=_kind(answer, body, error, retry_after),
        at=answer.at,
        endpoint=redact(answer.endpoint, answer.sent),
        http_status=answer.status,
        error=error,
        error_codes=_codes(body, description),
        description=description,
        suberror=_text(answer, body, "suberror"),
        correlation_id=_text(answer, body, "correlation_id") or _found(_CORRELATION, description),
        trace_id=_text(answer, body, "trace_id") or _found(_TRACE, description),
        retry_after=retry_after,
        clock_offset=_clock_offset(answer),
        body="" if error else redact(answer.text, answer.sent)[:MAX_BODY],
        requested_scope=requested_scope,
    )


def _account(claims: Mapping[str, object]) -> str:
    for name in ("email", "preferred_username", "upn", "unique_name"):
        value = claims.get(name)
        if isinstance(value, str) and "@" in value:
            return value[:320]
    return ""


def _kind(answer: Answer, body: dict[str, Any] | None, error: str, retry_after: float | None) -> TokenErrorKind:
    if answer.status == 429 or (answer.status >= 500 and retry_after is not None):
        return TokenErrorKind.THROTTLED
    if error:
        return TokenErrorKind.OAUTH
    if answer.status >= 500:
        return TokenErrorKind.HTTP
    if body is None:
        return TokenErrorKind.NOT_JSON
    return TokenErrorKind.DISCOVERY if answer.method == "GET" else TokenErrorKind.HTTP


def _text(answer: Answer, body: dict[str, Any] | None, key: str) -> str:
    value = body.get(key) if body else None
    return redact(value, answer.sent)[:_MAX_TEXT] if isinstance(value, str) else ""


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


def _date(text: str | None) -> float | None:
    try:
        date = parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
    if date is None:
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def _clock_offset(answer: Answer) -> float | None:
    date = _date(answer.headers.get("date"))
    return None if date is None else date - answer.at


def _retry_after(answer: Answer) -> float | None:
    """Return the seconds of Retry-After (RFC 9110 10.2.3): a number, or a date by the issuer's own clock."""
    text = answer.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(float(text), MAX_RETRY_AFTER)
    date = _date(text)
    if date is None:
        return None
    return min(max(date - (_date(answer.headers.get("date")) or answer.at), 0.0), MAX_RETRY_AFTER)
