"""How many connections the page takes, how long they may idle, and what malformed HTTP is answered."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import structlog
import trustme

from smtpcheck.web import connections, create_app, serve
from smtpcheck.web.security import network_of
from tests.web.world import World

REQUEST = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def _connected(
    port: int, source: str = "127.0.0.1", context: ssl.SSLContext | None = None
) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0), ssl=context)
    try:
        yield reader, writer
    finally:
        writer.close()


async def _answer(port: int, sent: bytes, source: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> bytes:
    async with _connected(port, source, context) as (reader, writer):
        writer.write(sent)
        try:
            return await reader.read()
        except ConnectionError:
            return b""


async def test_idle_connections_of_one_client_leave_room_for_others(world: World) -> None:
    async with (
        serve(create_app(world), ("127.0.0.1", 0), most_connections=5) as (_, port),
        AsyncExitStack() as idle,
    ):
        for _ in range(20):
            await idle.enter_async_context(_connected(port))
        assert await _answer(port, REQUEST) == b""
        assert b" 200 " in await _answer(port, REQUEST, source="127.0.0.2")


async def test_a_connection_that_ends_makes_room(world: World) -> None:
    async with serve(create_app(world), ("127.0.0.1", 0), most_connections=2) as (_, port):
        for _ in range(5):
            assert b" 200 " in await _answer(port, REQUEST)


async def test_all_clients_together_are_limited(world: World) -> None:
    async with (
        serve(create_app(world), ("127.0.0.1", 0), most_connections=3) as (_, port),
        AsyncExitStack() as idle,
    ):
        for number in range(3):
            await idle.enter_async_context(_connected(port, f"127.0.0.{number + 1}"))
        assert await _answer(port, REQUEST, source="127.0.0.9") == b""


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
async def test_a_header_that_does_not_come_is_not_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.2)
    async with serve(create_app(world), ("127.0.0.1", 0)) as (_, port), asyncio.timeout(10):
        assert await _answer(port, sent) == b""


@pytest.fixture
def ca(tmp_path: Path) -> trustme.CA:
    authority = trustme.CA()
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "pair.pem")
    (tmp_path / "web.yml").write_text("tls_server_config: {cert_file: pair.pem, key_file: pair.pem}\n")
    return authority


async def test_a_tls_handshake_is_counted_and_limited_in_time(
    world: World, monkeypatch: pytest.MonkeyPatch, ca: trustme.CA, tmp_path: Path
) -> None:
    monkeypatch.setattr(connections, "HANDSHAKE_SECONDS", 0.5)
    context = ssl.create_default_context()
    ca.configure_trust(context)
    app = create_app(world)
    async with serve(app, ("127.0.0.1", 0), tmp_path / "web.yml", most_connections=2) as (_, port):
        async with _connected(port) as (silent, _), asyncio.timeout(10):
            with pytest.raises((ConnectionError, ssl.SSLError)):
                await _answer(port, REQUEST, context=context)
            assert await silent.read() == b""
        assert b" 200 " in await _answer(port, REQUEST, context=context)


async def test_malformed_http_is_refused_hardened_and_not_repeated(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    sent = b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic hunter2\x00\r\n\r\n"
    with structlog.testing.capture_logs() as lines, caplog.at_level(logging.DEBUG):
        async with serve(create_app(world), ("127.0.0.1", 0)) as (_, port):
            answer = await _answer(port, sent)
            await _answer(port, b"\x16\x03\x01 nonsense\r\n\r\n")
    assert answer.startswith(b"HTTP/1.0 400 ")
    assert b"Content-Security-Policy: default-src 'none'" in answer
    malformed = [line for line in lines if line["event"] == "malformed HTTP request"]
    assert [(line["log_level"], line["number"]) for line in malformed] == [("debug", 1), ("debug", 2)]
    assert "hunter2" not in f"{answer!r}{lines}{caplog.text}"
    assert "ERROR" not in caplog.text


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_what_counts_as_one_client(address: str, network: str) -> None:
    assert network_of(address) == network
