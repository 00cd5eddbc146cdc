"""Durations as Prometheus writes them: `500ms`, `60s`, `15m`, `1h30m`, `7d`.

Rules of this file:
- Pure. A wrong form is a `ValueError` that says what is wrong in a part of a sentence, and after a line end what to do.
"""

import re

_UNITS = {"w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION = re.compile(r"(?=.)" + "".join(rf"(?:([0-9]+){unit})?" for unit in _UNITS))
_LONGEST = 10 * 365 * 86400.0

DURATION_JSON = {"type": "string", "pattern": rf"^(?=.){''.join(f'([0-9]+{unit})?' for unit in _UNITS)}$"}
"""The JSON Schema of a duration."""


def parse_duration(value: object) -> float:
    """Return the seconds of `500ms`, `60s`, `15m`, `1h30m`, `7d`, `2w` (units in falling order, each once).

    Raises:
        ValueError: It is not a valid duration, or longer than ten years.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"a duration needs a unit\nwrite {value}s for seconds")  # noqa: TRY004 - pydantic knows no other
    match = _DURATION.fullmatch(value) if isinstance(value, str) and value.isascii() and len(value) < 64 else None
    if match is None:
        raise ValueError("is not a valid duration\nwrite 500ms, 60s, 15m, 1h30m or 7d")
    seconds = sum(int(count) * unit for count, unit in zip(match.groups(), _UNITS.values(), strict=True) if count)
    if seconds > _LONGEST:
        raise ValueError("is longer than ten years")
    return seconds


def parse_period(value: object) -> float:
    """Return the seconds of a duration that is longer than nothing.

    Raises:
        ValueError: As `parse_duration`, or it is zero.
    """
    seconds = parse_duration(value)
    if seconds <= 0:
        raise ValueError("must be greater than zero")
    return seconds
