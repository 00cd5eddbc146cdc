"""A bounce: what a mail server reports of a message that it could not deliver, or not yet.

Rules of this file:
- Pure, and a bounce is untrusted input: anybody can write one. Nothing in it raises, and what is taken is bounded.
  Whether it is about a message of ours is for the caller to decide, by `message_ids`, `original` and `text`.
- A bounce is what a mail server wrote. A message of a person that forwards, quotes or discusses one is none, and
  neither is an automatic answer.
- The parts for programs (RFC 3464) decide; the text for people fills in what they leave open, which may be everything.
- A generic status (x.0.0) yields to what the reply says; a server that wraps another one's reply is heard with both.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice

from smtpcheck.mail.headers import Field, decoded
from smtpcheck.mail.mime import ATTACHED, MAX_MESSAGE, MESSAGE_FIELDS, Part, header_of, parts_of
from smtpcheck.mail.notice import Notice, action_of_text, is_notice, read_notice, reply_in, without_original
from smtpcheck.mail.reply_text import enhanced_of, reply_code_of, split_wrapped, unfolded

_STATUS_TYPES = frozenset({"message/delivery-status", "message/global-delivery-status"})
_STATUS_FIELDS = frozenset({"reporting-mta", "final-recipient", "original-recipient", "action"})
_DAEMON = re.compile(
    r"mailer-?daemon|\bpostmaster\b|mail delivery (?:sub)?system|microsoft outlook|microsoftexchange329e71"
    r"|\bmdaemon\b|delivery status notification|system administrator|mail administrator",
    re.IGNORECASE,
)
_ANSWER = re.compile(r"\s{0,4}(?:re|fwd?|aw|wg|tr|rv|sv|vs)\s{0,2}:", re.IGNORECASE)
_LIST_FIELDS = frozenset({"list-id", "list-unsubscribe", "list-post"})
"""A list sends newsletters, and passes on the bounces that reach it."""
_MESSAGE_ID = re.compile(r"<([^<>\s@]{1,300}@[^<>\s@]{1,300})>")
_MESSAGE_ID_LINE = re.compile(r"(?im)^(?:x-(?:gmail-)?original-)?message-id:\s{0,8}<([^<>\s@]{1,300}@[^<>\s@]{1,300})>")
_ADDRESS = re.compile(r"[^\s<>;,()\"]{1,200}@[^\s<>;,()\"]{1,200}")
_TYPED = re.compile(r"[A-Za-z0-9-]{1,40}\s{0,40};\s{0,40}")
_MAX_VALUE = 2000
_MAX_IDS = 20
_MAX_BLOCKS = 50


class Action(StrEnum):
    """What became of the message at a recipient (RFC 3464 2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


_WORST_FIRST = tuple(Action)


@dataclass(frozen=True, slots=True)
class Bounce:
    """What a bounce says; of several recipients it is the one that fares worst. Empty where it says nothing."""

    action: Action
    recipient: str = ""
    code: int | None = None
    """The reply code, for instance 550."""
    enhanced: str = ""
    """The enhanced code (RFC 3463), for instance 5.1.10."""
    diagnostic: str = ""
    """The reply, or the reason in words; on one line."""
    wrapped: str = ""
    """The reply of another server that `diagnostic` quotes."""
    command: str = ""
    """The command that was refused, where it is named: `MAIL`, `RCPT`, `DATA`, ..."""
    remote_mta: str = ""
    """The server that refused, or that could not be reached."""
    reporting_mta: str = ""
    message_ids: tuple[str, ...] = ()
    """The Message-IDs that the original may have, without `<>`."""
    original: tuple[Field, ...] = ()
    """The header of the message that was returned."""
    text: str = ""
    """The text for people, decoded."""
    fields: tuple[Field, ...] = ()
    """The header of the bounce itself."""
    reported_id: str = ""
    """The Message-ID of the original in the part for programs, without `<>`."""


@dataclass(frozen=True, slots=True)
class _Status:
    """A `message/delivery-status`."""

    message: tuple[Field, ...]
    recipient: tuple[Field, ...]
    """The fields of the recipient that fares worst."""


def read_bounce(message: bytes | str) -> Bounce | None:
    """Return what a bounce says; None for a message, or a text, that is no bounce.

    A text without a header, as it is pasted from a mail program, is read too.
    """
    octets = message[:MAX_MESSAGE].encode("utf-8", "surrogateescape") if isinstance(message, str) else message
    parts = parts_of(octets)
    if not parts:
        return None
    top, text = parts[0], _text_of(parts)
    status = _status_of(parts)
    if not _is_bounce(top, parts, status, text):
        return None
    original = next((header_of(part.text) for part in parts[1:] if part.content_type in ATTACHED), ())
    notice = read_notice(text)
    found = _by_fields(status, notice) if status else _by_notice(notice)
    return replace(
        found,
        action=_action(status, top, text),
        recipient=found.recipient or _address(top.field("X-Failed-Recipients")),
        message_ids=_message_ids(top, status, original, text),
        original=original,
        text=text,
        fields=top.fields,
        reported_id=_reported_id(status),
    )


def may_be_bounce(fields: Iterable[Field]) -> bool:
    """Return whether a message with this header may be a bounce: `read_bounce` of the whole message decides."""
    top = Part(tuple(fields), ())
    if top.content_type == "multipart/report" or top.has("X-MS-Exchange-Message-Is-Ndr"):
        return True
    if top.has("X-Failed-Recipients") or _is_from_daemon(top):
        return True
    subject = decoded(top.field("Subject"))
    return action_of_text(subject) != "" and _ANSWER.match(subject) is None


def _is_from_daemon(top: Part) -> bool:
    return _DAEMON.search(f"{decoded(top.field('From'))} {top.field('Return-Path')}") is not None


def _is_bounce(top: Part, parts: tuple[Part, ...], status: _Status | None, text: str) -> bool:
    names = {name.lower() for name, _ in top.fields}
    if not names & MESSAGE_FIELDS:
        return status is not None or is_notice(text)
    has_status = any(part.content_type in _STATUS_TYPES for part in parts)
    if top.content_type == "multipart/report" and (has_status or top.parameter("report-type") == "delivery-status"):
        return True
    if top.has("X-MS-Exchange-Message-Is-Ndr") or top.has("X-Failed-Recipients"):
        return True
    subject = decoded(top.field("Subject"))
    if not _is_from_daemon(top):
        return action_of_text(subject) != "" and _ANSWER.match(subject) is None and is_notice(text)
    if has_status or action_of_text(subject):
        return True
    return names.isdisjoint(_LIST_FIELDS) and _says_so(text)


def _says_so(text: str) -> bool:
    """Return whether the text of a server's message says that it is a bounce."""
    return action_of_text(without_original(text)) != "" or reply_code_of(read_notice(text).reply) is not None


def _text_of(parts: tuple[Part, ...]) -> str:
    """Return the text for people: of the plain parts, else of the HTML ones, before the message that is returned."""
    shown = []
    for part in parts:
        if part.content_type in ATTACHED and part is not parts[0]:
            break
        shown.append(part)
    plain = "\n".join(part.text for part in shown if part.content_type == "text/plain").strip()
    if plain:
        return plain
    if pages := "\n".join(part.text for part in shown if part.content_type == "text/html").strip():
        return pages
    return shown[0].text.strip() if shown else ""


def _status_of(parts: tuple[Part, ...]) -> _Status | None:
    """Return the fields for programs; None where there are none, which some servers send as an empty part."""
    for part in parts[1:]:
        if part.content_type in _STATUS_TYPES:
            return _status(part.text)
    pasted = {name.lower() for name, _ in parts[0].fields}
    if len(pasted & _STATUS_FIELDS) >= 2:
        text = "\n".join(f"{name}: {value}" for name, value in parts[0].fields)
        return _status(f"{text}\n\n{parts[0].text}")
    return None


def _status(text: str) -> _Status | None:
    blocks = [fields for block in islice(_blocks(text), _MAX_BLOCKS) if (fields := header_of(block))]
    recipients = [block for block in blocks if _value(block, "Action") or _value(block, "Final-Recipient")]
    message = tuple(field for block in blocks if block not in recipients for field in block)
    return _Status(message, min(recipients, key=_rank, default=())) if blocks else None


def _blocks(text: str) -> Iterator[str]:
    """Yield the blocks between blank lines."""
    block: list[str] = []
    for line in text.splitlines():
        if line.strip():
            block.append(line)
        elif block:
            yield "\n".join(block)
            block = []
    yield "\n".join(block)


def _rank(fields: tuple[Field, ...]) -> int:
    action = _action_field(fields)
    return _WORST_FIRST.index(action) if action else len(_WORST_FIRST)


def _action_field(fields: Iterable[Field]) -> Action | None:
    word = _value(fields, "Action").partition("(")[0].strip().lower()
    return Action(word) if word in set(Action) else None


def _action(status: _Status | None, top: Part, text: str) -> Action:
    if status and (action := _action_field(status.recipient)):
        return action
    if status and _value(status.recipient, "Status").startswith("4") and not _value(status.recipient, "Action"):
        return Action.DELAYED
    said = action_of_text(f"{decoded(top.field('Subject'))}\n{without_original(text)}")
    return Action(said) if said else Action.FAILED


def _by_fields(status: _Status, notice: Notice) -> Bounce:
    fields = status.recipient
    reason = _reason(_value(fields, "Diagnostic-Code")) or notice.reply
    reply, wrapped = split_wrapped(reason if reply_code_of(reason) else reply_in(reason) or reason)
    own = enhanced_of(_value(fields, "Status"))
    said = enhanced_of(reply) or enhanced_of(wrapped)
    enhanced = said if said and (not own or own.endswith(".0.0")) else own
    return Bounce(
        action=Action.FAILED,
        recipient=_address(_value(fields, "Final-Recipient"))
        or _address(_value(fields, "Original-Recipient"))
        or notice.recipient,
        code=reply_code_of(reply),
        enhanced=enhanced,
        diagnostic=reply,
        wrapped=wrapped,
        command=notice.command,
        remote_mta=_host(_value(fields, "Remote-MTA")) or notice.remote_mta,
        reporting_mta=_host(_value((*fields, *status.message), "Reporting-MTA")) or notice.reporting_mta,
    )


def _by_notice(notice: Notice) -> Bounce:
    reply, wrapped = split_wrapped(notice.reply)
    return Bounce(
        action=Action.FAILED,
        recipient=notice.recipient,
        code=reply_code_of(reply),
        enhanced=enhanced_of(reply) or enhanced_of(wrapped),
        diagnostic=reply,
        wrapped=wrapped,
        command=notice.command,
        remote_mta=notice.remote_mta,
        reporting_mta=notice.reporting_mta,
    )


def _reported_id(status: _Status | None) -> str:
    fields = (*status.message, *status.recipient) if status else ()
    values = (_value(fields, name) for name in ("X-Original-Message-ID", "Original-Message-ID"))
    return next((found[1] for value in values if (found := _MESSAGE_ID.search(value))), "")


def _message_ids(top: Part, status: _Status | None, original: tuple[Field, ...], text: str) -> tuple[str, ...]:
    names = {"message-id", "x-original-message-id", "x-gmail-original-message-id"}
    values = [top.field("In-Reply-To"), top.field("References")]
    values += [value for name, value in original if name.lower() in names]
    if status:
        values += [value for name, value in (*status.message, *status.recipient) if name.lower() in names]
    found = [match[1] for value in values for match in _MESSAGE_ID.finditer(value)]
    found += [match[1] for match in _MESSAGE_ID_LINE.finditer(text)]
    return tuple(dict.fromkeys(found))[:_MAX_IDS]


def _reason(value: str) -> str:
    """Return a Diagnostic-Code without its type, on one line."""
    typed = _TYPED.match(value)
    return unfolded(value[typed.end() if typed else 0 :][:_MAX_VALUE])


def _host(value: str) -> str:
    """Return the name of an MTA field without its type and its comment."""
    typed = _TYPED.match(value)
    words = value[typed.end() if typed else 0 :].partition("(")[0].split()
    return words[0].strip("[].")[:255] if words else ""


def _address(value: str) -> str:
    found = _ADDRESS.search(value)
    return found[0].lower() if found else ""


def _value(fields: Iterable[Field], name: str) -> str:
    return next((value for key, value in fields if key.lower() == name.lower()), "")
