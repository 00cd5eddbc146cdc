"""Numbers as people read them (durations, times, distances in time), and steps as people follow them.

Rules of this file:
- Pure: the present time is an argument.
- A time is always shown twice: as a distance ("in 3 d") for the eye, and whole, in UTC, for exact reading.
- Total: times come from tokens and certificates of third parties, and none of them raises.
"""

import math
import re
from dataclasses import dataclass

from smtpcheck.model.report import Outcome
from smtpcheck.model.timestamp import rfc3339, utc_text_with_seconds

_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))

_COMMAND = re.compile(
    r"(?<=: )(?:[A-Z][a-z]+-[A-Z]\w+|openssl|curl|nc|getent|printf|date"
    r"|smtpcheck (?:setup|check|doctor|login|inspect|validate))\b.*$"
)
"""A cmdlet of PowerShell, or one of the programs that the steps use (smtpcheck too), and what follows."""

_NOT_FINITE = "not a valid time"
"""What is shown for a number of seconds that is infinite or not a number."""
OUTCOME_WORDS = {
    Outcome.OK: "OK",
    Outcome.WARNING: "Warning",
    Outcome.CRITICAL: "Critical",
    Outcome.UNKNOWN: "Unknown",
}


def duration(seconds: float | None) -> str:
    """Return seconds as `840 µs`, `12 ms`, `1.24 s` or `2 min 5 s`; nothing for None."""
    if seconds is None:
        return ""
    if not math.isfinite(seconds):
        return _NOT_FINITE
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def distance(timestamp: float | None, now: float) -> str:
    """Return how far a time (Unix seconds) is from `now`: `12 s ago`, `in 3 d`; nothing for None."""
    if timestamp is None:
        return ""
    seconds = timestamp - now
    if not math.isfinite(seconds):
        return _NOT_FINITE
    span = _span(abs(seconds))
    if span == "0 s":
        return "now"
    return f"in {span}" if seconds > 0 else f"{span} ago"


def long_duration(seconds: float) -> str:
    """Return a stretch of time in its two largest units: `45 s`, `5 min`, `2 h 10 min`, `3 d 4 h`."""
    if not math.isfinite(seconds):
        return _NOT_FINITE
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    largest = next((place for place, (number, _) in enumerate(units) if number), 3)
    return " ".join(f"{number} {unit}" for number, unit in units[largest : largest + 2] if number) or "0 s"


def whole(timestamp: float | None) -> str:
    """Return a time (Unix seconds) as `2026-03-01 12:00:00 UTC`; nothing for None."""
    return utc_text_with_seconds(timestamp) if timestamp is not None else ""


def day(timestamp: float) -> str:
    """Return the day of a time (Unix seconds) in UTC: `2026-03-01`; words for what is not a valid time."""
    text = whole(timestamp)
    return text[:10] if text[:4].isdigit() else text


def machine(timestamp: float | None) -> str:
    """Return a time (Unix seconds) as RFC 3339 writes it, in UTC and whole seconds; nothing for None."""
    return rfc3339(timestamp) if timestamp is not None else ""


def grouped(number: int) -> str:
    """Return a number with a thin space between its thousands: `12 345`."""
    return f"{number:,}".replace(",", "\u202f")


def plain(identifier: str) -> str:
    """Return an id of a closed list as words: `smtp_auth_disabled_tenant` is `smtp auth disabled tenant`."""
    return identifier.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a fix."""

    prose: str
    command: str
    """What is to be typed, literally; empty if nothing is."""


def step(text: str) -> Step:
    """Return a step with its ready command, which follows a colon at its end, apart."""
    found = _COMMAND.search(text)
    return Step(text[: found.start()].rstrip(), found[0]) if found else Step(text, "")


def _span(seconds: float) -> str:
    for size, unit in _UNITS:
        if seconds >= 2 * size or (size == 60.0 and seconds >= 90):
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
