"""HTTP over a connection of our own, against servers that lie, drip, flood and leave: phases, faults, and no leak."""

import asyncio
import gzip
import ssl
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.http_client.connection import HttpConnection, HttpRequest, open_connection
from smtpcheck.http_client.exchange import MAX_HEAD, Limits, Response
from smtpcheck.http_client.link import Link
from smtpcheck.http_client.phases import Phases
from smtpcheck.model.check import Phase, Security, Server
from smtpcheck.model.report import Fault, FaultKind
from smtpcheck.network.network import Network
from smtpcheck.network.tls import TlsContexts
from tests.worlds.raw_server import RawServer, endless, serving

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("localhost", "127.0.0.1")
TOKEN = "s3cret-bearer-token"
LIMITS = Limits(octets=1000)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CERTIFICATE.configure_cert(context)
    return context


@pytest.fixture
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return str(path)


def server_of(port: int, ca_file: str | None, host: str = "127.0.0.1") -> Server:
    return Server(host, port, Security.IMPLICIT, host, "", ca_file)


@asynccontextmanager
async def opened(server: Server, *, proxy: str | None = None) -> AsyncIterator[tuple[HttpConnection | None, Phases]]:
    network = Network(TlsContexts([server]))
    begin = time.monotonic()
    phases = Phases(lambda: time.monotonic() - begin)
    async with asyncio.timeout(20):
        found = await open_connection(server, network=network, proxy=proxy, phases=phases, monotonic=time.monotonic)
        try:
            yield found.connection, phases
        finally:
            if found.connection is not None:
                found.connection.close()
            network.close()


def request(body: bytes = b"") -> HttpRequest:
    return HttpRequest("POST", "https://127.0.0.1/v1/send?x=1", {"Authorization": f"Bearer {TOKEN}"}, body)


async def asked(answer: Iterable[bytes], ca_file: str, limits: Limits = LIMITS) -> Response | Fault:
    """Return what one request comes to."""
    with serving([answer], context=server_context()) as raw:
        async with opened(server_of(raw.port, ca_file)) as (connection, _):
            assert connection is not None
            return await connection.exchange(request(b"body"), limits, wall=time.time)


def faults(phases: Phases) -> list[tuple[Phase, FaultKind | None]]:
    return [(step.phase, step.fault.kind if step.fault else None) for step in phases.steps]


async def test_each_phase_has_its_time_and_the_request_arrives_whole(ca_file: str) -> None:
    with serving([[OK]], context=server_context()) as raw:
        async with opened(server_of(raw.port, ca_file)) as (connection, phases):
            assert faults(phases) == [(Phase.DNS, None), (Phase.CONNECT, None), (Phase.TLS, None)]
            assert all(step.seconds >= 0 for step in phases.steps)
            assert connection is not None
            response = await connection.exchange(request(b"body"), LIMITS, keep=("x-id",), wall=time.time)
    assert isinstance(response, Response)
    assert (response.status, response.body, response.is_whole) == (200, b"hi", True)
    assert raw.head.startswith("POST /v1/send?x=1 HTTP/1.1\r\n")
    assert f"host: 127.0.0.1:{raw.port}\r\n" in raw.head.lower()
    assert TOKEN not in repr(response)


async def test_a_connection_that_the_server_keeps_is_used_again_and_a_closed_one_is_not(ca_file: str) -> None:
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"
    for answer, again in ((OK, True), (closing, False)):
        raw = RawServer()
        with serving([raw.hang(answer)], raw, context=server_context()):
            async with opened(server_of(raw.port, ca_file)) as (connection, _):
                assert connection is not None
                await connection.exchange(request(), LIMITS, wall=time.time)
                assert connection.can_be_used is again


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ([], FaultKind.CLOSED),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhi"], FaultKind.CLOSED),
        ([b"220 smtp.example.org ESMTP\r\n"], FaultKind.PROTOCOL),
        ([b"\x00\x01\x02\r\n\r\n"], FaultKind.PROTOCOL),
        ([b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\nhi"], FaultKind.PROTOCOL),
        ([b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi"], FaultKind.PROTOCOL),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhi"], FaultKind.PROTOCOL),
        (endless(b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 1000 + b"\r\n"), FaultKind.PROTOCOL),
        (endless(b"HTTP/1.1 103 Early\r\nX: " + b"y" * 1000 + b"\r\n\r\n"), FaultKind.TOO_LONG),
    ],
    ids=["nothing", "cut", "smtp", "binary", "brotli", "no-gzip", "two-lengths", "headers-without-end", "interim"],
)
async def test_what_is_no_response_is_a_fault(answer: Iterable[bytes], kind: FaultKind, ca_file: str) -> None:
    outcome = await asked(answer, ca_file)
    assert isinstance(outcome, Fault)
    assert outcome.kind in {kind, FaultKind.CLOSED} if kind is FaultKind.CLOSED else outcome.kind is kind
    assert TOKEN not in str(outcome)


@pytest.mark.parametrize("encoding", ["plain", "gzip", "chunked"])
async def test_no_more_of_a_body_is_read_than_the_limit(encoding: str, ca_file: str) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    answers = {
        "plain": endless(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", b"x" * 1000),
        "gzip": [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb],
        "chunked": endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"a\r\n0123456789\r\n"),
    }
    outcome = await asked(answers[encoding], ca_file)
    assert isinstance(outcome, Response)
    assert len(outcome.body) == LIMITS.octets
    assert not outcome.is_whole


async def test_a_redirect_is_an_answer_and_nothing_follows_it(ca_file: str) -> None:
    elsewhere = RawServer()
    with serving([[OK]], elsewhere):
        head = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere.url}/\r\nContent-Length: 9999\r\n\r\n"
        outcome = await asked([head.encode()], ca_file)
    assert isinstance(outcome, Response)
    assert (outcome.status, outcome.body) == (302, b"")
    assert elsewhere.requests == []


@pytest.mark.parametrize("key", ["key\nX-Other: 1", "key\r\n\r\nGET / HTTP/1.1", "key\x00", "kéy\u2028"])
async def test_a_key_that_no_header_may_hold_is_not_sent(key: str, ca_file: str) -> None:
    with serving([[OK]], context=server_context()) as raw:
        async with opened(server_of(raw.port, ca_file)) as (connection, _):
            assert connection is not None
            outcome = await connection.exchange(
                HttpRequest("GET", "https://x/", {"Api-Key": key}), LIMITS, wall=time.time
            )
            assert isinstance(outcome, Fault)
            assert outcome.kind is FaultKind.NOT_SENDABLE
            assert "key" not in outcome.detail
        assert all(b"GET" not in each for each in raw.requests)


async def test_a_certificate_that_is_not_trusted_is_read_and_nothing_is_sent() -> None:
    with serving([[OK]], context=server_context()) as raw:
        server = server_of(raw.port, None)
        network = Network(TlsContexts([server]))
        phases = Phases(time.monotonic)
        found = await open_connection(server, network=network, proxy=None, phases=phases, monotonic=time.monotonic)
        network.close()
    assert found.connection is None
    assert found.tls is not None
    assert found.tls.certificate is not None
    assert not found.tls.certificate.verified
    assert faults(phases)[-1] == (Phase.TLS, FaultKind.TLS_UNTRUSTED)
    assert all(b"POST" not in each for each in raw.requests)


async def test_a_port_that_nobody_listens_on_is_refused_in_phase_connect(ca_file: str) -> None:
    with serving([[OK]]) as raw:
        port = raw.port
    async with opened(server_of(port, ca_file)) as (connection, phases):
        assert connection is None
        assert faults(phases) == [(Phase.DNS, None), (Phase.CONNECT, FaultKind.REFUSED)]


async def test_a_proxy_that_refuses_the_tunnel_is_a_fault_of_connect_and_gets_no_token(ca_file: str) -> None:
    with serving([[b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"]]) as proxy:
        url = f"http://user:pa55word@127.0.0.1:{proxy.port}"
        async with opened(server_of(443, ca_file, "localhost"), proxy=url) as (connection, phases):
            assert connection is None
            step = phases.steps[-1]
            assert step.fault is not None
            assert (step.phase, step.fault.kind) == (Phase.CONNECT, FaultKind.REFUSED)
            assert "407" in step.fault.detail
            assert "pa55word" not in step.fault.detail
    assert proxy.head.startswith("CONNECT localhost:443 HTTP/1.1")
    assert TOKEN not in proxy.head


async def test_a_proxy_that_is_none_is_said(ca_file: str) -> None:
    async with opened(server_of(443, ca_file), proxy="socks5h://127.0.0.1:1") as (connection, phases):
        assert connection is None
        assert faults(phases) == [(Phase.CONNECT, FaultKind.OS)]


async def test_what_hangs_is_ended_from_outside_and_leaves_nothing_open(ca_file: str) -> None:
    raw = RawServer()
    with serving([raw.hang(b"HTTP/1.1 200 OK\r\n")], raw, context=server_context()):
        async with opened(server_of(raw.port, ca_file)) as (connection, _):
            assert connection is not None
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await connection.exchange(request(), LIMITS, wall=time.time)
            assert not connection.can_be_used


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_whatever_comes_a_link_raises_nothing_and_keeps_a_bound(parts: list[bytes]) -> None:
    link = Link()
    for part in parts:
        link.data_received(part)
    link.eof_received()
    assert link.fault is not None
    assert link.fault.kind is FaultKind.CLOSED


def test_the_head_has_a_limit_of_its_own() -> None:
    assert MAX_HEAD <= 64 * 1024
