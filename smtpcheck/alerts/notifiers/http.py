"""How notifiers speak HTTP, and what each that does has in its configuration.

Rules of this file:
- The exchange is that of `http_client`, so a redirect is not followed: it would carry what is said, and the key in the
  address, to another host.
- No address is repeated in what is said of a failure, for it may hold a key: only its host is.
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from smtpcheck.alerts.notifiers.notifier import Failure, Headers, Notifier
from smtpcheck.http_client.exchange import Exchange, Fault, FaultKind, Limits
from smtpcheck.http_client.urls import host_of, url_secrets
from smtpcheck.secrets.source import ConfiguredPath, SecretSource

if TYPE_CHECKING:
    from smtpcheck.http_client import client as http_client

LIMITS = Limits(seconds=15.0, connect_seconds=5.0, octets=0)
"""Of an answer only its status and Retry-After are read."""

_RETRYABLE = frozenset({401, 403, 404, 407, 408, 409, 423, 425, 429})
"""4xx that may go away by themselves, or by a fix on either side, while what is sent stays the same."""


Authorities = Annotated[ConfiguredPath | None, Field(description="PEM certificates to verify the server with.")]
Proxy = Annotated[
    str | None,
    Field(
        repr=False,
        pattern=r"^https?://[^/\s]+/?$",
        description="The proxy, such as http://host:port. Default: that of the environment.",
    ),
]


class HttpNotifier(Notifier):
    """A place that takes requests."""

    headers: Headers = Field(default={}, description="Further headers, such as {Authorization: {env: NAME}}.")
    ca_file: Authorities = None
    proxy: Proxy = None

    def secrets(self) -> Iterable[tuple[tuple[str | int, ...], SecretSource]]:
        """Return the headers; a kind that has more adds it."""
        yield from ((("headers", name), source) for name, source in self.headers.items())

    def client(self) -> "Client":
        """Return what sends the requests."""
        return Client(ca_file=self.ca_file, proxy=self.proxy)


class Client:
    """Sends notifications over connections that it keeps."""

    def __init__(self, *, ca_file: Path | None = None, proxy: str | None = None) -> None:
        """Trust `ca_file` alone if there is one; ask by `proxy` if there is one."""
        self._ca_file = ca_file
        self._proxy = proxy
        self._client: http_client.Client | None = None

    async def request(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None) -> Failure | None:
        """Send one request; anything but 2xx is a failure."""
        if self._client is None:
            from smtpcheck.http_client import client  # noqa: PLC0415 - aiohttp, only where one is configured

            self._client = client.Client(ca_file=self._ca_file, proxy=self._proxy, limits=LIMITS)
        exchange = await self._client.request(method, url, headers=headers, body=body, secrets=url_secrets(url))
        return failure_of(host_of(url), exchange)

    async def close(self) -> None:
        """Close what is open."""
        if self._client is not None:
            await self._client.close()


def failure_of(host: str, exchange: Exchange) -> Failure | None:
    """Return what an exchange with a host means; only 2xx is success."""
    if isinstance(exchange, Fault):
        return Failure(_reason(host, exchange))
    status = exchange.status
    if 200 <= status < 300:
        return None
    try:
        words = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        words = str(status)
    if 300 <= status < 400:
        return Failure(f"{host} answered {words}; redirects are not followed")
    permanent = 400 <= status < 500 and status not in _RETRYABLE
    return Failure(f"{host} answered {words}", retry_after=exchange.retry_after, permanent=permanent)


def _reason(host: str, fault: Fault) -> str:
    match fault.kind:
        case FaultKind.REQUEST:
            return f"its address or a header is not valid: {fault.detail}"
        case FaultKind.TIMEOUT:
            return f"{host} did not answer in time"
        case FaultKind.TLS:
            return f"{host} cannot be trusted: {fault.detail}"
        case FaultKind.PROXY:
            return f"the proxy cannot be used: {fault.detail.lower()}"
        case FaultKind.CLOSED | FaultKind.PROTOCOL:
            return f"{host} closed the connection: {fault.detail.lower()}"
        case FaultKind.OUT_OF_RESOURCES:
            return f"this machine cannot send: {fault.detail.lower()}"
        case _:
            return f"{host} cannot be reached: {fault.detail.lower()}"


def read_headers(headers: Mapping[str, SecretSource]) -> dict[str, str]:
    """Return headers with their secrets, read now. Raises SecretUnreadableError. Blocks."""
    return {name: source.read().reveal() for name, source in headers.items()}
