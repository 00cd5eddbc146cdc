"""Whether a bounce is about one message of ours: what must be shown before it is believed, or deleted.

Rules of this file:
- Pure, and a bounce is untrusted input. What is not proven is nobody's business: it is neither believed nor touched.
- The header that was returned decides where there is one. A message that quotes, forwards or answers ours has a
  Message-ID of its own, and its bounce is not ours, whatever else it says.
- The weaker a sign, the more must agree with it: an id in the text counts only for the recipient that was written to.
- A bounce has the null reverse-path (RFC 5321 4.5.5, RFC 3464 2). What a person's address sent is no bounce.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from smtpcheck.mail.bounce import Bounce
from smtpcheck.mail.headers import Field, decoded
from smtpcheck.mail.message import UNIQUE_HEADER

_ID = re.compile(r"<([^<>\s@]{1,300}@[^<>\s@]{1,300})>")
_WORD = re.compile(r"[A-Za-z0-9]{16,200}")
_DAEMONS = re.compile(
    r"(?:mailer-?daemon|postmaster|double-bounce|microsoftexchange[0-9a-f]{8,40})(?:@.*)?", re.IGNORECASE
)
_MAX_TEXT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Sent:
    """The message that a bounce may be about."""

    message_ids: Collection[str]
    """The Message-IDs that it may have, with `<>`."""
    correlation_id: str
    recipient: str


def is_about(bounce: Bounce, sent: Sent) -> bool:
    """Return whether a mail server wrote this bounce, and about this message."""
    if not has_null_sender(bounce.fields):
        return False
    ids = {each.strip("<>").lower() for each in sent.message_ids}
    if returned := _values(bounce.original, UNIQUE_HEADER):
        return returned[0].lower() == sent.correlation_id.lower()
    if named := _ids(*_values(bounce.original, "Message-ID")):
        return named[0] in ids
    if bounce.reported_id:
        return bounce.reported_id.lower() in ids
    if answered := answered_id(bounce.fields):
        return answered in ids
    agrees = not bounce.recipient or bounce.recipient.lower() == sent.recipient.lower()
    others = {each.lower() for each in bounce.message_ids} - ids
    return agrees and not others and (bool(bounce.message_ids) or _names(bounce, sent.correlation_id))


def returned_correlation_id(bounce: Bounce, is_ours: Callable[[str], bool]) -> str | None:
    """Return the correlation id of the message that a mail server has returned, if it is one of ours."""
    returned = _values(bounce.original, UNIQUE_HEADER)
    return returned[0] if returned and is_ours(returned[0]) and has_null_sender(bounce.fields) else None


def answered_id(fields: Collection[Field]) -> str:
    """Return the Message-ID that a message answers, in lower case and without `<>`; empty where it answers none."""
    replied, references = _ids(*_values(fields, "In-Reply-To")), _ids(*_values(fields, "References"))
    return (replied or references[-1:] or [""])[0]


def has_null_sender(fields: Collection[Field]) -> bool:
    """Return whether the envelope sender is a mail system's, or is not known."""
    paths = _values(fields, "Return-Path")
    path = paths[0].strip("<> ") if paths else ""
    return not path or _DAEMONS.fullmatch(path) is not None


def _names(bounce: Bounce, correlation_id: str) -> bool:
    """Return whether the text or the subject has the correlation id."""
    subject = " ".join(decoded(value) for value in _values(bounce.fields, "Subject"))
    words = _WORD.findall(f"{subject} {bounce.text[:_MAX_TEXT]}")
    return correlation_id.lower() in {word.lower() for word in words}


def _ids(*values: str) -> list[str]:
    return [found[1].lower() for value in values for found in _ID.finditer(value)]


def _values(fields: Collection[Field], name: str) -> list[str]:
    return [value.strip() for key, value in fields if key.lower() == name.lower()]
