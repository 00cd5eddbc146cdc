"""Whether the agent itself has lost the network, so that its failures say nothing of the servers.

Rules of this file:
- Pure: the time is an argument (monotonic seconds).
- Of each host only the latest try within the window counts: an outage shows as soon as every host has failed once, and
  one host that answers ends it. Issuers and witnesses are hosts like any other.
- A refused or reset connection is an answer. What fails without one failed by dns, timeout or unreachability.
- One host alone never proves it, for it may itself be down, unless this machine says so too: it has no default route,
  or its name service answers nothing.
"""

from msgspec import Struct


class Try(Struct, frozen=True, gc=False):
    """One try to reach a host."""

    host: str
    reached: bool
    """Whether the host answered, be it by a refusal."""
    name_service_silent: bool = False
    """Whether it failed because the name service answered nothing."""


class Connectivity:
    """What the latest tries of every host say of the agent's own way to the network."""

    def __init__(self, window: float) -> None:
        """Let a try count for `window` seconds: the longest interval of the checks."""
        self.window = window
        self._tries: dict[str, tuple[float, Try]] = {}

    def record(self, tried: Try, now: float) -> None:
        """Record a try at monotonic time `now`."""
        self._tries[tried.host] = (now, tried)

    def is_suspect(self, now: float) -> bool:
        """Return whether no host that was tried within the window was reached."""
        tries = self._latest(now)
        return bool(tries) and not any(tried.reached for tried in tries)

    def is_lost(self, now: float, *, has_route: bool = True) -> bool:
        """Return whether the agent itself has no network; `has_route`: whether this machine has a default route."""
        if not self.is_suspect(now):
            return False
        tries = self._latest(now)
        return len(tries) >= 2 or not has_route or tries[0].name_service_silent

    def _latest(self, now: float) -> list[Try]:
        self._tries = {host: (at, tried) for host, (at, tried) in self._tries.items() if now - at <= self.window}
        return [tried for _, tried in self._tries.values()]
