"""Durations as Prometheus writes them: `500ms`, `60s`, `15m`, `1h30m`, `7d`.

Rules of this file:
- Pure. A wrong form is a `ValueError` that says what is wrong in a part of a sentence, and after a line end what to do.
"""

import functools
import re

_UNITS = {"w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION = re.compile(r"(?=.)" + "".join(rf"(?:([0-9]+){unit})?" for unit in _UNITS))
_IN_WORDS = re.compile(r"([0-9]{1,9}) ?([a-z]+)")
_WORDS = {
    "week": "w",
    "day": "d",
    "hour": "h",
    "hr": "h",
    "minute": "m",
    "min": "m",
    "second": "s",
    "sec": "s",
    "millisecond": "ms",
    "msec": "ms",
}
_LONGEST = 10 * 365 * 86400.0

DURATION_JSON = {"type": "string", "pattern": rf"^(?=.){''.join(f'([0-9]+{unit})?' for unit in _UNITS)}$"}
"""The JSON Schema of a duration."""


def parse_duration(value: object) -> float:
    """Return the seconds of `500ms`, `60s`, `15m`, `1h30m`, `7d`, `2w` (units in falling order, each once).

    Raises:
        ValueError: It is not a valid duration, or longer than ten years.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        hint = f"write {value}s for seconds, {value}m for minutes"
        raise ValueError(f"a duration needs a unit\n{hint}")  # noqa: TRY004 - pydantic knows no other
    return _seconds(value if isinstance(value, str) else "")


@functools.lru_cache(maxsize=256)
def _seconds(text: str) -> float:
    """Return the seconds of a duration; thousands of checks have the same few."""
    match = _DURATION.fullmatch(text) if text.isascii() and len(text) < 64 else None
    if match is None:
        meant = _meant(text[:64])
        raise ValueError(f"is not a valid duration\nwrite {meant or '500ms, 60s, 15m, 1h30m or 7d'}")
    seconds = sum(int(count) * unit for count, unit in zip(match.groups(), _UNITS.values(), strict=True) if count)
    if seconds > _LONGEST:
        raise ValueError("is longer than ten years")
    return seconds


def duration_text(seconds: float) -> str:
    """Return seconds as a duration is written, in the largest unit that gives a whole number: `90d`, `60s` as `1m`."""
    exact = (name for name in ("d", "h", "m", "s") if seconds / _UNITS[name] == seconds // _UNITS[name])
    unit = next(exact, "ms")
    return f"{round(seconds / _UNITS[unit])}{unit}"


def _meant(text: str) -> str:
    """Return a duration as it is to be written where it is written in words, such as `5 minutes`; else nothing."""
    parts = [(count, _unit(word)) for count, word in _IN_WORDS.findall(text.lower())]
    whole = not _IN_WORDS.sub("", text.lower()).strip(" ,")
    written = "".join(f"{count}{unit}" for count, unit in parts)
    return written if whole and all(unit for _, unit in parts) and _DURATION.fullmatch(written) else ""


def _unit(word: str) -> str:
    """Return the unit that a word means, empty for any other word."""
    return word if word in _UNITS else _WORDS.get(word.removesuffix("s"), "")


def parse_period(value: object) -> float:
    """Return the seconds of a duration that is longer than nothing.

    Raises:
        ValueError: As `parse_duration`, or it is zero.
    """
    seconds = parse_duration(value)
    if seconds <= 0:
        raise ValueError("must be greater than zero")
    return seconds
