"""Both transports keep to one set of rules, whatever a server sends."""

import asyncio
import gzip
import logging
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import pytest
import trustme

from smtpcheck.http_client.blocking import BlockingSession
from smtpcheck.http_client.client import Client, _Handler
from smtpcheck.http_client.exchange import MAX_HEAD, Exchange, Fault, FaultKind, Limits, Response
from tests.worlds.raw_server import RawServer, endless, serving

SECRET = "Qx8~long+secret/value=&%<>"
QUICK = Limits(seconds=1.0, connect_seconds=1.0, octets=10_000)
CALM = Limits(seconds=30.0, octets=10_000)
MEGABYTE = 1024 * 1024
BOMB = gzip.compress(bytes(64 * MEGABYTE))


class Ask(Protocol):
    """One transport: makes one exchange."""

    def __call__(self, url: str, limits: Limits = CALM, **options: object) -> Exchange: ...


def by_thread(url: str, limits: Limits = CALM, **options: object) -> Exchange:
    with BlockingSession(limits=limits, local=True) as session:
        return session.exchange("GET", url, **options)  # type: ignore[arg-type]


def by_loop(url: str, limits: Limits = CALM, **options: object) -> Exchange:
    async def run() -> Exchange:
        async with Client(limits=limits) as client:
            return await client.request("GET", url, **options)  # type: ignore[arg-type]

    return asyncio.run(run())


@pytest.fixture(params=[by_thread, by_loop])
def ask(request: pytest.FixtureRequest) -> Ask:
    found: Ask = request.param
    return found


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def answer(body: bytes = b"", status: int = 200, *headers: str) -> list[bytes]:
    lines = [f"HTTP/1.1 {status} X", *headers, f"Content-Length: {len(body)}", "", ""]
    return ["\r\n".join(lines).encode("latin-1") + body]


def got(exchange: Exchange) -> Response:
    assert isinstance(exchange, Response), exchange
    return exchange


def failed(exchange: Exchange) -> Fault:
    assert isinstance(exchange, Fault), exchange
    return exchange


# -- what is kept -----------------------------------------------------------------------------------------------------


def test_a_response_is_status_chosen_headers_body_and_times(ask: Ask) -> None:
    headers = ("Date: Wed, 25 Nov 2026 10:00:00 GMT", "X-Request-Id: 7\x07" + "a" * 5000, "X-Other: b", "X-Other: c")
    with serving([answer(b'{"a": 1}', 201, *headers)]) as server:
        response = got(ask(f"{server.url}/path?q=1", keep=["x-request-id"]))
    assert (response.status, response.json, response.is_whole) == (201, {"a": 1}, True)
    assert response.headers == {"date": "Wed, 25 Nov 2026 10:00:00 GMT", "x-request-id": "7\\x07" + "a" * 1019}
    assert response.endpoint == f"{server.url}/path"
    assert response.at == pytest.approx(time.time(), abs=30)
    assert 0 < response.seconds < 30


def test_only_gzip_is_asked_for_and_decoded(ask: Ask) -> None:
    body = gzip.compress(b"first ") + gzip.compress(b"second")
    with serving([answer(body, 200, "Content-Encoding: gzip")]) as server:
        assert got(ask(server.url)).body == b"first second"
        assert "accept-encoding: gzip\r\n" in server.head.lower()


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip"])
def test_an_encoding_that_was_not_asked_for_is_a_fault(ask: Ask, encoding: str) -> None:
    with serving([answer(zlib.compress(b"x"), 200, f"Content-Encoding: {encoding}")]) as server:
        fault = failed(ask(server.url))
    assert (fault.kind, encoding in fault.detail) == (FaultKind.PROTOCOL, True)


# -- bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_its_body_is_not_read(ask: Ask, status: int) -> None:
    head = f"HTTP/1.1 {status} X\r\nLocation: http://127.0.0.1:1/\r\nContent-Encoding: gzip\r\n\r\n".encode()
    with serving([endless(head, BOMB)]) as server:
        response = got(ask(server.url, CALM, headers={"Authorization": f"Bearer {SECRET}"}))
    assert (response.status, response.body, len(server.requests)) == (status, b"", 1)


@pytest.mark.parametrize("location", ["https://[::1", "http://\x00", "//", "javascript:x", "http://a:99999999999/", ""])
def test_a_redirect_to_nowhere_is_a_redirect(ask: Ask, location: str) -> None:
    with serving([answer(b"x", 302, f"Location: {location}")]) as server:
        exchange = ask(server.url)
    assert isinstance(exchange, Fault) or (exchange.status, exchange.body) == (302, b"")
    assert isinstance(exchange, Response) or exchange.kind is FaultKind.PROTOCOL


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_body_without_end_is_read_as_far_as_the_limit(ask: Ask, encoding: str) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\n\r\n".encode()
    with serving([endless(head, BOMB if encoding == "gzip" else b"x" * 4096)]) as server:
        response = got(ask(server.url))
    assert (len(response.body), response.is_whole, response.json) == (CALM.octets, False, None)
    assert server.written < 64 * MEGABYTE


def test_gzip_members_that_hold_nothing_end(ask: Ask) -> None:
    with serving([endless(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", gzip.compress(b"") * 1000)]) as server:
        response = got(ask(server.url))
    assert (response.body, response.is_whole) == (b"", False)


def test_a_body_that_is_not_wanted_is_not_read(ask: Ask) -> None:
    with serving([endless(b"HTTP/1.1 500 X\r\n\r\n", b"x" * 4096)]) as server:
        response = got(ask(server.url, Limits(octets=0)))
    assert (response.status, response.body) == (500, b"")


ENDLESS = {
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 100),
    "one header": (b"HTTP/1.1 200 OK\r\nX: ", b"y" * 4096),
    "status line": (b"HTTP/1.1 200 ", b"y" * 4096),
    "interim responses": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "chunk extensions": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"y" * 4096),
    "trailers": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 100),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_whatever_has_no_end_is_cut_by_its_size(ask: Ask, what: str) -> None:
    """Not by the time limit, which is far away here: until then it would burn a processor."""
    with serving([endless(*ENDLESS[what])]) as server:
        fault = failed(ask(server.url))
    assert fault.kind in {FaultKind.PROTOCOL, FaultKind.CLOSED}
    assert server.written < 32 * MEGABYTE


DRIPPING = {
    "nothing": b"",
    "status line": b"HTTP/1.1 200 " + b"y" * 1000,
    "headers": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1000,
    "body": b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"y" * 1000,
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\ny\r\n" * 200,
}


@pytest.mark.parametrize("what", DRIPPING)
def test_what_drips_ends_in_time_as_a_whole(ask: Ask, what: str) -> None:
    server = RawServer()
    with serving([server.drip(DRIPPING[what], 0.01) if DRIPPING[what] else server.hang()], server):
        fault = failed(ask(server.url, QUICK))
    assert (fault.kind, fault.detail) == (FaultKind.TIMEOUT, "no complete response within 1 s")


def test_addresses_that_do_not_answer_end_in_time_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has its own time to connect; all have that of the exchange."""
    address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [address] * 50)
    tried: list[float] = []

    def connect(self: socket.socket, _address: object) -> None:
        tried.append(self.gettimeout() or 0.0)
        time.sleep(min(self.gettimeout() or 0.0, 0.1))
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket.socket, "connect", connect)
    with BlockingSession(limits=Limits(seconds=0.35, connect_seconds=0.1)) as session:
        fault = failed(session.exchange("GET", "https://many.example.org/"))
    assert fault.kind in {FaultKind.CONNECT, FaultKind.TIMEOUT}
    assert len(tried) <= 4


# -- what is not HTTP -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "kinds"),
    [
        (b"", {FaultKind.CLOSED}),
        (b"220 smtp.example.org ESMTP\r\n", {FaultKind.PROTOCOL}),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort", {FaultKind.CLOSED}),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello", {FaultKind.PROTOCOL}),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n"
            + gzip.compress(b"x" * 99, mtime=0)[:20],
            {FaultKind.PROTOCOL},
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
            {FaultKind.PROTOCOL, FaultKind.CLOSED},
        ),
    ],
)
def test_what_breaks_off_or_is_not_http_is_a_fault(ask: Ask, octets: bytes, kinds: set[FaultKind]) -> None:
    with serving([[octets]]) as server:
        assert failed(ask(server.url)).kind in kinds


def test_html_is_a_response_without_json(ask: Ask) -> None:
    with serving([answer(b"<html>Please log in</html>", 200, "Content-Type: text/html")]) as server:
        response = got(ask(server.url))
    assert (response.json, response.text) == (None, "<html>Please log in</html>")


@pytest.mark.parametrize("text", ["9" * 400, "-1", "soon", "\xb2", "Thu, 01 Jan 99999999999999999999 00:00:00 GMT"])
def test_no_number_or_date_of_a_server_does_any_harm(ask: Ask, text: str) -> None:
    with serving([answer(b"", 429, f"Retry-After: {text}", f"Date: {text}")]) as server:
        response = got(ask(server.url))
    assert response.retry_after in {None, 3600.0}
    assert response.clock_offset is None


# -- what cannot be reached -------------------------------------------------------------------------------------------


def test_a_refused_connection(ask: Ask) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        fault = failed(ask(f"http://127.0.0.1:{taken.getsockname()[1]}/x"))
    assert (fault.kind, fault.detail) == (FaultKind.REFUSED, "Connection refused")


def test_a_certificate_that_is_not_trusted_gets_nothing(ask: Ask) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with serving([answer()], context=context) as server:
        fault = failed(ask(server.url.replace("http:", "https:"), headers={"Authorization": f"Bearer {SECRET}"}))
    assert fault.kind is FaultKind.TLS
    assert fault.detail.startswith("certificate verify failed: ")
    assert server.requests == []


def test_a_name_that_does_not_exist(ask: Ask) -> None:
    assert failed(ask("http://nowhere.invalid/")).kind is FaultKind.NAME_NOT_FOUND


@pytest.mark.parametrize(
    "url",
    [
        "https://[::1",
        "nonsense",
        "",
        "ftp://a/",
        "http://",
        "http://a:0/",
        "http://a:99999/",
        "http://a\nb/",
        "http:///",
    ],
)
def test_what_is_not_a_url_is_a_fault(ask: Ask, url: str) -> None:
    fault = failed(ask(url))
    assert (fault.kind, fault.detail) == (FaultKind.REQUEST, "not a URL that can be requested")


def test_a_label_that_no_name_can_have_is_a_fault(ask: Ask) -> None:
    assert failed(ask(f"http://{'a' * 80}.example.org/")).kind in {FaultKind.REQUEST, FaultKind.NAME_NOT_FOUND}


def test_descriptors_that_this_machine_lacks_are_not_the_servers_fault(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.socket

    class Lacking(real):  # type: ignore[misc, valid-type]
        def connect(self, address: object) -> None:
            raise OSError(24, "Too many open files")

    if ask is by_thread:
        monkeypatch.setattr(socket, "socket", Lacking)
    else:

        async def lacking(*_: object, **__: object) -> socket.socket:
            raise OSError(24, "Too many open files")

        monkeypatch.setattr("aiohttp.connector.aiohappyeyeballs.start_connection", lacking)
    fault = failed(ask("http://127.0.0.1:9/"))
    assert (fault.kind, fault.detail) == (FaultKind.OUT_OF_RESOURCES, "Too many open files")


def test_a_name_that_no_descriptor_is_left_to_look_up_is_not_the_servers_fault(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    def lacking(*_: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert failed(ask("http://mail.example.org/")).kind is FaultKind.NAME_NOT_FOUND
    monkeypatch.setattr("smtpcheck.http_client.faults.os.open", lacking)
    assert failed(ask("http://mail.example.org/")).kind is FaultKind.OUT_OF_RESOURCES


def test_a_proxy_that_is_not_there_is_named_without_its_password(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        proxy = f"http://user:pass-of-the-proxy@127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("http_proxy", proxy)
        if ask is by_loop:
            fault = failed(ask("http://mail.example.org/"))
        else:
            with BlockingSession(library_chooses_tls=True) as session:
                fault = failed(session.exchange("GET", "http://mail.example.org/"))
    assert fault.kind is FaultKind.PROXY
    assert "pass-of-the-proxy" not in repr(fault)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_socks_proxy_is_asked_and_not_passed_by(scheme: str) -> None:
    with serving([answer()]) as aside, socket.create_server(("127.0.0.1", 0)) as proxy:
        greeted: list[bytes] = []

        def greet() -> None:
            connection, _ = proxy.accept()
            with connection:
                greeted.append(connection.recv(64))

        thread = threading.Thread(target=greet)
        thread.start()
        address = f"socks5h://127.0.0.1:{proxy.getsockname()[1]}"
        with BlockingSession(library_chooses_tls=True, proxy=address) as session:
            failed(session.exchange("GET", aside.url.replace("http:", f"{scheme}:")))
        thread.join()
    assert greeted[0].startswith(b"\x05")
    assert aside.requests == []


def test_a_proxy_that_repeats_its_password_is_quoted_without_it(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving([[b"HTTP/1.1 407 not pass-of-the-proxy\r\nContent-Length: 0\r\n\r\n"]]) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url.replace("http://", "http://user:pass-of-the-proxy@"))
        if ask is by_loop:
            fault = failed(ask("https://mail.example.org/"))
        else:
            with BlockingSession() as session:
                fault = failed(session.exchange("GET", "https://mail.example.org/"))
        assert "proxy-authorization: basic" in proxy.head.lower()
    assert fault.kind is FaultKind.PROXY
    assert "407" in fault.detail
    assert "pass-of-the-proxy" not in repr(fault)


async def test_what_a_connection_may_bring_does_not_grow_with_its_use() -> None:
    handler = _Handler(CALM, asyncio.get_running_loop())
    first = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    for _ in range(3):
        handler.set_response_params(max_headers=100)
        handler.data_received(first)
        assert handler.left == MAX_HEAD + CALM.octets_of_body - len(first)


# -- what was sent ----------------------------------------------------------------------------------------------------

BASIC = {"Authorization": "Basic dXNlcjpRLXgtOC1sb25nLXNlY3JldA=="}
"""user:Q-x-8-long-secret"""


@pytest.mark.parametrize(
    ("url", "options", "secret"),
    [
        ("/", {"headers": {"Authorization": "Bearer the-long-token"}}, "the-long-token"),
        ("/", {"headers": BASIC}, "Q-x-8-long-secret"),
        ("/", {"headers": {"X-Api-Key": "key-of-the-api"}}, "key-of-the-api"),
        ("/hook/T0PS3CRET", {"secrets": ["T0PS3CRET"]}, "T0PS3CRET"),
    ],
)
def test_what_was_sent_is_not_shown(ask: Ask, url: str, options: dict[str, object], secret: str) -> None:
    with serving([answer(f"no: {secret}".encode(), 401)]) as server:
        response = got(ask(server.url + url, CALM, **options))
        assert secret.encode() in server.requests[0] or b"Basic" in server.requests[0]
    assert response.shown(response.text, 100) == "no: [redacted]"
    assert secret not in repr(response) + response.endpoint


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        (f"no: {SECRET}", 10, "no: [redac"),
        (f"no: {SECRET}", 6, "no: [r"),
        ("a\x1b[2Jb\ud800", 100, "a\\x1b[2Jb\\ud800"),
        ("two\nlines", 100, "two\nlines"),
    ],
)
def test_a_text_is_redacted_before_it_is_cut_and_printable(text: str, limit: int, shown: str) -> None:
    response = Response("GET", "https://a.example/", 400, {}, b"", frozenset({SECRET}), at=0.0)
    assert response.shown(text, limit) == shown


def test_the_user_of_a_url_is_not_shown(ask: Ask) -> None:
    with serving([answer(b"no: PassWord7", 401), []]) as server:
        url = server.url.replace("http://", "http://user:PassWord7@") + "/"
        response = got(ask(url))
        fault = failed(ask(url))
    assert response.shown(response.text, 100) == "no: [redacted]"
    assert (response.endpoint, fault.endpoint) == (f"{server.url}/", f"{server.url}/")
    assert "PassWord7" not in repr((response, fault))


@pytest.mark.parametrize("value", [f"{SECRET}\nX: y", f"{SECRET}\x00"])
def test_a_header_that_cannot_be_sent_is_not_shown(ask: Ask, value: str) -> None:
    fault = failed(ask("http://127.0.0.1:9/", headers={"X-Key": value}))
    assert SECRET not in repr(fault)


def test_no_library_logs_anything_of_an_exchange(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    """urllib3 would log the URL of a response whose headers it cannot parse, and the headers."""
    caplog.set_level(logging.DEBUG)
    broken = f"HTTP/1.1 200 OK\r\n{SECRET}\r\nX : y\r\n\r\n".encode()
    with serving([[broken], answer(b"", 200, f"Set-Cookie: {SECRET}; =;;"), []]) as server:
        for _ in range(3):
            ask(f"{server.url}/?code={SECRET}", CALM, headers={"Authorization": f"Bearer {SECRET}"})
    libraries = ("urllib3", "requests", "aiohttp")
    assert [record.getMessage() for record in caplog.records if record.name.startswith(libraries)] == []


def test_public_headers_are_no_secrets(ask: Ask) -> None:
    with serving([answer(b"application/json smtpcheck true", 400)]) as server:
        headers = {"Accept": "application/json", "User-Agent": "smtpcheck", "Metadata": "true"}
        response = got(ask(server.url, headers=headers))
    assert response.shown(response.text, 100) == "application/json smtpcheck true"


def test_a_lone_surrogate_in_json_is_replaced(ask: Ask) -> None:
    with serving([answer(b'{"a": "\\ud800x", "b": ["\\uDFFF"], "c": "\\ud83d\\ude00"}')]) as server:
        body = got(ask(server.url)).json
    assert body == {"a": "?x", "b": ["?"], "c": "\U0001f600"}


def test_no_cookie_is_sent_back(ask: Ask) -> None:
    async def twice(url: str) -> None:
        async with Client() as client:
            await client.request("GET", url)
            await client.request("GET", url)

    with serving([answer(b"", 200, "Set-Cookie: a=b; Path=/", "Connection: close")]) as server:
        if ask is by_loop:
            asyncio.run(twice(server.url))
        else:
            with BlockingSession(local=True) as session:
                session.exchange("GET", server.url)
                session.exchange("GET", server.url)
        assert len(server.requests) == 2
        assert "cookie" not in server.head.lower()


async def test_one_client_makes_several_exchanges_at_once_and_one_that_is_cancelled_harms_no_other() -> None:
    server = RawServer()
    answers: Callable[[], list[Iterable[bytes]]] = lambda: [server.hang(), answer(b"a"), answer(b"b")]  # noqa: E731
    with serving(answers(), server):
        async with Client() as client:
            hanging = asyncio.create_task(client.request("GET", server.url))
            await asyncio.to_thread(server.asked.wait)
            both = await asyncio.gather(client.request("GET", server.url), client.request("GET", server.url))
            hanging.cancel()
            with pytest.raises(asyncio.CancelledError):
                await hanging
    assert {got(each).body for each in both} == {b"a", b"b"}


async def test_a_client_that_is_closed_while_it_opens_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not closed warns when it is collected, in whichever test runs then."""
    opening, may_open = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow_context(ca_file: Path | None) -> ssl.SSLContext:
        loop.call_soon_threadsafe(opening.set)
        may_open.wait()
        return ssl.create_default_context()

    monkeypatch.setattr("smtpcheck.http_client.client.client_context", slow_context)
    client = Client()
    asking = asyncio.create_task(client.request("GET", "https://127.0.0.1:1/"))
    await opening.wait()
    closing = asyncio.create_task(client.close())
    await asyncio.sleep(0)
    may_open.set()
    await closing
    assert client._session is not None
    assert client._session.closed
    assert isinstance(await asking, Fault)
    assert isinstance(await client.request("GET", "https://127.0.0.1:1/"), Fault)


def test_each_exchange_has_the_whole_time() -> None:
    with serving([answer(b"a")]) as server, BlockingSession(limits=Limits(seconds=2.0), local=True) as session:
        for _ in range(3):
            assert got(session.exchange("GET", server.url)).body == b"a"
            threading.Event().wait(0.8)
