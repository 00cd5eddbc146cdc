"""Connections to APIs that are kept between runs.

Rules of this file:
- A connection is kept ten minutes at most, counted from when it was opened, and belongs to one run at a time.
- A few are kept for each server; what is beyond those is closed.
"""

from collections import defaultdict

from smtpcheck.http_client.connection import HttpConnection
from smtpcheck.model.check import Server

KEPT_SECONDS = 600.0
MOST_KEPT = 8
"""How many are kept for one server."""


class Connections:
    """What is open and not in use. Belongs to one event loop."""

    def __init__(self) -> None:
        self._idle: dict[Server, list[HttpConnection]] = defaultdict(list)

    def take(self, server: Server, now: float) -> HttpConnection | None:
        """Return a connection that can be used, None where there is none; `now` is monotonic seconds."""
        self._drop_old(now)
        idle = self._idle.get(server, [])
        while idle:
            connection = idle.pop()
            if connection.can_be_used:
                return connection
            connection.close()
        return None

    def keep(self, connection: HttpConnection, now: float) -> None:
        """Keep a connection for a later run, or close it."""
        idle = self._idle[connection.server]
        young = now - connection.opened_at < KEPT_SECONDS
        if young and connection.can_be_used and len(idle) < MOST_KEPT:
            idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close all that is kept."""
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()

    def _drop_old(self, now: float) -> None:
        for server, idle in tuple(self._idle.items()):
            for connection in tuple(idle):
                if now - connection.opened_at >= KEPT_SECONDS or not connection.can_be_used:
                    idle.remove(connection)
                    connection.close()
            if not idle:
                del self._idle[server]
