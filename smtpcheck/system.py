"""What the program takes from its machine: both clocks, and what is random.

Rule of this file: one object is handed down from the top, so that a simulation can hand in its own; what needs a single
one of these takes that alone.
"""

import secrets
import time
from collections.abc import Callable


class System:
    """The clocks and the randomness of this machine."""

    def wall(self) -> float:
        """Return the time (Unix seconds); it may be set, forward and back."""
        return time.time()

    monotonic: Callable[[], float] = staticmethod(time.monotonic)
    """Return the seconds since some moment; they only grow. Called so often in a run that nothing is put around it."""

    def octets(self, count: int) -> bytes:
        """Return so many random octets, fit for a key."""
        return secrets.token_bytes(count)


SYSTEM = System()
"""This machine."""
