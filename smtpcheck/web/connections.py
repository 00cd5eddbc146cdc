"""The connections to the page: how many there may be, how long they may idle, and what malformed HTTP is answered.

Rules of this file:
- Idle connections are cheap for a client and cost us a descriptor each, which a check may need: they are limited in all
  and by client, from the moment the kernel hands them over, before TLS.
- One time limit holds for the TLS handshake, one for a request's header and for the wait between two requests
  (aiohttp's keep-alive timer runs until the next header is complete).
- What is not HTTP is one line at debug without a word of the request, which may hold a password, and it is counted.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from typing import cast

import structlog
from aiohttp import web
from aiohttp.http import HttpProcessingError

from smtpcheck.web.security import harden, network_of

MOST_CONNECTIONS = 200
MOST_OF_ONE_CLIENT = 50
IDLE_SECONDS = 20.0
HANDSHAKE_SECONDS = 10.0
_WARN_EVERY_SECONDS = 60.0
_log = structlog.get_logger(__name__)


class ConnectionCap:
    """Counts connections, in all and by client.

    Where one is too many, the oldest of that client is aborted for it, or of a client that has more: however many idle
    connections are held, health checks and scrapes get through.
    """

    def __init__(self, most: int = MOST_CONNECTIONS, most_of_one: int = MOST_OF_ONE_CLIENT) -> None:
        """Allow so many."""
        self._most = most
        self._most_of_one = min(most_of_one, max(most - 1, 1))
        self._open: dict[str, dict[object, Callable[[], None]]] = {}
        self._aborted = 0
        self._warned_at: float | None = None
        self.malformed = 0
        """How many requests were not HTTP."""

    def acquire(self, client: str, connection: object, abort: Callable[[], None]) -> None:
        """Count one connection more of a client, and abort another where that is one too many."""
        if len(self._open.get(client, ())) >= self._most_of_one:
            self._abort_oldest(client)
        elif sum(map(len, self._open.values())) >= self._most:
            self._abort_oldest(max(self._open, key=lambda each: (len(self._open[each]), each == client)))
        self._open.setdefault(client, {})[connection] = abort

    def release(self, client: str, connection: object) -> None:
        """Count the end of a connection that was allowed; of one that was aborted nothing is left to count."""
        of_client = self._open.get(client, {})
        of_client.pop(connection, None)
        if not of_client:
            self._open.pop(client, None)

    def _abort_oldest(self, client: str) -> None:
        connection, abort = next(iter(self._open[client].items()))
        self.release(client, connection)
        abort()
        self._aborted += 1
        now = time.monotonic()
        if self._warned_at is None or now - self._warned_at >= _WARN_EVERY_SECONDS:
            _log.warning("too many connections to the page: the oldest are closed", number=self._aborted)
            self._warned_at, self._aborted = now, 0


class _Connection(web.RequestHandler):
    """One connection that speaks HTTP."""

    def __init__(
        self,
        server: web.Server,
        *,
        cap: ConnectionCap,
        headers: Callable[[], Mapping[str, str]],
        closed: Callable[[], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(server, loop=loop, keepalive_timeout=IDLE_SECONDS, access_log=None)  # type: ignore[arg-type]
        self._cap = cap
        self._configured_headers = headers
        self._closed = closed

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._closed()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what aiohttp cannot make a request of."""
        del message
        if status >= 500:
            _log.error("internal error", path=request.path, error=type(exc).__name__)
        else:
            self._count_malformed(exc)
        text = "internal error; see the log\n" if status >= 500 else "the request is not valid HTTP\n"
        response = web.Response(status=status, text=text)
        response.force_close()
        harden(response, self._configured_headers())
        return response

    def log_exception(self, *_: object, **details: object) -> None:
        """Log what aiohttp could not handle, without what the client sent."""
        error = details.get("exc_info")
        if isinstance(error, HttpProcessingError | web.RequestPayloadError):
            self._count_malformed(error)
        else:
            _log.error("HTTP connection failed", error=type(error).__name__)

    def _count_malformed(self, error: BaseException | None) -> None:
        self._cap.malformed += 1
        kind = type(error).__name__
        _log.debug("malformed HTTP request", client=str(self.peername), error=kind, number=self._cap.malformed)


class Acceptor(asyncio.Protocol):
    """A connection as it is accepted: closed where there are too many, else TLS and HTTP take it over."""

    def __init__(
        self,
        server: web.Server,
        cap: ConnectionCap,
        headers: Callable[[], Mapping[str, str]],
        context: Callable[[], ssl.SSLContext | None],
    ) -> None:
        """Serve `server`, by TLS where `context` returns one, with the operator's `headers` on every answer."""
        self._server = server
        self._cap = cap
        self._headers = headers
        self._context = context
        self._client: str | None = None
        self._early: list[bytes] = []
        self._handshake: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection, and hand it on."""
        transport = cast("asyncio.Transport", transport)  # uvloop's are none by class
        peer = transport.get_extra_info("peername")
        client = network_of(str(peer[0])) if isinstance(peer, tuple) else ""
        self._cap.acquire(client, self, transport.abort)
        self._client = client
        context = self._context()
        if context is None:
            self._speak_http(transport)
            return
        transport.pause_reading()
        self._handshake = asyncio.get_running_loop().create_task(self._secure(transport, context))

    def data_received(self, data: bytes) -> None:
        """Keep what comes with the end of the handshake."""
        self._early.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the end of a connection that HTTP has not taken over."""
        del exc
        self._release()

    async def _secure(self, transport: asyncio.Transport, context: ssl.SSLContext) -> None:
        try:
            secure = await asyncio.get_running_loop().start_tls(
                transport, self, context, server_side=True, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
        except (OSError, asyncio.CancelledError):
            secure = None
        if secure is None:
            transport.abort()
            self._release()
            return
        self._speak_http(secure)

    def _speak_http(self, transport: asyncio.Transport) -> None:
        connection = _Connection(self._server, cap=self._cap, headers=self._headers, closed=self._release)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        for data in self._early:
            connection.data_received(data)
        self._early.clear()

    def _release(self) -> None:
        if self._client is not None:
            self._cap.release(self._client, self)
            self._client = None
