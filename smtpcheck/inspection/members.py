"""What is in a provider's JSON: each member by its type, bounded and printable, or nothing.

Rules of this file:
- Pure, and nothing raises: a member that is missing or of another type is absent (None, empty).
- What looks like a token is taken out of every text, for a provider may repeat what it was asked with.
- Times are Unix seconds by this machine's clock, where the offset of the provider's is known.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from smtpcheck.model.printable import printable
from smtpcheck.secrets.redaction import redact

LONGEST = 300
"""Characters that are kept of a text."""
MOST = 1000
"""Items that are read of a list within an answer."""
_MOST_REDACTED = 20_000
"""Characters that are looked at for tokens: a token that is cut is not recognized, and none is so long."""
_SUSPECT = re.compile("eyJ|[:=%]")
"""What every form of a token or password has that is taken out; most texts have none of it."""
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CONSTANT = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_YEAR_9999 = 253370764800
"""Unix seconds. Secrets of Microsoft that were made to last for ever expire in 2299; keys of Google say 9999, and never
expire."""
_MILLISECONDS = re.compile(r"/Date\((-?\d{1,15})(?:[+-]\d{4})?\)/")


def text(of: Mapping[str, Any], key: str, limit: int = LONGEST) -> str:
    """Return a text, empty where there is none."""
    value = of.get(key)
    return _text(value, limit) if isinstance(value, str) else ""


def flag(of: Mapping[str, Any], key: str) -> bool | None:
    """Return yes or no, None where it says neither; Exchange writes both as text at times."""
    value = of.get(key)
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return value if isinstance(value, bool) else None


def guid(of: Mapping[str, Any], key: str) -> str:
    """Return an id in lower case, empty where there is none."""
    value = text(of, key, 40)
    return value.lower() if _GUID.fullmatch(value) else ""


def word(of: Mapping[str, Any], key: str) -> str:
    """Return one word of letters, as enums have them; `other` for any other text, empty where there is none."""
    value = text(of, key, 60)
    return value if not value or (value.isascii() and value.isalpha()) else "other"


def constant(of: Mapping[str, Any], key: str) -> str:
    """Return a word of letters, digits and underscores, as Google's enums have them; empty for any other text."""
    value = text(of, key, 100)
    return value if _CONSTANT.fullmatch(value) else ""


def digits(of: Mapping[str, Any], key: str) -> str:
    """Return a long number that is written as a text, empty where there is none."""
    value = text(of, key, 40)
    return value if value.isascii() and value.isdigit() else ""


def texts(of: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return the texts of a list; Exchange writes a list of one, or of all joined by commas, as a text at times."""
    value = of.get(key)
    if isinstance(value, str):
        value = value.split(",")
    found = value[:MOST] if isinstance(value, list) else []
    return tuple(_text(each.strip(), LONGEST) for each in found if isinstance(each, str))


def objects(of: Mapping[str, Any], key: str) -> tuple[Mapping[str, Any], ...]:
    """Return the objects of a list."""
    value = of.get(key)
    return tuple(each for each in value[:MOST] if isinstance(each, Mapping)) if isinstance(value, list) else ()


def rows(of: Mapping[str, Any], key: str) -> tuple[Mapping[str, Any], ...] | None:
    """Return the objects of a list, None where it is not whole: no list, with anything else in it, or too long."""
    value = of.get(key)
    if not isinstance(value, list) or len(value) > MOST or not all(isinstance(each, Mapping) for each in value):
        return None
    return tuple(value)


def number(of: Mapping[str, Any], key: str) -> int | None:
    """Return a whole number, None where there is none."""
    value = of.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**12 else None


def moment(of: Mapping[str, Any], key: str, offset: float = 0.0) -> float | None:
    """Return a time of the provider, whose clock is `offset` seconds ahead of ours; None where there is none."""
    value = of.get(key)
    if not isinstance(value, str) or len(value) > 60:
        return None
    if (match := _MILLISECONDS.fullmatch(value)) is not None:
        seconds = int(match[1]) / 1000
    else:
        try:
            parsed = datetime.fromisoformat(value)
            seconds = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return None
    return seconds - offset if 0 < seconds < _YEAR_9999 else None


def is_guid(value: str) -> bool:
    """Return whether the text is an id as directories have them."""
    return _GUID.fullmatch(value) is not None


def _text(value: str, limit: int) -> str:
    known = value[:_MOST_REDACTED]
    return printable(redact(known, ()) if _SUSPECT.search(known) else known, limit=limit)
