"""What the headers of a delivered message say: its route from hop to hop, and what the receiver authenticated.

Rules of this file:
- Pure, and the headers are untrusted input: nothing in them raises, and what is taken from them is bounded.
- The clocks of the hops are their own. A hop that took less than no time shows a clock that differs, and is named as
  that.
- Only the topmost Authentication-Results of the server that is believed counts: anybody can write others (RFC 8601 5,
  7.1). Exchange Online writes the field without the name of the server, which RFC 8601 2.2 does not allow; therefore
  it is read here.
- Whether a message is ours: the correlation id is in the header `UNIQUE_HEADER`, or, where a gateway has removed that,
  in the subject, which a gateway may have encoded again (RFC 2047).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.parser import BytesHeaderParser
from email.utils import parsedate_to_datetime

from smtpcheck.mail.message import UNIQUE_HEADER

Headers = tuple[tuple[str, str], ...]
"""Name and unfolded value, topmost first."""

METHODS = ("spf", "dkim", "dmarc")
RESULTS = ("pass", "fail", "softfail", "neutral", "none", "policy", "temperror", "permerror")
"""RFC 8601 2.7; any other is `other`."""

_MAX_HOPS = 40
_MAX_VALUE = 4000
_MAX_NAME = 200
_BY = re.compile(r"\bby\s+([^\s;()]{1,200})", re.IGNORECASE)
_RESULT = re.compile(r"\s*([A-Za-z0-9-]{1,40})\s*(?:/\s*[0-9]{1,9}\s*)?=\s*([A-Za-z0-9-]{1,40})")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


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


def authentication(headers: Headers, authserv_id: str | None) -> tuple[tuple[str, str], ...]:
    """Return method and result of SPF, DKIM and DMARC, as the believed server reports them; None believes no server.

    Of several DKIM signatures one that passes counts.
    """
    if authserv_id is None:
        return ()
    for name, value in headers:
        if name.lower() == "authentication-results":
            server, results = _authentication_results(value[:_MAX_VALUE])
            if server.lower() == authserv_id.lower():
                return _best(results)
    return ()


def _hop(value: str) -> Hop:
    clauses, _, date = value.rpartition(";")
    by = _BY.search(_QUOTED.sub("q", _without_comments(clauses)))
    return Hop(by[1][:_MAX_NAME] if by else "", _timestamp(date))


def _timestamp(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _authentication_results(value: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the server's name, empty if there is none, and method and result of each that is known."""
    first, *rest = _QUOTED.sub("q", _without_comments(value)).split(";")
    named = _RESULT.match(first) is None
    words = first.split()
    server = words[0] if named and words else ""
    found = [_RESULT.match(part) for part in (rest if named else [first, *rest])]
    results = [(match[1].lower(), match[2].lower()) for match in found if match]
    return server, [(method, result if result in RESULTS else "other") for method, result in results]


def _best(results: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    def of(method: str) -> Iterator[str]:
        return (result for name, result in results if name == method)

    return tuple(
        (method, "pass" if "pass" in of(method) else next(of(method))) for method in METHODS if any(of(method))
    )


def _without_comments(value: str) -> str:
    """Return a header's value without its comments, which nest (RFC 5322 3.2.2); one without end takes the rest."""
    kept, depth, quoted, escaped = [], 0, False, False
    for sign in value:
        inside = depth > 0
        if escaped:
            escaped = False
        elif sign == "\\":
            escaped = True
        elif sign == '"' and not inside:
            quoted = not quoted
        elif sign == "(" and not quoted:
            depth += 1
        elif sign == ")" and inside:
            depth -= 1
        if not inside and not depth:
            kept.append(sign)
        elif inside and not depth:
            kept.append(" ")
    return "".join(kept)


ROUTE_HEADERS = ("Received", "Authentication-Results", "Date", "Message-ID")
"""The headers that a `Match` has."""
ID_HEADERS = (UNIQUE_HEADER, "Subject", "Message-ID")
"""The headers that say whether a message is ours, and which."""

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
        if name.lower() == "subject":
            candidates += _WORD.findall(decoded(value))
    return next((candidate for candidate in candidates if is_ours(candidate)), None)


def decoded(subject: str) -> str:
    """Return the text of a field that may be encoded (RFC 2047); unchanged where it cannot be decoded."""
    try:
        return str(make_header(decode_header(subject)))
    except (HeaderParseError, LookupError, ValueError):
        return subject
