"""Reads the header of a message that was found, and tells by it whether the message is ours.

Rules of this file:
- Pure, and nothing of a stranger's message makes it fail: what cannot be read is no mark.
- The mark stands in the header `UNIQUE_HEADER`; where a gateway has taken that away, in the subject, which a gateway
  may have written anew in the form of RFC 2047.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.parser import BytesHeaderParser

from smtpcheck.delivery.message import UNIQUE_HEADER

TOLD = ("Received", "Authentication-Results", "Date", "Message-ID")
"""The headers that a `Sighting` tells."""
MARKED = (UNIQUE_HEADER, "Subject", "Message-ID")
"""The headers that tell whether a message is ours, and which."""

Field = tuple[str, str]

_MOST_FIELDS = 100
_LONGEST_VALUE = 4096
_FOLD = re.compile(r"\r?\n(?=[ \t])")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_WORD = re.compile(r"[A-Za-z0-9]{16,200}")


def read_fields(block: bytes) -> tuple[Field, ...]:
    """Return name and unfolded value (RFC 5322 2.2.3) of each field of a header, topmost first."""
    parsed = BytesHeaderParser().parsebytes(block).items()
    return clean(((name, str(value)) for name, value in parsed))


def clean(fields: Iterable[Field]) -> tuple[Field, ...]:
    """Return the fields unfolded, without control characters, and bounded in number and length."""
    cleaned = ((name, _CONTROL.sub(" ", _FOLD.sub("", value)).strip()[:_LONGEST_VALUE]) for name, value in fields)
    return tuple(field for field, _ in zip(cleaned, range(_MOST_FIELDS), strict=False))


def told(fields: Sequence[Field]) -> tuple[Field, ...]:
    """Return the fields that a `Sighting` tells."""
    names = {name.lower() for name in TOLD}
    return tuple(field for field in fields if field[0].lower() in names)


def mark_of(fields: Sequence[Field], is_ours: Callable[[str], bool]) -> str | None:
    """Return the correlation token of a message of ours, None for a message of anybody else."""
    candidates = [value for name, value in fields if name.lower() == UNIQUE_HEADER.lower()]
    for name, value in fields:
        if name.lower() == "subject":
            candidates += _WORD.findall(_decoded(value))
    return next((candidate for candidate in candidates if is_ours(candidate)), None)


def _decoded(subject: str) -> str:
    try:
        return str(make_header(decode_header(subject)))
    except (HeaderParseError, LookupError, ValueError):
        return subject
