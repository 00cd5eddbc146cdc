"""Times of day and spans of time as people and machines read them.

Rules of this file:
- Pure. A time comes in as Unix seconds and is always shown in UTC.
- Nothing here raises: a number that is no time of the years 1 to 9999 is shown as such.
"""

from datetime import UTC, datetime

EARLIEST_EXPIRY = 631152000.0
LATEST_EXPIRY = 4102444800.0
"""The years 1990 and 2100: an expiry outside them is a mistake, such as milliseconds taken for seconds."""

_SPANS = (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0))


def utc_text(timestamp: float) -> str:
    """Return a time as `2026-03-01 12:00 UTC`."""
    return _formatted(timestamp, "%Y-%m-%d %H:%M UTC")


def utc_text_with_seconds(timestamp: float) -> str:
    """Return a time as `2026-03-01 12:00:00 UTC`."""
    return _formatted(timestamp, "%Y-%m-%d %H:%M:%S UTC")


def clock_text(timestamp: float) -> str:
    """Return the time of day as `12:00:00`."""
    return _formatted(timestamp, "%H:%M:%S")


def rfc3339(timestamp: float) -> str:
    """Return a time as `2026-03-01T12:00:00Z`."""
    return _formatted(timestamp, "%Y-%m-%dT%H:%M:%SZ")


def rfc3339_milliseconds(timestamp: float) -> str:
    """Return a time as `2026-03-01T12:00:00.000Z`."""
    milliseconds = int(timestamp * 1000) % 1000 if abs(timestamp) < 1e15 else 0
    return _formatted(timestamp, f"%Y-%m-%dT%H:%M:%S.{milliseconds:03d}Z")


def span_text(seconds: float) -> str:
    """Return a span in its largest unit of which there are two or more: `3 days`, `90 seconds`."""
    for unit, length in _SPANS:
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def is_plausible_expiry(timestamp: float) -> bool:
    """Return whether something can expire then: in the years 1990 to 2099."""
    return EARLIEST_EXPIRY <= timestamp < LATEST_EXPIRY


def _formatted(timestamp: float, form: str) -> str:
    try:
        return datetime.fromtimestamp(timestamp, UTC).strftime(form)
    except (ValueError, OverflowError, OSError):
        return f"{timestamp:g} (not a valid time)"
