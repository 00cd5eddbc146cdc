"""The exchange in the event loop, by aiohttp.

    exchange = await client.request("POST", url, headers={"Api-Key": key.reveal()}, body=body, keep=("x-request-id",))
    if isinstance(exchange, Fault): ...     # else a Response: status, kept headers, bounded body, times

Rules of this file:
- Nothing is raised but cancellation: what fails is a `Fault`.
- No redirect is followed and none of its body is read. Cookies and `~/.netrc` are not used, and the environment
  decides nothing but the proxy.
"""

import asyncio
import ssl
import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from smtpcheck.http_client.body import ACCEPT_ENCODING, CHUNK, BodyError, BodyReader
from smtpcheck.http_client.exchange import MAX_HEAD, Exchange, Limits, Response, chosen
from smtpcheck.http_client.faults import fault_of
from smtpcheck.http_client.proxy import proxy_for
from smtpcheck.http_client.sent import secrets_of
from smtpcheck.http_client.trust import CaUnusableError, client_context
from smtpcheck.http_client.urls import origin_of, user_secrets
from smtpcheck.log import silence_libraries

silence_libraries()

_WORLD = (aiohttp.ClientError, OSError, ValueError, RuntimeError, BodyError, CaUnusableError)
"""What the libraries raise for failures of the outside world; RuntimeError where no thread can be started."""


class Client:
    """Makes exchanges over connections that it keeps, several at a time."""

    def __init__(
        self,
        *,
        context: ssl.SSLContext | None = None,
        ca_file: Path | None = None,
        proxy: str | None = None,
        limits: Limits | None = None,
        headers: Mapping[str, str] | None = None,
        connections: int = 8,
        local: bool = False,
    ) -> None:
        """Trust what `context` says, else `ca_file` alone if there is one; ask by `proxy` if there is one.

        `headers` are sent with each request. A `local` client asks this machine alone, by no proxy. Nothing is read or
        opened yet.
        """
        self._context = context
        self._ca_file = ca_file
        self._proxy, self._local = proxy, local
        self._limits = limits or Limits()
        self._headers = {"User-Agent": "smtpcheck", "Accept-Encoding": ACCEPT_ENCODING, **(headers or {})}
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close what is open, and what is being opened; each exchange after that is a fault."""
        async with self._opening:
            self._closed = True
            if self._session is not None:
                await self._session.close()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        keep: Iterable[str] = (),
        secrets: Iterable[str] = (),
    ) -> Exchange:
        """Make one exchange.

        Of the response the headers in `keep` (lower case) are kept beside the usual ones. What is in `secrets` is not
        shown, nor is any header that is not known to be public.
        """
        begin = time.monotonic()
        proxy = None if self._local else proxy_for(url, self._proxy)
        sent = secrets_of(url, [*self._headers.items(), *(headers or {}).items()], None, None)
        sent |= frozenset(secrets) | user_secrets(proxy or "")
        try:
            session = await self._opened()
            async with session.request(
                method,
                _parsed(url),
                headers=headers,
                data=body,
                allow_redirects=False,
                proxy=proxy,
            ) as response:
                content = await self._read(response)
        except _WORLD as error:
            return fault_of(error, url, sent, self._limits, seconds=time.monotonic() - begin)
        return Response(
            method=method,
            url=url,
            status=response.status,
            headers=chosen(response.headers.items(), keep),
            body=content.finish(),
            sent=sent,
            at=time.time(),
            seconds=time.monotonic() - begin,
            is_whole=not content.is_full,
        )

    async def _read(self, response: aiohttp.ClientResponse) -> BodyReader:
        limit = self._limits.octets
        if limit == 0 or 300 <= response.status < 400:
            if not response.content.is_eof():  # else the connection may be used again
                response.close()
            return BodyReader("", limit)
        body = BodyReader(response.headers.get("Content-Encoding", ""), limit)
        async for chunk in response.content.iter_chunked(CHUNK):
            body.feed(chunk)
            if body.is_full:
                response.close()
                break
        body.finish()
        return body

    async def _opened(self) -> aiohttp.ClientSession:
        async with self._opening:
            if self._closed:
                raise RuntimeError("Session is closed")
            if self._session is None:
                context = self._context or await asyncio.to_thread(client_context, self._ca_file)
                limits = self._limits
                self._session = aiohttp.ClientSession(
                    auto_decompress=False,
                    connector=_Connector(limits, ssl=context, limit=self._connections),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    headers=self._headers,
                    timeout=aiohttp.ClientTimeout(total=limits.seconds, sock_connect=limits.connect_seconds),
                    trust_env=False,
                )
        return self._session


class _Connector(aiohttp.TCPConnector):
    """Opens connections that count what they read."""

    def __init__(self, limits: Limits, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._factory = partial(_Handler, limits, asyncio.get_running_loop())  # type: ignore[assignment]


class _Handler(ResponseHandler):
    """Cuts the connection where more comes than belongs to a response.

    aiohttp itself reads interim responses and the extensions of chunks for as long as they come.
    """

    def __init__(self, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._body = limits.octets_of_body
        self.left = MAX_HEAD

    def set_response_params(self, **params: Any) -> None:
        """Begin the next response."""
        self.left = MAX_HEAD
        super().set_response_params(**params)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Pass on a response whose headers are there."""
        if data[0].code >= 200:
            self.left += self._body
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        """Take octets from the connection."""
        self.left -= len(data)
        super().data_received(data)
        if self.left < 0 and self.transport is not None:
            self.set_exception(HttpProcessingError(message="the response has too many octets around its body"))
            self.transport.abort()


def _parsed(url: str) -> URL:
    """Return the URL as it is written, where it is written as it is sent."""
    if origin_of(url) is None:
        raise aiohttp.InvalidURL("")
    return URL(url, encoded=url.isascii() and " " not in url)
