"""What was seen, from a run, from a written case or from pasted text.

Rules of this file:
- Nothing is evaluated here, and nothing is trusted: a value of a wrong type counts as not seen.
- A token in free text is read for its claims; then the text is masked and bounded before it enters an observation.
- What the text says fills only what the observation does not say itself.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from smtpcheck.diagnosis.masking import mask
from smtpcheck.diagnosis.quoted import course_of, flow_of, refusal_of, speaks_of_token
from smtpcheck.diagnosis.reading import claims_of, json_objects, read
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check, Depth
from smtpcheck.model.credential import CredentialHints
from smtpcheck.model.report import Attempt, Report, TlsFacts

MAX_TEXT = 256 * 1024
"""How many characters of a pasted text or an exception are looked at."""

_MAX_FIELD = 4096
_MAX_OF_REPORT = 400
"""How many characters of each text of a run are looked at: a report takes a millisecond at most."""
_MAX_ITEMS = 64
_DIGITS = re.compile(r"(?i)(?:aadsts)?(\d{4,8})")

_FLOWS = {
    "microsoft": "client_credentials",
    "microsoft-managed-identity": "client_credentials",
    "microsoft-user": "refresh_token",
    "google-user": "refresh_token",
    "google-service-account": "service_account",
    "password": "password",
}
"""The flow of each type of credential, where the type has but one."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of one failure; everything is optional."""

    provider: str = ""
    api: str = ""
    """The mail API, by its name in the configuration; empty for SMTP."""
    answer: str = ""
    """What the mail API answered: status, its code of the error, its words."""
    stated: tuple[tuple[Cause, float], ...] = ()
    """What the answer means by the API's own table, each with its certainty, best first."""
    is_api_message: bool = False
    """Whether the request to the mail API held a message that is to be sent."""
    flow: str = ""
    """How the token was got: `client_credentials`, `authorization_code`, `refresh_token`, `password`, ..."""
    phase: str = ""
    sasl_user: str = ""
    sasl_fault: str = ""
    """What is wrong with the login string that was sent, in words."""
    scope: str = ""
    """The scope that was requested."""
    token_kind: str = ""
    """A value of `TokenErrorKind`."""
    error: str = ""
    error_codes: tuple[int, ...] = ()
    description: str = ""
    http_status: int | None = None
    endpoint: str = ""
    """The address of the issuer that was asked."""
    claims: Mapping[str, object] = field(default_factory=dict)
    token_form: str = ""
    token_expires_at: float | None = None
    refresh_token_age: float | None = None
    """Seconds since the sign-in that the refresh token comes from."""
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
    check: str = ""
    """The name of the check."""
    hints: CredentialHints | None = None
    skips_login: bool = False
    """Whether a transcript shows mail that was sent without the login that the server offers."""
    token_sign: bool = True
    """Whether anything speaks of a token; without it, a login was most likely tried with a password."""
    granted_at: float | None = None
    """When a right was last granted (Unix seconds)."""
    message_facts: Mapping[str, str] = field(default_factory=dict)
    """What the header of a message or a bounce shows (`mail_reading`), each with the sentence that shows it."""
    junk_reason: str = ""
    """Why the receiver put the message into Junk: a value of `mail.junk.Why`."""


def observe(
    check: Check, report: Report, hints: CredentialHints | None, *, ehlo: tuple[str, ...] = (), now: float
) -> Observation:
    """Return what the run `report` of `check` has seen; `ehlo` is the last EHLO's keywords, `now` Unix seconds."""
    step, error, token = report.failed_step, report.token_error, report.token
    fault = step.fault if step else None
    answer = report.failed_answer
    exchanges = step.exchanges if step else ()
    return Observation(
        provider=check.provider,
        api=check.via.api if check.via else "",
        answer=_short(str(answer)) if answer else "",
        stated=answer.causes if answer else (),
        is_api_message=check.via is not None and check.depth is Depth.SEND,
        flow=_flow(hints) if hints else "",
        phase=step.phase if step else "",
        sasl_user=check.mailbox,
        scope=(token.scope if token else "")
        or (error.requested_scope if error else "")
        or (hints.scope if hints else ""),
        token_kind=error.kind if error else "",
        error=error.error if error else "",
        error_codes=error.error_codes if error else (),
        description=_short(f"{error.description} {error.suberror} {error.body}".strip()) if error else "",
        http_status=error.http_status if error else answer.status if answer else None,
        endpoint=error.endpoint if error else "",
        claims=token.claims if token else {},
        token_form=token.form if token else "",
        token_expires_at=token.expires_at if token else None,
        refresh_token_age=error.refresh_token_age if error else None,
        ehlo=ehlo,
        replies=tuple(_short(str(exchange.reply)) for exchange in exchanges[-2:] if exchange.reply),
        challenge=_short(" ".join(exchange.challenge for exchange in exchanges if exchange.challenge)),
        fault=fault.kind if fault else "",
        detail=_short(fault.detail) if fault else "",
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
        check=check.name,
        granted_at=check.granted_at,
    )


def _flow(hints: CredentialHints) -> str:
    """Return how the token was got: a login by device code has long been a refresh token when a check runs."""
    return "refresh_token" if hints.grant == "device_code" else hints.grant or _FLOWS.get(hints.type, hints.type)


def from_case(case: object) -> Observation:
    """Return the observation of a case with the keys `provider`, `flow`, `observed`; anything else is ignored."""
    case = _mapping(case)
    seen = _mapping(case.get("observed"))
    claims, error = seen.get("token_claims"), seen.get("token_error")
    exception = _raw(seen.get("exception"))
    replies = [_raw(line) for line in _items(seen.get("smtp_reply"))]
    said = _token_error(error)
    observation = replace(
        said,
        provider=_text(case.get("provider")),
        flow=_text(case.get("flow")),
        phase=_text(seen.get("phase")),
        sasl_user=_text(seen.get("auth_identity")),
        scope=" ".join(_text(scope) for scope in _items(seen.get("requested_scope"))),
        claims=_mapping(claims) or claims_of(_raw(claims)),
        ehlo=tuple(_text(line) for item in _items(seen.get("ehlo")) for line in _raw(item).splitlines()[:_MAX_ITEMS]),
        replies=tuple(_text(reply) for reply in replies if reply),
    )
    return _filled(observation, "\n".join(part for part in (exception, *replies, _raw(error)) if part), exception)


def from_text(text: str) -> Observation:
    """Return what a pasted text says: a stack trace, a log, an SMTP transcript, a JSON error body or a bare code."""
    text = text[:MAX_TEXT]
    found: Observation | None = None
    for body in json_objects(text):
        if "observed" in body:
            return from_case(body)
        if found is None and isinstance(body.get("error"), str):
            found = _token_error(body)
    return _filled(found or Observation(), text, text)


def _filled(observation: Observation, text: str, exception: str) -> Observation:
    """Return the observation with what the text says of things that it leaves open, and the exception masked."""
    said, course = read(text), course_of(text)
    refusal = course.refusal or refusal_of(text)
    phase = observation.phase or (refusal.phase if refusal else "")
    kept = "\n".join(line for at, line in enumerate(exception.splitlines()) if at not in course.overtaken)
    replies = observation.replies or ((_text(refusal.reply),) if refusal else ())
    return replace(
        observation,
        exception=mask(kept if text == exception else exception),
        phase=phase,
        flow=observation.flow or flow_of(text),
        replies=replies,
        skips_login=course.skips_login,
        token_sign=speaks_of_token(text),
        claims=observation.claims or said.claims,
        token_form=observation.token_form or ("opaque" if said.opaque else ""),
        sasl_user=observation.sasl_user or _text(said.sasl_user),
        sasl_fault=said.sasl_fault,
        challenge=observation.challenge or _text(said.challenge),
        scope=observation.scope or _text(said.scope),
        ehlo=observation.ehlo or tuple(_text(line) for line in said.ehlo),
        error=observation.error or said.error,
        http_status=observation.http_status or said.http_status,
        host=observation.host or said.host,
        port=observation.port or said.port,
        sender=observation.sender or _text(said.sender),
    )


def _token_error(value: object) -> Observation:
    error = _mapping(value)
    codes = (_DIGITS.fullmatch(str(code)) for code in _items(error.get("error_codes")) if type(code) in {int, str})
    description = _text(error.get("error_description")) or _text(value)
    return Observation(
        error=_text(error.get("error")),
        error_codes=tuple(int(code[1]) for code in codes if code),
        description=" ".join(part for part in (description, _text(error.get("suberror"))) if part),
    )


def _items(value: object) -> Iterable[object]:
    return value[:_MAX_ITEMS] if isinstance(value, list) else (value,) if isinstance(value, str | int) else ()


def _mapping(value: object) -> dict[str, object]:
    return {key: item for key, item in value.items() if isinstance(key, str)} if isinstance(value, Mapping) else {}


def _raw(value: object) -> str:
    return value[:MAX_TEXT] if isinstance(value, str) else ""


def _text(value: object) -> str:
    return mask(value[:_MAX_FIELD]) if isinstance(value, str) else ""


def _short(value: str) -> str:
    return mask(value[:_MAX_OF_REPORT])
