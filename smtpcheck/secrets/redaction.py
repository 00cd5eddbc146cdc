"""Takes what was sent out of what came back, before anything of an answer is kept.

Rules of this file:
- Pure. A value is found as it is, in base64 amid any octets, in hexadecimal, and escaped in any way of `escapes.py`.
- Whatever looks like a token goes as well, sent or not, and so does the password of a URL.
"""

import base64
import re
from collections.abc import Collection, Iterable, Iterator

from smtpcheck.secrets.escapes import Span, without

MARK = "[redacted]"
_PLACE = "\ufdd0"
"""Stands for the mark until all is redacted, lest a secret be found in the mark: Unicode has no such character."""

SHORTEST_ENCODED = 8
"""Characters of an encoded form that is searched for: a shorter one is in too much of what a server says."""

WIDEST = 12
"""Characters that one of a secret may take in an escaped form."""

_NAMED = re.compile(
    r"""((?:access_token|refresh_token|id_token|client_secret|client_assertion|assertion|password|device_code)
        ["']?\s*(?:=|:|%3D)\s*["']?)[^"'&\s<>]{6,}""",
    re.IGNORECASE | re.VERBOSE,
)
_AUTHORIZATION = re.compile(r"(authorization['\"]?\s*[:=]\s*['\"]?(?:bearer|basic)\s+)[^'\"\s,]{6,}", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(://[^/\s:@'\"]*:)[^/\s@'\"]+(?=@)")
_JWT = re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*")


def redact(text: str, sent: Iterable[str], limit: int | None = None) -> str:
    """Return the text without the values that were sent, and without tokens; at most `limit` characters of it."""
    values = {value for value in sent if value}
    margin = WIDEST * max(map(len, values), default=len(MARK))
    if limit is None or len(text) <= limit + margin:
        return _redacted(text, values)[:limit]
    shown = _redacted(text[: limit + margin], values)
    # A secret that this cut divides is in the margin; all before the first mark is as it was, and so at its own place.
    return shown[: max(shown.find(MARK) + len(MARK), len(shown) - margin)][:limit]


def _redacted(text: str, values: Collection[str]) -> str:
    # A doubled backslash comes first, or else the second one would stay.
    written = {form for value in values for form in (value, value.replace("\\", "\\\\"), *encoded_forms(value))}
    forms = sorted(written, key=len, reverse=True)
    for form in forms:
        text = text.replace(form, _PLACE)
    if forms:
        text = without(text, lambda decoded: occurrences(decoded, forms), _PLACE).replace(_PLACE, MARK)
    for pattern in (_NAMED, _AUTHORIZATION, _URL_PASSWORD):
        text = pattern.sub(rf"\g<1>{MARK}", text)
    return _JWT.sub(MARK, text)


def encoded_forms(value: str) -> Iterator[str]:
    """Yield how a value looks in base64 and base64url, alone and amid other octets, and in hexadecimal."""
    octets = value.encode("utf-8", "surrogatepass")
    alone = base64.b64encode(octets).decode()
    hexadecimal = octets.hex()
    amid = (form for before in range(3) if len(form := _inner_base64(octets, before)) >= SHORTEST_ENCODED)
    for form in (alone, *amid):
        yield form
        yield form.replace("+", "-").replace("/", "_")
    if len(hexadecimal) >= SHORTEST_ENCODED:
        yield hexadecimal
        yield hexadecimal.upper()


def _inner_base64(octets: bytes, before: int) -> str:
    """Return the characters of a value's base64 that depend on it alone, behind so many octets modulo three."""
    whole = base64.b64encode(b"\0" * before + octets).decode().rstrip("=")
    return whole[(0, 2, 3)[before] : len(whole) - (len(whole) % 4 != 0)]


def occurrences(text: str, values: Iterable[str]) -> Iterator[Span]:
    """Yield where the values are in a text."""
    for value in values:
        start = text.find(value)
        while start >= 0:
            yield start, start + len(value)
            start = text.find(value, start + len(value))
