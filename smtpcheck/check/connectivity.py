"""Whether the agent itself has connectivity: without, its failures say nothing about the servers.

Rules of this file:
- Pure: the time is an argument (monotonic seconds).
- Of each host only the latest try within the window counts: an outage shows as soon as every host has failed once,
  and one host that answers ends it.
- Issuers are hosts like any other. One host alone never proves that connectivity is lost: it may itself be down.
"""


class Connectivity:
    """What the latest tries of every host say of the agent's own way to the network."""

    def __init__(self, window: float) -> None:
        """Count tries for `window` seconds: the interval of the checks, or the longest of several."""
        self.window = window
        self._tries: dict[str, tuple[float, bool]] = {}

    def record(self, host: str, reached: bool, now: float) -> None:
        """Record one try of a host at monotonic time `now`; not `reached` if it failed in dns or connect."""
        self._tries[host] = (now, reached)

    def is_lost(self, now: float) -> bool:
        """Return whether two or more hosts were tried within the window and every one failed in dns or connect."""
        self._tries = {host: (at, reached) for host, (at, reached) in self._tries.items() if now - at <= self.window}
        return len(self._tries) >= 2 and not any(reached for _, reached in self._tries.values())
