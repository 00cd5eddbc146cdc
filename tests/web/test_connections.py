"""How many connections the page takes, how long they may idle, and what malformed HTTP is answered."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
import structlog
import trustme

from smtpcheck.web import connections, create_app, serve
from smtpcheck.web.security import network_of
from tests.web.world import World
from tests.worlds.waiting import HANG_SECONDS, until

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
        held = [await idle.enter_async_context(_connected(port)) for _ in range(20)]
        await until(lambda: sum(reader.at_eof() for reader, _ in held) == 20 - 4)
        assert not any(reader.at_eof() for reader, _ in held[-4:])
        assert b" 200 " in await _answer(port, REQUEST, source="127.0.0.2")
        assert b" 200 " in await _answer(port, REQUEST)


async def test_a_connection_that_ends_makes_room(world: World) -> None:
    async with serve(create_app(world), ("127.0.0.1", 0), most_connections=2) as (_, port):
        for _ in range(5):
            assert b" 200 " in await _answer(port, REQUEST)


async def test_all_clients_together_are_limited_and_a_newcomer_takes_the_place_of_the_oldest(world: World) -> None:
    """However many clients hold idle connections, a health check from elsewhere is answered."""
    async with (
        serve(create_app(world), ("127.0.0.1", 0), most_connections=4) as (_, port),
        AsyncExitStack() as idle,
        asyncio.timeout(HANG_SECONDS),
    ):
        sources = [f"127.0.0.{number}" for number in (1, 2, 3, 3)]
        held = [await idle.enter_async_context(_connected(port, source)) for source in sources]
        for _ in range(2):
            assert b" 200 " in await _answer(port, REQUEST, source="127.0.0.9")
        assert await held[2][0].read() == b""  # the oldest of the one that has most
        assert not any(reader.at_eof() for reader, _ in (held[0], held[1], held[3]))
        assert b" 200 " in await _answer(port, REQUEST, source="127.0.0.3")


async def test_of_clients_that_have_the_same_number_each_gives_way_to_itself(world: World) -> None:
    async with (
        serve(create_app(world), ("127.0.0.1", 0), most_connections=3) as (_, port),
        AsyncExitStack() as idle,
        asyncio.timeout(HANG_SECONDS),
    ):
        sources = [f"127.0.0.{number}" for number in (1, 2, 3)]
        held = [await idle.enter_async_context(_connected(port, source)) for source in sources]
        assert b" 200 " in await _answer(port, REQUEST, source="127.0.0.2")
        assert [reader.at_eof() for reader, _ in held] == [False, True, False]


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


async def test_a_tls_handshake_is_limited_in_time(
    world: World, monkeypatch: pytest.MonkeyPatch, ca: trustme.CA, tmp_path: Path
) -> None:
    monkeypatch.setattr(connections, "HANDSHAKE_SECONDS", 0.5)
    app = create_app(world)
    async with (
        serve(app, ("127.0.0.1", 0), tmp_path / "web.yml") as (_, port),
        asyncio.timeout(HANG_SECONDS),
        _connected(port) as (silent, _),
    ):
        assert await silent.read() == b""


@pytest.mark.parametrize("speaks_tls", [False, True])
async def test_by_tls_too_the_oldest_gives_way_before_and_after_its_handshake(
    world: World, monkeypatch: pytest.MonkeyPatch, ca: trustme.CA, tmp_path: Path, speaks_tls: bool
) -> None:
    monkeypatch.setattr(connections, "HANDSHAKE_SECONDS", 10 * HANG_SECONDS)
    monkeypatch.setattr(connections, "IDLE_SECONDS", 10 * HANG_SECONDS)
    context = ssl.create_default_context()
    ca.configure_trust(context)
    app = create_app(world)
    async with (
        serve(app, ("127.0.0.1", 0), tmp_path / "web.yml", most_connections=2) as (_, port),
        asyncio.timeout(HANG_SECONDS),
        _connected(port, context=context if speaks_tls else None) as (oldest, _),
    ):
        for _ in range(2):
            assert b" 200 " in await _answer(port, REQUEST, context=context)
        with suppress(ConnectionError):
            assert await oldest.read() == b""


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
