"""HTTP/1.1 over one connection, opened phase by phase: dns, connect, tls, request.

    opened = await open_connection(server, network=network, proxy=None, phases=phases)
    outcome = await opened.exchange(request, limits)      # a Response, or the report's Fault

Rules of this file:
- Nothing is raised but cancellation; the caller bounds the time, and closes the connection.
- Name, socket and TLS are our own, so that each phase has its own time and its own fault; the messages are h11's.
- TLS always, with the server's certificate verified; no redirect is followed and none of its body is read.
- Whether a request may have reached the server is known: before `exchange` writes, the connection was seen open.
- A proxy is asked for a tunnel (RFC 9110 9.3.6), which counts as connecting; of a proxy only http is spoken.
"""

import base64
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import unquote, urlsplit

import h11

from smtpcheck.http_client.body import ACCEPT_ENCODING, BodyError, BodyReader
from smtpcheck.http_client.exchange import MAX_HEAD, Limits, Response, chosen
from smtpcheck.http_client.link import Link
from smtpcheck.http_client.phases import Phases
from smtpcheck.http_client.sent import secrets_of
from smtpcheck.http_client.urls import origin_of, user_secrets
from smtpcheck.model.check import IpVersion, Phase, Server
from smtpcheck.model.printable import printable
from smtpcheck.model.report import Fault, FaultKind, TlsFacts
from smtpcheck.network.connecting import connect, summed_up
from smtpcheck.network.network import Network
from smtpcheck.network.resolver import AddressInfo
from smtpcheck.network.system_faults import os_fault
from smtpcheck.network.tls import VERIFICATION_FAILED
from smtpcheck.secrets.redaction import redact

_LONGEST_DETAIL = 200
_DEFAULT_PORT = 443
_HTTP = b"HTTP/"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request, credential and all."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    """What of URL and body must not be shown; headers are secret unless known to be public."""


class HttpConnection:
    """One open connection to one server. Not for two exchanges at once."""

    def __init__(self, link: Link, server: Server, opened_at: float) -> None:
        self.server = server
        self.opened_at = opened_at
        """Monotonic seconds."""
        self._link = link
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._received = 0
        self._first = b""
        """The first octets of the response."""

    @property
    def can_be_used(self) -> bool:
        """Return whether another request may be sent, as far as is known."""
        return self._link.is_open and not self._link.has_unread and self._http.our_state is h11.IDLE

    def close(self) -> None:
        """Close at once."""
        self._link.close()

    async def exchange(
        self, request: HttpRequest, limits: Limits, *, keep: Sequence[str] = (), wall: Callable[[], float]
    ) -> Response | Fault:
        """Send a request and return its response, with the headers in `keep` (lower case) beside the usual ones.

        A fault of kind `NOT_SENDABLE`: nothing was sent. Of any other, the request may have reached the server.
        """
        sent = secrets_of(request.url, request.headers.items(), None, None) | request.secrets
        try:
            octets = self._written(request)
        except (h11.LocalProtocolError, UnicodeError):
            return Fault(FaultKind.NOT_SENDABLE, "a header or the URL cannot be sent as it is")
        self._link.send(octets)
        try:
            head = await self._head(limits)
            body = await self._body(head, limits)
        except (h11.RemoteProtocolError, BodyError) as error:
            self.close()
            detail = printable(redact(str(error), sent, _LONGEST_DETAIL))
            cut = self._link.fault if self._first.startswith(_HTTP[: len(self._first)]) else None
            return cut or Fault(FaultKind.PROTOCOL, detail)
        except _EndedError as ended:
            self.close()
            return ended.fault
        return Response(
            method=request.method,
            url=request.url,
            status=head.status_code,
            headers=chosen(((n.decode("latin-1"), v.decode("latin-1")) for n, v in head.headers), keep),
            body=body.finish(),
            sent=sent,
            at=wall(),
            is_whole=not body.is_full,
        )

    def _written(self, request: HttpRequest) -> bytes:
        """Return the request as octets. Raises LocalProtocolError, and UnicodeError for what is beyond Latin-1."""
        parts = urlsplit(request.url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {
            "Host": _netloc(self.server),
            "User-Agent": "smtpcheck",
            "Accept-Encoding": ACCEPT_ENCODING,
            **request.headers,
        }
        if request.body or request.method not in {"GET", "HEAD"}:
            headers["Content-Length"] = str(len(request.body))
        if self._http.our_state is not h11.IDLE:
            self._http.start_next_cycle()
        head = h11.Request(
            method=request.method,
            target=target.encode("ascii"),
            headers=[(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()],
        )
        octets = self._http.send(head) or b""
        if request.body:
            octets += self._http.send(h11.Data(data=request.body)) or b""
        return octets + (self._http.send(h11.EndOfMessage()) or b"")

    async def _head(self, limits: Limits) -> h11.Response:
        self._received, self._first = 0, b""
        while True:
            event = await self._event(limits)
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise _EndedError(Fault(FaultKind.CLOSED, "the server closed the connection without a response"))

    async def _body(self, head: h11.Response, limits: Limits) -> BodyReader:
        if limits.octets == 0 or 300 <= head.status_code < 400:
            self.close()
            return BodyReader("", 0)
        encodings = [value.decode("latin-1") for name, value in head.headers if name == b"content-encoding"]
        body = BodyReader(encodings[0] if encodings else "", limits.octets)
        while isinstance(event := await self._event(limits), h11.Data):
            body.feed(bytes(event.data))
            if body.is_full:
                self.close()
                return body
        body.finish()
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        else:
            self.close()
        return body

    async def _event(self, limits: Limits) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            octets = await self._link.receive()
            self._received += len(octets)
            self._first = (self._first + octets[: len(_HTTP)])[: len(_HTTP)]
            if self._received > MAX_HEAD + limits.octets_of_body:
                raise _EndedError(Fault(FaultKind.TOO_LONG, "the response has too many octets around its body"))
            if not octets and self._link.fault is not None and self._link.fault.kind is not FaultKind.CLOSED:
                raise _EndedError(self._link.fault)
            self._http.receive_data(octets)
        return event


class _EndedError(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.detail)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Opened:
    """What came of opening a connection; the fault of its phase is in the phases."""

    connection: HttpConnection | None
    tls: TlsFacts | None = None


async def open_connection(
    server: Server, *, network: Network, proxy: str | None, phases: Phases, monotonic: Callable[[], float]
) -> Opened:
    """Open a connection to a server, its TLS established; each phase is recorded."""
    first = server if proxy is None else _proxy_server(proxy, server)
    if first is None:
        phases.begin(Phase.CONNECT)
        phases.end(Fault(FaultKind.OS, "the proxy's URL is not one of http://HOST:PORT"))
        return Opened(None)
    addresses = await _resolve(first, network, phases)
    if not addresses:
        return Opened(None)
    link = Link()
    try:
        reached = await _connect(addresses, link, proxy, server, phases)
        if reached is None:
            return Opened(None)
        phases.begin(Phase.TLS)
        fault = await link.secure(network.contexts.verified(server), server.server_name)
        phases.end(fault)
        if fault is None:
            return Opened(HttpConnection(link, server, monotonic()), link.facts)
        unverified = fault.kind in VERIFICATION_FAILED and proxy is None
        return Opened(None, await _read_certificate(reached, server, network) if unverified else None)
    except BaseException:
        link.close()
        raise
    finally:
        if link.fault is not None:
            link.close()


async def _resolve(server: Server, network: Network, phases: Phases) -> Sequence[AddressInfo]:
    phases.begin(Phase.DNS)
    answer = await network.resolver.resolve(server.host, server.port, server.ip_version)
    phases.end(answer.fault, seconds=answer.seconds)
    return answer.addresses


async def _connect(
    addresses: Sequence[AddressInfo], link: Link, proxy: str | None, server: Server, phases: Phases
) -> AddressInfo | None:
    """Connect the link to the first address that answers, and through a proxy if there is one."""
    phases.begin(Phase.CONNECT)
    try:
        reached = await connect(addresses, link, phases.attempts)
    except OSError as error:
        phases.end(summed_up(phases.attempts) or os_fault(error))
        return None
    fault = await _tunnel(link, proxy, server) if proxy is not None else None
    phases.end(fault)
    return None if fault is not None else reached


async def _read_certificate(reached: AddressInfo, server: Server, network: Network) -> TlsFacts | None:
    """Connect again to the same address, shake hands without verification, send nothing more, and return the facts."""
    link = Link()
    try:
        with contextlib.suppress(OSError):
            await connect([reached], link, [])
            await link.secure(network.contexts.unverified, server.server_name)
    finally:
        link.close()
    return link.facts


async def _tunnel(link: Link, proxy: str, server: Server) -> Fault | None:
    """Ask a proxy to connect to the server; return why it does not."""
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
    target = f"{_bracketed(server.host)}:{server.port}"
    headers = [("Host", target), *_proxy_authorization(proxy)]
    try:
        link.send(http.send(h11.Request(method="CONNECT", target=target, headers=headers)) or b"")
        while (event := http.next_event()) is h11.NEED_DATA or isinstance(event, h11.InformationalResponse):
            http.receive_data(await link.receive())
    except h11.ProtocolError as error:
        said = redact(str(error), user_secrets(proxy), _LONGEST_DETAIL)
        return link.fault or Fault(FaultKind.PROTOCOL, f"the proxy: {printable(said)}")
    if isinstance(event, h11.Response) and event.status_code // 100 == 2:
        return None
    status = f"HTTP status {event.status_code}" if isinstance(event, h11.Response) else "no response"
    return link.fault or Fault(FaultKind.REFUSED, f"the proxy answers with {status}")


def _proxy_authorization(proxy: str) -> list[tuple[str, str]]:
    parts = urlsplit(proxy)
    if not parts.username:
        return []
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return [("Proxy-Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")]


def _proxy_server(proxy: str, server: Server) -> Server | None:
    origin = origin_of(proxy)
    if origin is None or origin[0] != "http":
        return None
    return replace(server, host=origin[1], port=origin[2], ip_version=IpVersion.ANY)


def _netloc(server: Server) -> str:
    host = _bracketed(server.host)
    return host if server.port == _DEFAULT_PORT else f"{host}:{server.port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
