"""Asks Microsoft Graph by HTTP, with every failure in Graph's own words.

Rules of this file:
- The token goes to the host of Graph alone: no redirect is followed, and a further page is asked for only at the same
  address.
- An answer has a greatest size, and every wait an end; the whole search is bounded by whoever asks.
- Where Graph asks to wait a moment (429, 503, 504 with Retry-After), that is done once; a longer wait is told.
- The environment decides nothing but the proxy, and that only where none is configured.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
from requests.utils import get_environ_proxies
from yarl import URL

from smtpcheck.loopback.finder import FinderError, FinderStep
from smtpcheck.model.printable import printable
from smtpcheck.secrets.redaction import redact
from smtpcheck.secrets.secret import Secret

MAX_ANSWER = 2 * 1024 * 1024
MOST_PAGES = 50
LONGEST_WAIT = 5.0
"""Seconds that are waited at Graph's word; what is longer is told instead."""

_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=30)
_LONGEST_DETAIL = 300
_BUSY = frozenset({429, 503, 504})


class GraphError(Exception):
    """A request that did not succeed."""

    def __init__(self, error: FinderError, status: int | None = None) -> None:
        """Tell what is to be told of it, and the status of the answer if there was one."""
        super().__init__(error.detail)
        self.error = error
        self.status = status


class GraphClient:
    """One connection to Graph."""

    def __init__(self, root: str, token: Secret, *, context: ssl.SSLContext, proxy: str | None) -> None:
        """Ask the URL `root`; by `proxy`, or by what the environment names."""
        self._root = root
        self._token = token
        self._context = context
        self._proxy = proxy or get_environ_proxies(root).get("https")
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._context, limit=1),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_TIMEOUT,
            headers={
                "Authorization": f"Bearer {self._token.reveal()}",
                "Accept": "application/json",
                "Prefer": 'IdType="ImmutableId"',
            },
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get(self, path: str) -> Mapping[str, Any]:
        """Return the object at a path below the root, query included. Raises GraphError."""
        return await self._ask("GET", f"{self._root}{path}", FinderStep.SEARCH)

    async def pages(self, path: str) -> AsyncIterator[Mapping[str, Any]]:
        """Yield each object of a collection, page after page. Raises GraphError."""
        url: str | None = f"{self._root}{path}"
        for _ in range(MOST_PAGES):
            if url is None:
                return
            page = await self._ask("GET", url, FinderStep.SEARCH)
            values, url = page.get("value"), page.get("@odata.nextLink")
            for value in values if isinstance(values, list) else ():
                if isinstance(value, Mapping):
                    yield value
            if url is not None and not self._is_ours(url):
                raise GraphError(FinderError(FinderStep.SEARCH, "the next page is said to be at another address"))

    async def delete(self, path: str, *, method: str = "DELETE") -> None:
        """Delete the object at a path. Raises GraphError."""
        await self._ask(method, f"{self._root}{path}", FinderStep.DELETE)

    def _is_ours(self, url: object) -> bool:
        if not isinstance(url, str):
            return False
        theirs, ours = urlsplit(url), urlsplit(self._root)
        return (theirs.scheme, theirs.netloc.lower()) == (ours.scheme, ours.netloc.lower())

    async def _ask(self, method: str, url: str, step: FinderStep) -> Mapping[str, Any]:
        try:
            return await self._once(method, url, step)
        except GraphError as refused:
            wait = refused.error.retry_after
            if refused.status not in _BUSY or wait is None or wait > LONGEST_WAIT:
                raise
            await asyncio.sleep(wait)
        return await self._once(method, url, step)

    async def _once(self, method: str, url: str, step: FinderStep) -> Mapping[str, Any]:
        try:
            async with self._session.request(
                method, URL(url, encoded=True), proxy=self._proxy, allow_redirects=False
            ) as response:
                body = await _read(response, step)
                if response.status // 100 != 2:
                    raise GraphError(self._refusal(response, body, step), response.status)
        except aiohttp.ClientError as error:
            raise GraphError(FinderError(_step_of(error, step), self._words(_reason(error)))) from None
        except TimeoutError:
            raise GraphError(FinderError(step, "Graph does not answer")) from None
        if not body:
            return {}
        answer = _json(body)
        if answer is None:
            raise GraphError(FinderError(step, "the answer is no JSON object"))
        return answer

    def _refusal(self, response: aiohttp.ClientResponse, body: bytes, step: FinderStep) -> FinderError:
        outer = _json(body) or {}
        error = outer.get("error")
        inner = error if isinstance(error, Mapping) else {}
        code, message = str(inner.get("code") or ""), str(inner.get("message") or f"HTTP {response.status}")
        request_id = response.headers.get("request-id", "")
        detail = self._words(f"{message} (request-id {request_id})" if request_id else message)
        if step is FinderStep.SEARCH and response.status in {401, 403}:
            step = FinderStep.LOGIN
        return FinderError(step, detail, self._words(code)[:80], _retry_after(response.headers.get("Retry-After")))

    def _words(self, text: str) -> str:
        return redact(printable(text), (self._token.reveal(),))[:_LONGEST_DETAIL].strip()


async def _read(response: aiohttp.ClientResponse, step: FinderStep) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > MAX_ANSWER:
            raise GraphError(FinderError(step, f"the answer has more than {MAX_ANSWER} octets"))
    return bytes(body)


def _json(body: bytes) -> Mapping[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, Mapping) else None


def _retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110 10.2.3); a date is a wait longer than a moment."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return min(float(value), 86400.0)
    try:
        parsedate_to_datetime(value)
    except ValueError:
        return None
    return 60.0


def _step_of(error: aiohttp.ClientError, step: FinderStep) -> FinderStep:
    if isinstance(error, aiohttp.ClientSSLError | aiohttp.ServerFingerprintMismatch):
        return FinderStep.TLS
    return FinderStep.CONNECT if isinstance(error, aiohttp.ClientConnectionError) else step


def _reason(error: aiohttp.ClientError) -> str:
    """Return what the system said, rather than what aiohttp makes of it."""
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return cause.verify_message
    return str(getattr(cause, "strerror", None) or str(error) or type(error).__name__)
