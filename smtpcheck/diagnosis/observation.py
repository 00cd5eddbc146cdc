"""What was seen, from a run, from a written case or from pasted text.

Rules of this file:
- Nothing is judged here, and nothing is trusted: a value of a wrong type counts as not seen.
- Free text is masked and bounded before it enters an observation.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from smtpcheck.diagnosis.masking import mask
from smtpcheck.model import Attempt, Check, CredentialHints, Report, TlsFacts

MAX_TEXT = 256 * 1024
"""How many characters of a pasted text are looked at."""

_MAX_FIELD = 4096
_ERROR = re.compile(r"[\"']?\berror[\"']?[ ]?[:=][ ]?[\"']([a-z_]{3,40})[\"']")


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of one failure; everything is optional."""

    provider: str = ""
    flow: str = ""
    """How the token was got: `client_credentials`, `authorization_code`, `refresh_token`, `password`, ..."""
    phase: str = ""
    sasl_user: str = ""
    scope: str = ""
    """The scope that was requested."""
    token_kind: str = ""
    """A value of `TokenErrorKind`."""
    error: str = ""
    error_codes: tuple[int, ...] = ()
    description: str = ""
    http_status: int | None = None
    claims: Mapping[str, object] = field(default_factory=dict)
    token_form: str = ""
    token_expires_at: float | None = None
    ehlo: tuple[str, ...] = ()
    replies: tuple[str, ...] = ()
    """The replies of the failed phase, the last one last."""
    challenge: str = ""
    fault: str = ""
    """A value of `FaultKind`."""
    detail: str = ""
    attempts: tuple[Attempt, ...] = ()
    host: str = ""
    port: int | None = None
    security: str = ""
    mechanism: str = ""
    auth_line_length: int = 0
    tls: TlsFacts | None = None
    exception: str = ""
    clock_offset: float | None = None
    now: float | None = None
    sender: str = ""
    recipient: str = ""
    hints: CredentialHints | None = None
    granted_at: float | None = None
    """When a right was last granted (Unix seconds)."""


def observe(
    check: Check, report: Report, hints: CredentialHints | None, *, ehlo: tuple[str, ...] = (), now: float
) -> Observation:
    """Return what the run `report` of `check` has seen; `ehlo` is the last EHLO's keywords, `now` Unix seconds."""
    step, error, token = report.failed_step, report.token_error, report.token
    fault = step.fault if step else None
    exchanges = step.exchanges if step else ()
    return Observation(
        provider=check.provider,
        flow=_flow(hints),
        phase=step.phase if step else "",
        sasl_user=check.mailbox,
        scope=(token.scope if token else "")
        or (error.requested_scope if error else "")
        or (hints.scope if hints else ""),
        token_kind=error.kind if error else "",
        error=error.error if error else "",
        error_codes=error.error_codes if error else (),
        description=_text(f"{error.description} {error.suberror} {error.body}") if error else "",
        http_status=error.http_status if error else None,
        claims=token.claims if token else {},
        token_form=token.form if token else "",
        token_expires_at=token.expires_at if token else None,
        ehlo=ehlo,
        replies=tuple(_text(str(exchange.reply)) for exchange in exchanges[-4:] if exchange.reply),
        challenge=_text(" ".join(exchange.challenge for exchange in exchanges)),
        fault=fault.kind if fault else "",
        detail=_text(fault.detail) if fault else "",
        attempts=report.attempts,
        host=check.server.host,
        port=check.server.port,
        security=check.server.security,
        mechanism=report.mechanism,
        auth_line_length=report.auth_line_length,
        tls=report.tls,
        clock_offset=error.clock_offset if error else None,
        now=now,
        sender=check.sender,
        recipient=check.recipient or "",
        hints=hints,
    )


def from_case(case: object) -> Observation:
    """Return the observation of a case with the keys `provider`, `flow`, `observed`; anything else is ignored."""
    case = _mapping(case)
    seen = _mapping(case.get("observed"))
    error = _mapping(seen.get("token_error"))
    codes = error.get("error_codes")
    ehlo = seen.get("ehlo")
    replies = seen.get("smtp_reply")
    exception = _text(seen.get("exception"))
    return Observation(
        provider=_text(case.get("provider")),
        flow=_text(case.get("flow")),
        phase=_text(seen.get("phase")),
        sasl_user=_text(seen.get("auth_identity")),
        scope=_text(seen.get("requested_scope")),
        error=_text(error.get("error")),
        error_codes=tuple(code for code in codes if type(code) is int) if isinstance(codes, list) else (),
        description=_text(error.get("error_description")),
        claims=_mapping(seen.get("token_claims")),
        ehlo=tuple(_text(line) for line in ehlo) if isinstance(ehlo, list) else tuple(_text(ehlo).splitlines()),
        replies=tuple(_text(line) for line in replies) if isinstance(replies, list) else (_text(replies),),
        exception=exception,
    )


def from_text(text: str) -> Observation:
    """Return what a pasted text says: a stack trace, a log, an SMTP transcript, a JSON error body or a bare code."""
    text = mask(text[:MAX_TEXT])
    try:
        body = _mapping(json.loads(text))
    except (ValueError, RecursionError):
        body = {}
    if "observed" in body:
        return from_case(body)
    if "error" in body:
        return from_case({"observed": {"token_error": body}})
    found = _ERROR.search(text)
    return Observation(exception=text, error=found[1] if found else "")


def _flow(hints: CredentialHints | None) -> str:
    return (
        {"microsoft": "client_credentials", "google-service-account": "service_account"}.get(hints.type, hints.type)
        if hints
        else ""
    )


def _mapping(value: object) -> dict[str, object]:
    return {key: item for key, item in value.items() if isinstance(key, str)} if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return mask(value[:_MAX_FIELD]) if isinstance(value, str) else ""
