"""When a check that failed before any server saw a login is tried again: soon, for it harmed nobody.

Rules of this file:
- Pure. What was refused is not tried again soon: `backoff` says how long that waits.
- No wait is longer than the check's interval, so that a check with a short one keeps its rhythm.
"""

_WAITS = (60.0, 120.0, 300.0, 600.0)
"""Seconds after the first such failures in a row; then twice as long each time."""


def wait(failures: int, interval: float) -> float:
    """Return how many seconds after so many such failures in a row a check with this interval is tried again."""
    further = max(0, min(failures - len(_WAITS), 32))
    return min(_WAITS[min(failures, len(_WAITS)) - 1] * 2.0**further, interval)


def retries_within(seconds: float) -> int:
    """Return how often at most a check is tried again so soon in the first seconds of an outage."""
    count, at = 0, wait(1, seconds)
    while at < seconds:
        count += 1
        at += wait(count + 1, seconds)
    return count
