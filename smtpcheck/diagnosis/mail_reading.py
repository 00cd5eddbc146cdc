"""A bounce, or the header of a message, as an observation: what became of a mail, and what its receiver found.

Rules of this file:
- Nothing is evaluated here: what the receiver says becomes facts, each with the sentence that shows it, and text.
- Only what the receiver itself wrote becomes a fact; what anybody can have written is one of its own, and weaker.
- The text of an observation has what a bounce or a header says in its fields, and nothing of the original message.
"""

import re
from collections.abc import Iterator, Sequence
from textwrap import dedent

from smtpcheck.diagnosis.masking import mask
from smtpcheck.diagnosis.observation import Observation
from smtpcheck.mail.authentication_results import (
    Authentication,
    authserv_ids,
    best,
    read_authentication,
    receiver_id,
)
from smtpcheck.mail.bounce import Action, Bounce, read_bounce
from smtpcheck.mail.headers import Field, hops, legs
from smtpcheck.mail.junk import Verdict, Why, verdicts
from smtpcheck.mail.mime import header_of
from smtpcheck.mail.notice import without_original
from smtpcheck.model.check import Phase

BOUNCE_FACTS = frozenset({"bounced", "delivery_delayed", "delivery_succeeded"})
"""The names of the facts that a bounce shows."""
HEADER_FACTS = frozenset(
    {
        *("rated_junk", "moved_by_rule", "sender_blocked", "rated_junk_claimed", "rated_outbound_spam"),
        *("sender_unauthenticated", "sender_unauthenticated_claimed", "slow_hop"),
    }
)
"""The names of the facts that a message's header shows."""

_PHASES = {
    "MAIL": Phase.MAIL,
    "RCPT": Phase.RCPT,
    "DATA": Phase.DATA,
    "BDAT": Phase.DATA,
    "AUTH": Phase.AUTH,
    "STARTTLS": Phase.STARTTLS,
}
_BOUNCE_FACTS = {
    Action.FAILED: "bounced",
    Action.DELAYED: "delivery_delayed",
    Action.DELIVERED: "delivery_succeeded",
    Action.RELAYED: "delivery_succeeded",
    Action.EXPANDED: "delivery_succeeded",
}
_MAX_TEXT = 2000
_SLOW = 300.0
_FIRST_FIELD = re.compile(
    r"(?im)^[ \t]{0,8}(?=(?:Received|Received-SPF|(?:ARC-)?Authentication-Results|Delivered-To|Return-Path|X-Received"
    r"|DKIM-Signature|X-Forefront-Antispam-Report|X-Microsoft-Antispam(?:-Mailbox-Delivery)?|X-MS-Exchange-[\w-]{3,60}"
    r"|X-Spam-Status|X-Spamd-Result|X-Rspamd-Action|X-Proofpoint-Spam-Details|X-Barracuda-Spam-Status)[ \t]{0,4}:)"
)
_TELLING = frozenset(
    {
        *("received", "received-spf", "authentication-results", "x-forefront-antispam-report", "x-microsoft-antispam"),
        *("x-microsoft-antispam-mailbox-delivery", "x-spam-status", "x-spamd-result", "x-rspamd-action"),
        *("x-proofpoint-spam-details", "x-barracuda-spam-status"),
    }
)
_REPLY = re.compile(r"(?<![\w.:])[45][0-5]\d[ -][45]\.\d{1,3}\.\d")
_EXCHANGE_ONLINE = re.compile(
    r"(?i)\.(?:(?:prod|protection|mail)\.)?(?:outlook\.com|office365\.us|partner\.outlook\.cn|exchangelabs\.com|prod\.outlook\.com)$"
)
_INBOUND = re.compile(r"(?i)\bDIR:\s?IN[BT]\b")
_ADDRESS = re.compile(r"[\w.+-]{1,64}@[\w.-]{1,190}\w")
_FAILING = frozenset({"fail", "softfail", "none", "neutral", "permerror", "policy"})
_JUNK_FACTS = {
    Why.INBOX_RULE: "moved_by_rule",
    Why.BLOCKED_BY_USER: "sender_blocked",
    Why.BLOCKED_BY_POLICY: "sender_blocked",
}


def read_mail(text: str) -> Observation | None:
    """Return what a pasted bounce or a pasted header says; None for any other text."""
    if bounce := read_bounce(text):
        return of_bounce(bounce)
    fields = _pasted_header(text)
    return of_header(fields) if fields else None


def of_bounce(bounce: Bounce) -> Observation:
    """Return what a bounce says of the mail's fate."""
    has_code = bounce.code is not None
    replies = (bounce.diagnostic, bounce.wrapped) if has_code else ()
    return Observation(
        phase=_PHASES.get(bounce.command, Phase.DELIVERY),
        replies=tuple(mask(reply[:_MAX_TEXT]) for reply in replies if reply),
        exception=mask("\n".join(_fields_of(bounce, has_code=has_code))),
        message_facts={_BOUNCE_FACTS[bounce.action]: mask(_sentence(bounce))},
        sender=_address(bounce.original, "From"),
        recipient=bounce.recipient,
    )


def of_header(fields: Sequence[Field]) -> Observation:
    """Return what the header of a delivered message says: who was authenticated, why it is in Junk, where it waited."""
    exchange_online, authserv_id = _receiver(fields)
    authentication = read_authentication(fields, authserv_id)
    found = verdicts(fields, authserv_id=authserv_id, exchange_online=exchange_online)
    facts = dict((*_verdict_facts(found), *_authentication_facts(fields, authentication), *_route_facts(fields)))
    said = "; ".join(f"{result.method}={result.result} {result.detail}".strip() for result in authentication.results)
    text = [f"Authentication-Results: {authserv_id or 'the receiver'}; {said}"] if said else []
    text += [str(verdict) for verdict in found if verdict.believed]
    return Observation(
        exception=mask("\n".join(text or ["Received: a header without any verdict of the receiver"])[:_MAX_TEXT]),
        message_facts={name: mask(sentence) for name, sentence in facts.items()},
        sender=_address(fields, "From"),
        recipient=_address(fields, "To"),
        junk_reason=next((str(verdict.why) for verdict in found if verdict.junk), ""),
    )


def _sentence(bounce: Bounce) -> str:
    reporter = bounce.reporting_mta or "a mail server"
    return f"{reporter} reports that the message to {bounce.recipient or 'a recipient'} is {bounce.action}"


def _fields_of(bounce: Bounce, *, has_code: bool) -> Iterator[str]:
    """Yield a bounce as the fields that it would have by RFC 3464."""
    yield f"Delivery status notification ({'delay' if bounce.action is Action.DELAYED else bounce.action})"
    if bounce.reporting_mta:
        yield f"Reporting-MTA: dns; {bounce.reporting_mta}"
    if bounce.recipient:
        yield f"Final-Recipient: rfc822; {bounce.recipient}"
    yield f"Action: {bounce.action}"
    if bounce.enhanced and not bounce.enhanced.endswith(".0.0"):
        yield f"Status: {bounce.enhanced}"
    if bounce.remote_mta:
        yield f"Remote-MTA: dns; {bounce.remote_mta}"
    if bounce.diagnostic and not has_code:
        yield f"Diagnostic-Code: {bounce.diagnostic[:_MAX_TEXT]}"
    elif not bounce.diagnostic:
        yield " ".join(without_original(bounce.text).split())[:_MAX_TEXT]


def _pasted_header(text: str) -> tuple[Field, ...]:
    """Return the header that begins somewhere in the text; none if a reply comes before it, which says more."""
    begin = _FIRST_FIELD.search(text)
    if begin is None or _REPLY.search(text, 0, begin.start()):
        return ()
    fields = header_of(dedent(text[begin.start() :]))
    return fields if any(name.lower() in _TELLING for name, _ in fields) else ()


def _receiver(fields: Sequence[Field]) -> tuple[bool, str | None]:
    """Return whether Exchange Online serves the mailbox, and the name of the server whose results are believed."""
    servers = [hop.by for hop in reversed(hops(tuple(fields))) if hop.by]
    ids = authserv_ids(fields)
    if _EXCHANGE_ONLINE.search(servers[0]) if servers else _is_inbound_stamp(fields):
        return True, ""
    if not ids or not ids[0]:
        return False, "" if ids and not servers else None
    return False, receiver_id(fields)


def _is_inbound_stamp(fields: Sequence[Field]) -> bool:
    values = {name.lower(): value for name, value in reversed(fields)}
    return (
        _INBOUND.search(values.get("x-forefront-antispam-report", "")) is not None
        or "x-microsoft-antispam-mailbox-delivery" in values
        or any(name.startswith("x-ms-exchange-organization-") for name in values)
    )


def _verdict_facts(found: Sequence[Verdict]) -> Iterator[tuple[str, str]]:
    for verdict in reversed(found):
        if verdict.why is Why.OUTBOUND:
            yield "rated_outbound_spam", str(verdict)
        elif verdict.junk and not verdict.believed:
            yield "rated_junk_claimed", f"the message carries a verdict that anybody can have written: {verdict}"
        elif verdict.junk:
            yield _JUNK_FACTS.get(verdict.why, "rated_junk"), str(verdict)


def _authentication_facts(fields: Sequence[Field], found: Authentication) -> Iterator[tuple[str, str]]:
    if found.results:
        if not _is_authenticated(found):
            said = " ".join(f"{method}={result}" for method, result in best(found.pairs))
            composite = f" compauth={found.result('compauth')}" if found.result("compauth") else ""
            yield "sender_unauthenticated", f"{found.authserv_id or 'the receiver'} reports {said}{composite}"
        return
    claimed = next((read_authentication(fields, name) for name in authserv_ids(fields)), None)
    if claimed and claimed.results and not _is_authenticated(claimed):
        said = " ".join(f"{method}={result}" for method, result in best(claimed.pairs))
        yield "sender_unauthenticated_claimed", f"a field of {claimed.authserv_id or 'no named server'} says {said}"
    spf = next((value for name, value in fields if name.lower() == "received-spf"), "")
    word = (spf.split() or [""])[0].lower()
    if word in {"fail", "softfail", "none", "permerror"} and not claimed:
        yield "sender_unauthenticated_claimed", f"Received-SPF says {word}"


def _is_authenticated(found: Authentication) -> bool:
    """Return whether SPF or DKIM speak for the sender's domain, as far as the receiver says."""
    dmarc, composite = found.result("dmarc"), found.result("compauth")
    if dmarc == "pass" or composite in {"pass", "softpass"}:
        return True
    if dmarc in {"fail", "permerror"} or composite == "fail":
        return False
    spf, dkim = found.result("spf"), found.result("dkim")
    return not (spf in _FAILING and dkim in _FAILING | {""}) and not (dkim in _FAILING - {"none"} and spf != "pass")


def _route_facts(fields: Sequence[Field]) -> Iterator[tuple[str, str]]:
    """Yield the hop where the message waited longest, if that was long."""
    way = hops(tuple(fields))
    slow = [(leg.seconds, before, leg) for before, leg in zip(way, legs(way, None)[1:], strict=False) if leg.seconds]
    seconds, before, leg = max(slow, key=lambda item: item[0], default=(0.0, None, None))
    if before and leg and seconds >= _SLOW:
        source, target = before.by or "one server", leg.to or "the next"
        yield "slow_hop", f"{round(seconds / 60)} minutes passed between {source} and {target}"


def _address(fields: Sequence[Field], name: str) -> str:
    value = next((value for key, value in fields if key.lower() == name.lower()), "")
    found = _ADDRESS.search(value.rpartition("<")[2] or value)
    return found[0] if found else ""
