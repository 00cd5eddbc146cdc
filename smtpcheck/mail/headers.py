"""What the headers of a delivered message say: its route from hop to hop, and what the receiver authenticated.

Rules of this file:
- Pure, and the headers are untrusted input: nothing in them raises, and what is taken from them is bounded.
- The clocks of the hops are their own. A hop that took less than no time shows a clock that differs, and is named as
  that.
- Whether a message is ours: the correlation id is in the header `UNIQUE_HEADER`, or, where a gateway has removed that,
  in the subject, which a gateway may have encoded again (RFC 2047). An answer or a bounce that repeats our subject is
  not ours by that.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.parser import BytesHeaderParser
from email.utils import parsedate_to_datetime

from smtpcheck.mail.authentication_results import without_comments
from smtpcheck.mail.junk import VERDICT_HEADERS
from smtpcheck.mail.message import UNIQUE_HEADER

Headers = tuple[tuple[str, str], ...]
"""Name and unfolded value, topmost first."""

_MAX_HOPS = 40
_MAX_VALUE = 4000
_MAX_NAME = 200
_BY = re.compile(r"\bby\s+([^\s;()]{1,200})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Hop:
    """One server that took the message (RFC 5321 4.4)."""

    by: str
    """The name that it gives itself; empty where it gives none."""
    at: float | None
    """When it took the message, by its clock (Unix seconds)."""


@dataclass(frozen=True, slots=True)
class Leg:
    """The route to one hop."""

    to: str
    seconds: float | None
    """How long it took, by the clocks of both ends; None where one of them says nothing."""
    clocks_differ: bool
    """Whether the clocks of both ends cannot both be right."""


def hops(headers: Headers) -> tuple[Hop, ...]:
    """Return the servers that took the message, in the order of its route."""
    found = [_hop(value[:_MAX_VALUE]) for name, value in headers if name.lower() == "received"]
    return tuple(reversed(found[:_MAX_HOPS]))


def legs(way: Iterable[Hop], begin: float | None) -> tuple[Leg, ...]:
    """Return the ways from hop to hop; the first one begins at Unix time `begin`, when the message was accepted.

    That a server took the message within the second before it said so is no difference, for the headers have whole
    seconds.
    """
    found, before = [], begin
    for hop in way:
        seconds = None if hop.at is None or before is None else hop.at - before
        found.append(Leg(hop.by, seconds, seconds is not None and seconds <= -1.0))
        before = before if hop.at is None else hop.at
    return tuple(found)


def exchange_seconds(headers: Headers) -> float | None:
    """Return how many seconds Exchange counts from its first server to the mailbox; None where it says nothing."""
    value = next((value for name, value in headers if name.lower() == LATENCY_HEADER.lower()), "")
    found = _TIME_SPAN.fullmatch(value.strip())
    if found is None:
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _hop(value: str) -> Hop:
    clauses, _, date = value.rpartition(";")
    by = _BY.search(without_comments(clauses))
    return Hop(by[1][:_MAX_NAME] if by else "", _timestamp(date))


def _timestamp(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


LATENCY_HEADER = "X-MS-Exchange-Transport-EndToEndLatency"
_TIME_SPAN = re.compile(r"(?:(\d{1,4})\.)?(\d{1,2}):(\d{1,2}):(\d{1,2}(?:\.\d{1,9})?)")
ROUTE_HEADERS = (
    *("Received", "Authentication-Results", "Received-SPF", "Date", "Message-ID", LATENCY_HEADER),
    *VERDICT_HEADERS,
)
"""The headers that a `Match` has."""
ID_HEADERS = (
    UNIQUE_HEADER,
    "Subject",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Content-Type",
    "X-Failed-Recipients",
)
"""The headers that say whether a message is ours, and which."""
BOUNCE_HEADERS = (
    *("From", "Return-Path", "Subject", "Message-ID", "In-Reply-To", "References", "Content-Type"),
    *("X-Failed-Recipients", "X-MS-Exchange-Message-Is-Ndr"),
)
"""The headers that say whether a message may be a bounce, and of which message."""

Field = tuple[str, str]

_MOST_FIELDS = 100
_LONGEST_VALUE = 4096
_FOLD = re.compile(r"\r?\n(?=[ \t])")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_WORD = re.compile(r"[A-Za-z0-9]{16,200}")
_REPORT = re.compile(r"\s{0,8}multipart/report\b", re.IGNORECASE)


def read_fields(block: bytes) -> tuple[Field, ...]:
    """Return name and unfolded value (RFC 5322 2.2.3) of each field of a header, topmost first."""
    parsed = BytesHeaderParser().parsebytes(block).items()
    return clean(((name, str(value)) for name, value in parsed))


def clean(fields: Iterable[Field], *, most: int = _MOST_FIELDS) -> tuple[Field, ...]:
    """Return the first `most` fields unfolded, without control characters, and bounded in length."""
    cleaned = ((name, _CONTROL.sub(" ", _FOLD.sub("", value)).strip()[:_LONGEST_VALUE]) for name, value in fields)
    return tuple(field for field, _ in zip(cleaned, range(most), strict=False))


def route_fields(fields: Sequence[Field]) -> tuple[Field, ...]:
    """Return the fields that a `Match` has."""
    names = {name.lower() for name in ROUTE_HEADERS}
    return tuple(field for field in fields if field[0].lower() in names)


def correlation_id_of(fields: Sequence[Field], is_ours: Callable[[str], bool]) -> str | None:
    """Return the correlation id of a message of ours, None for a message of anybody else."""
    candidates = [value for name, value in fields if name.lower() == UNIQUE_HEADER.lower()]
    for name, value in fields:
        if name.lower() == "subject" and not _answers(fields):
            candidates += _WORD.findall(decoded(value))
    return next((candidate for candidate in candidates if is_ours(candidate)), None)


def _answers(fields: Sequence[Field]) -> bool:
    """Return whether a message answers or returns another one, whose subject it then has."""
    names = {name.lower() for name, value in fields if value}
    report = any(name.lower() == "content-type" and _REPORT.match(value) for name, value in fields)
    return report or not names.isdisjoint({"in-reply-to", "references", "x-failed-recipients"})


def decoded(subject: str) -> str:
    """Return the text of a field that may be encoded (RFC 2047); unchanged where it cannot be decoded."""
    try:
        return str(make_header(decode_header(subject)))
    except (HeaderParseError, LookupError, ValueError):
        return subject
