"""Numbers and dates of HTTP, each with one parser that takes whatever a server may send.

Rule of this file: a parser returns a value within its bounds, or None. It raises nothing.
"""

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER = 3600.0
"""The longest wait that a server is believed to mean, in seconds."""
MAX_SECONDS = 1e9
"""A period of thirty years; what is longer is not a period."""

_LONGEST = 64
_DIGITS = re.compile(r"[0-9]+")
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")
_YEAR_10000 = 253402300800.0


def parse_retry_after(text: str, *, now: float, date: str = "") -> float | None:
    """Return the seconds of Retry-After (RFC 9110 10.2.3), at most `MAX_RETRY_AFTER`.

    A date counts from the server's own clock, its `Date` header, else from `now` (Unix seconds).
    """
    text = text.strip()
    if _DIGITS.fullmatch(text):
        return MAX_RETRY_AFTER if len(text) > _LONGEST else min(float(text), MAX_RETRY_AFTER)
    until = parse_http_date(text)
    if until is None:
        return None
    begin = parse_http_date(date)
    return min(max(until - (now if begin is None else begin), 0.0), MAX_RETRY_AFTER)


def parse_http_date(text: str) -> float | None:
    """Return the Unix seconds of an HTTP date (RFC 9110 5.6.7) of the years 1970 to 9999."""
    if not 0 < len(text) <= _LONGEST:
        return None
    try:
        date = parsedate_to_datetime(text)
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):  # the parser of the library raises what it meets
        return None
    return seconds if 0.0 <= seconds < _YEAR_10000 else None


def parse_seconds(value: object) -> float | None:
    """Return a period that a JSON body states as a number or, as some issuers do, as text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        is_number = len(value) <= _LONGEST and _NUMBER.fullmatch(value.strip())
        value = float(value) if is_number else None
    return float(value) if isinstance(value, int | float) and 0 <= value < MAX_SECONDS else None
