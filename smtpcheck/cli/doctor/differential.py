"""Tests that tell the causes of one and the same refusal apart, and the login with a deliberately wrong token.

Rules of this file:
- Only an ambiguous refusal is looked into further: each test is one more login, and repeated refusals are penalized.
- Nothing is tried that the configuration does not name, but the token's own user; a message goes only where `--send`
  and the other check's own depth allow it.
- What one login more shows only excludes causes; it never proves one.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from smtpcheck.check.kit import Kit
from smtpcheck.check.probe import probe
from smtpcheck.cli.doctor.connection_stages import refused_step
from smtpcheck.cli.doctor.evidence import Evidence, claim
from smtpcheck.cli.doctor.result import Note, hint, ok, skipped, warning
from smtpcheck.config import Settings
from smtpcheck.loopback.finder import SearchRequest, Target
from smtpcheck.loopback.plan import FindVia
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check, Depth, Phase
from smtpcheck.model.report import Report
from smtpcheck.oauth.claims import HEADER_TYPE
from smtpcheck.secrets.secret import Secret
from smtpcheck.smtp.connection import Conversation, converse

_CERTAIN = 0.9
"""From which certainty on a refusal is not ambiguous."""

_OF_THE_CREDENTIAL = (
    *(Cause.WRONG_TOKEN_AUDIENCE, Cause.MISSING_SMTP_PERMISSION, Cause.SERVICE_PRINCIPAL_NOT_REGISTERED),
    *(Cause.WRONG_OBJECT_ID_SERVICE_PRINCIPAL, Cause.SMTP_AUTH_DISABLED_TENANT, Cause.TOKEN_EXPIRED),
    *(Cause.TOKEN_CORRUPT_OR_WRONG_KIND, Cause.MALFORMED_SASL, Cause.SASL_LINE_TOO_LONG, Cause.CONSENT_MISSING),
    *(Cause.MECHANISM_NOT_OFFERED, Cause.SECURITY_DEFAULTS, Cause.WRONG_SCOPE_GOOGLE),
)
"""What would stop every mailbox of the credential."""
_OF_THE_TOKEN = (
    *(Cause.WRONG_TOKEN_AUDIENCE, Cause.TOKEN_EXPIRED, Cause.TOKEN_CORRUPT_OR_WRONG_KIND),
    Cause.MAILBOX_MISSING_OR_UNLICENSED,
)
"""What would stop the same token at IMAP as well."""


@dataclass(frozen=True, slots=True)
class Differential:
    """What the further tests showed."""

    notes: tuple[Note, ...] = ()
    excluded: tuple[Cause, ...] = ()


async def run_differential(evidence: Evidence, settings: Settings, kit: Kit) -> Differential:
    """Look into a refusal at the login or after the message; without one, or where it is certain, do nothing."""
    report, refused = evidence.report, refused_step(evidence.report)
    if report is None or refused is None or refused.phase not in {Phase.AUTH, Phase.DATA}:
        return Differential()
    if evidence.check.expect is not None:
        return Differential((skipped("further logins are not tried: the check expects a refusal"),))
    own = _own_user(evidence)
    notes = [_identity(evidence, own)]
    if report.findings and report.findings[0].certainty >= _CERTAIN:
        return Differential((*notes, skipped("further logins are not needed: the reply names its cause")))
    excluded: list[Cause] = []
    if refused.phase is Phase.AUTH and own and own.casefold() != evidence.check.mailbox.casefold():
        note, ruled_out = _own_user_note(own, evidence.check, await _login(evidence.check, own, kit))
        notes.append(note)
        excluded += ruled_out
    other = _other(evidence.check, settings, refused.phase)
    if other is None:
        notes.append(skipped(_no_other(refused.phase)))
    else:
        depth = Depth.AUTH if refused.phase is Phase.AUTH else Depth.SEND
        note, ruled_out = _other_mailbox_note(
            other, evidence.check, refused.phase, await probe(replace(other, depth=depth), kit)
        )
        notes.append(note)
        excluded += ruled_out
    note, ruled_out = await _by_imap(evidence.check, settings, kit)
    notes.append(note)
    excluded += ruled_out
    return Differential(tuple(notes), tuple(dict.fromkeys(excluded)))


async def _by_imap(check: Check, settings: Settings, kit: Kit) -> tuple[Note, tuple[Cause, ...]]:
    """Log in to the check's mailbox by IMAP with the same token, where the loopback says how; nothing is touched."""
    plan = settings.loopbacks.get(check.name)
    find = plan.find if plan else None
    if find is None or find.via is not FindVia.IMAP or find.credential != check.credential or find.scope:
        return skipped("IMAP with the same token: the check has no loopback that is found by it"), ()
    request = SearchRequest(
        (Target(("<nothing@smtpcheck.invalid>",), "", kit.wall()),), is_ours=lambda _: False, delete=False
    )
    search = await kit.finders.search(
        replace(find, mailbox=check.mailbox), request, timeout=check.timeout, token_timeout=check.token_timeout
    )
    if search.error is None:
        return ok(
            f"IMAP accepts the same token for {check.mailbox}: SMTP AUTH or its permission is what refuses"
        ), _OF_THE_TOKEN
    return hint(f"IMAP refuses {check.mailbox} too, in step {search.error.step}: {search.error.detail}"), ()


async def _login(check: Check, user: str, kit: Kit) -> Report:
    return await probe(replace(check, mailbox=user, sender=user, depth=Depth.AUTH), kit)


def _own_user(evidence: Evidence) -> str:
    name = claim(evidence.claims, "upn", "preferred_username", "unique_name", "email")
    return name if "@" in name and name.isprintable() else ""


def _identity(evidence: Evidence, own: str) -> Note:
    mailbox, claims = evidence.check.mailbox, evidence.claims
    if own:
        if own.casefold() == mailbox.casefold():
            return ok(f"the token belongs to {own}, the user that logs in")
        return warning(f"the token belongs to {own}, and {mailbox} is to log in")
    if oid := claim(claims, "oid"):
        return hint(f"the token belongs to an application (object id {oid}), which needs a permission on {mailbox}")
    return skipped("the token does not say whom it belongs to")


def _own_user_note(own: str, check: Check, report: Report) -> tuple[Note, tuple[Cause, ...]]:
    if _logged_in(report):
        said = f"the login as {own} with the same token is accepted: {check.mailbox} is an alias or a shared mailbox"
        return ok(said), _OF_THE_CREDENTIAL
    return hint(f"the login as {own}, the token's own user, is refused too"), (Cause.SHARED_MAILBOX_AS_AUTH_IDENTITY,)


def _other(check: Check, settings: Settings, phase: Phase) -> Check | None:
    """Return another mailbox's check of the same credential and server that may go as far as the refusal."""
    least = Depth.AUTH if phase is Phase.AUTH else Depth.SEND
    return next(
        (
            other
            for other in settings.checks
            if other.credential == check.credential
            and other.server == check.server
            and other.mailbox.casefold() != check.mailbox.casefold()
            and other.depth >= least
            and other.expect is None
        ),
        None,
    )


def _no_other(phase: Phase) -> str:
    if phase is Phase.AUTH:
        return "another mailbox: the configuration names none with this credential and server"
    return "another mailbox: the configuration names none with this credential that may send"


def _other_mailbox_note(other: Check, check: Check, refused: Phase, report: Report) -> tuple[Note, tuple[Cause, ...]]:
    if report.failed_step is None:
        what = "a message from" if refused is Phase.DATA else "the login of"
        said = f"{what} {other.mailbox} with the same credential is accepted: the fault is with {check.mailbox} alone"
        return ok(said), _OF_THE_CREDENTIAL
    reply = report.failed_reply
    said = f"{other.mailbox}, another mailbox of the credential, is refused too{f': {reply}' if reply else ''}"
    return hint(f"{said}; check first what they share"), ()


def _logged_in(report: Report) -> bool:
    return any(step.phase is Phase.AUTH and step.fault is None for step in report.steps)


# -- the wrong token --------------------------------------------------------------------------------------------------


async def refusal(check: Check, claims: Mapping[str, object], kit: Kit) -> Conversation:
    """Log in with a token that nobody has signed, and return what the server said; one login more that is refused."""
    async with kit.connections.slot(check.mailbox):
        return await converse(check, Depth.AUTH, _unsigned(claims), origin=kit.monotonic(), network=kit.network)


def _unsigned(claims: Mapping[str, object]) -> Secret:
    """Return a JWT (RFC 7519) with the claims of the right token and a signature that is none."""
    header = {"typ": "JWT", "alg": "RS256", "kid": "smtpcheck-deliberately-wrong"}
    payload = {name: value for name, value in claims.items() if name != HEADER_TYPE}
    parts = (
        json.dumps(header).encode(),
        json.dumps(payload).encode(),
        b"smtpcheck: deliberately wrong ".ljust(256, b"-"),
    )
    return Secret(".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts))
