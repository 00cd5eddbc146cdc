"""The connection of a request in a thread, read within a time and a number of octets that are known beforehand.

Rules of this file:
- Every wait for the network is as long as the rest of the exchange's time at most, so what drips ends as a whole.
- Octets are counted as they come off the connection: headers without end, interim responses (1xx) without end and
  trailers without end are cut off alike.
"""

import http.client
import io
import socket
import time
from functools import cache, partial
from typing import Any

from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, LocationParseError, NameResolutionError, NewConnectionError

from smtpcheck.http_client.exchange import MAX_HEAD, Limits


class Budget:
    """What the exchange under way may still take. One exchange at a time."""

    def __init__(self, limits: Limits) -> None:
        """Start with nothing left."""
        self.limits = limits
        self._end = 0.0

    def start(self, seconds: float) -> None:
        """Begin an exchange of at most so many seconds."""
        self._end = time.monotonic() + seconds

    def seconds(self) -> float:
        """Return what is left. Raises TimeoutError where nothing is."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class TooLongError(http.client.HTTPException):
    """More octets came than belong to an exchange."""


class _CountedReader(io.RawIOBase):
    """Reads a socket within the budget."""

    def __init__(self, sock: Any, budget: Budget) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._budget = budget
        self._left = MAX_HEAD

    def allow_body(self) -> None:
        """Allow a body beside the headers."""
        self._left += self._budget.limits.octets_of_body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._budget.seconds())
        count: int | None = self._raw.readinto(buffer)
        self._left -= count or 0
        if self._left < 0:
            raise TooLongError("the response has too many octets around its body")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Source:
    """Looks like a socket to `http.client.HTTPResponse`, which asks it for a file."""

    def __init__(self, reader: _CountedReader) -> None:
        self._reader = reader

    def makefile(self, mode: str) -> io.BufferedReader:  # noqa: ARG002 - it is always read
        return io.BufferedReader(self._reader)


class _Response(http.client.HTTPResponse):
    """A response that is read within the budget."""

    def __init__(self, budget: Budget, sock: Any, *args: Any, **kwargs: Any) -> None:
        self._counted = _CountedReader(sock, budget)
        super().__init__(_Source(self._counted), *args, **kwargs)  # type: ignore[arg-type]

    def begin(self) -> None:
        super().begin()
        self._counted.allow_body()


@cache
def bounded_pool_class(inner: Any) -> Any:
    """Return the class of urllib3's pools like `inner` whose connections keep to the `budget` that one is made with."""

    class Pool(inner):  # type: ignore[misc]
        ConnectionCls = _connection_class(inner.ConnectionCls)

        def __init__(self, *args: Any, budget: Budget, **kwargs: Any) -> None:
            self._budget = budget
            super().__init__(*args, **kwargs)

        def _new_conn(self) -> Any:
            made = super()._new_conn()
            made.budget = self._budget
            return made

    Pool.__name__ = inner.__name__
    return Pool


def _connection_class(inner: Any) -> Any:
    class Connection(inner):  # type: ignore[misc]
        budget: Budget

        @property
        def response_class(self) -> Any:
            return partial(_Response, self.budget)

        def _new_conn(self) -> Any:
            budget = self.budget
            if inner._new_conn is HTTPConnection._new_conn:  # noqa: SLF001 - what urllib3 itself replaces for SOCKS
                return _connected(self, budget)
            self.timeout = min(budget.limits.connect_seconds, budget.seconds())
            return super()._new_conn()

        def send(self, data: Any) -> None:
            if self.sock is not None:
                self.sock.settimeout(self.budget.seconds())
            super().send(data)

    return Connection


def _connected(connection: Any, budget: Budget) -> socket.socket:
    """Return a socket to the first address that answers."""
    host, port = connection._dns_host, connection.port  # noqa: SLF001 - the name without the dots that TLS does not want
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise LocationParseError("the host's name is too long or empty in one of its parts") from None
    except socket.gaierror as error:
        raise NameResolutionError(connection.host, connection, error) from error
    last: OSError = OSError("the name has no address")
    for family, kind, protocol, _, address in found:
        try:
            return _socket(family, kind, protocol, address, budget)
        except OSError as error:
            last = error
    if isinstance(last, TimeoutError):
        raise ConnectTimeoutError(connection, "no address answered in time") from last
    raise NewConnectionError(connection, "no address accepted the connection") from last


def _socket(family: int, kind: int, protocol: int, address: Any, budget: Budget) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    try:
        made.settimeout(min(budget.limits.connect_seconds, budget.seconds()))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.connect(address)
    except BaseException:
        made.close()
        raise
    return made
