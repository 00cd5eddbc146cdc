"""The one way in which notifiers speak HTTP, and what each that does has in its configuration.

Rules of this file:
- Every request has an end in time, and of an answer only its status and Retry-After are read.
- Redirects are not followed: one would carry what is told, and the key in the address, to another host.
- The environment decides nothing but the proxy, and that only where none is configured (HTTPS_PROXY, NO_PROXY).
- No address is repeated in what is said of a failure, for it may hold a key: only its host is.
"""

import asyncio
import email.utils
import os
import ssl
import time
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from pydantic import Field

from smtpcheck.alerts.notifiers.notifier import Failure, Headers, Notifier
from smtpcheck.secrets.source import ConfiguredPath, SecretSource

if TYPE_CHECKING:
    import aiohttp

CONNECT_SECONDS = 5.0
REQUEST_SECONDS = 15.0
LONGEST_RETRY_AFTER = 3600.0
"""Which wait that a server asks for is believed, in seconds."""

_RETRYABLE = frozenset({401, 403, 404, 407, 408, 409, 423, 425, 429})
"""4xx that may go away by themselves, or by a repair on either side, while what is told stays the same."""


Authorities = Annotated[ConfiguredPath | None, Field(description="PEM certificates to verify the server with.")]
Proxy = Annotated[
    str | None,
    Field(
        repr=False,
        pattern=r"^https?://[^/\s]+/?$",
        description="The proxy, as http://host:port. Without it the environment counts.",
    ),
]


class HttpNotifier(Notifier):
    """A place that is told by requests."""

    headers: Headers = Field(default={}, description="Further headers, as {Authorization: {env: NAME}}.")
    ca_file: Authorities = None
    proxy: Proxy = None

    def secrets(self) -> Iterable[tuple[tuple[str | int, ...], SecretSource]]:
        """Return the headers; a kind that has more adds it."""
        yield from ((("headers", name), source) for name, source in self.headers.items())

    def client(self) -> "Client":
        """Return what sends the requests."""
        return Client(ca_file=self.ca_file, proxy=self.proxy)


class Client:
    """Sends requests by one session."""

    def __init__(self, *, ca_file: Path | None = None, proxy: str | None = None) -> None:
        """Trust `ca_file` alone if there is one; ask by `proxy` if there is one."""
        self._ca_file = ca_file
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()

    async def request(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None) -> Failure | None:
        """Send one request; anything but 2xx is a failure."""
        import aiohttp  # noqa: PLC0415 - only where one is configured

        host = urlsplit(url).hostname or "its address"
        try:
            session = await self._opened()
            async with session.request(
                method, url, headers=headers, data=body, allow_redirects=False, proxy=self._proxy_for(url)
            ) as answer:
                return failure_of(host, answer.status, answer.headers.get("Retry-After", ""), time.time())
        except aiohttp.InvalidURL:
            return Failure("its address is no URL")
        except TimeoutError:
            return Failure(f"{host} did not answer in time")
        except (aiohttp.ClientError, OSError, ssl.SSLError, ValueError) as error:
            return Failure(f"{host} {_reason_of(error)}")

    async def close(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()

    async def _opened(self) -> "aiohttp.ClientSession":
        import aiohttp  # noqa: PLC0415

        async with self._opening:
            if self._session is None:
                context = await asyncio.to_thread(ssl.create_default_context, cafile=self._ca_file)
                self._session = aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS, connect=CONNECT_SECONDS),
                    connector=aiohttp.TCPConnector(ssl=context, limit=8),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    headers={"User-Agent": "smtpcheck"},
                )
        return self._session

    def _proxy_for(self, url: str) -> str | None:
        from requests.utils import get_environ_proxies  # noqa: PLC0415 - it reads NO_PROXY as curl does

        return self._proxy or get_environ_proxies(url).get(urlsplit(url).scheme)


def failure_of(host: str, status: int, retry_after: str, now: float) -> Failure | None:
    """Return what an answer means."""
    if 200 <= status < 300:
        return None
    try:
        words = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        words = str(status)
    if 300 <= status < 400:
        return Failure(f"{host} answered {words}; redirects are not followed")
    permanent = 400 <= status < 500 and status not in _RETRYABLE
    return Failure(f"{host} answered {words}", retry_after=_seconds(retry_after, now), permanent=permanent)


def _seconds(text: str, now: float) -> float | None:
    """Return the seconds of Retry-After (RFC 9110 10.2.3): a number, or a date; at most `LONGEST_RETRY_AFTER`."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_RETRY_AFTER)
    try:
        return min(max(email.utils.parsedate_to_datetime(text).timestamp() - now, 0.0), LONGEST_RETRY_AFTER)
    except (ValueError, OverflowError):
        return None


def _reason_of(error: BaseException) -> str:
    """Return what the system says, without the address that a library would repeat."""
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None)
    if isinstance(inner, BaseException):
        return _reason_of(inner)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"shows a certificate that is not trusted: {error.verify_message}"
    number = getattr(error, "errno", None)
    reason = os.strerror(number) if isinstance(number, int) and number > 0 else getattr(error, "strerror", None)
    return f"cannot be reached: {reason.lower()}" if reason else f"ended the connection ({type(error).__name__})"


def read_headers(headers: Mapping[str, SecretSource]) -> dict[str, str]:
    """Return headers with their secrets, read now. Raises SecretUnreadableError. Blocks."""
    return {name: source.read().reveal() for name, source in headers.items()}
