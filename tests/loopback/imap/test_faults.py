"""Whatever an IMAP server does, a search ends with a value, its thread is free again and no token is told."""

import asyncio
import base64
import contextlib
import errno
import os
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Never

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpcheck.loopback.finder import FinderError, FinderStep, Search, SearchRequest, Target
from smtpcheck.loopback.imap import finder as finder_room
from smtpcheck.loopback.imap import stream as stream_room
from smtpcheck.loopback.imap.finder import ImapFinder
from smtpcheck.loopback.imap.stream import MAX_LINE, Stream, StreamError
from smtpcheck.model.check import Mechanism, Security, Server
from smtpcheck.network import resolver as resolver_room
from smtpcheck.network.network import Network
from smtpcheck.secrets.secret import Secret
from tests.real.daemon import free_port
from tests.worlds.waiting import HANG_SECONDS

TOKEN = Secret("ya29.a0AfH6SMB-the-token-of-the-tests-Zz09")
MARK = "sc1abcdefghijklmnop"
REQUEST = SearchRequest((Target((f"<{MARK}@x>",), MARK, time.time()),), {MARK}.__contains__)
CAPABILITY = b"* CAPABILITY IMAP4rev1 AUTH=XOAUTH2 UIDPLUS\r\n"

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(talk: Talk) -> AsyncIterator[int]:
    """Serve connections by a function on a free port."""
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError, asyncio.IncompleteReadError):
            await talk(reader, writer)
        writer.close()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _server(port: int, security: Security = Security.NONE) -> Server:
    return Server("127.0.0.1", port, security, server_name="localhost", ehlo="", allow_plaintext=True)


async def _search(
    port: int,
    *,
    timeout: float = 5,  # noqa: ASYNC109
    security: Security = Security.NONE,
    host: str = "127.0.0.1",
) -> Search:
    server = replace(_server(port, security), host=host)
    network = Network.for_servers([server])
    with ThreadPoolExecutor(1) as threads:
        finder = ImapFinder(server, "probe@example.org", Mechanism.XOAUTH2, network=network, threads=threads)
        found = await finder.search(REQUEST, TOKEN, timeout=timeout)
        await asyncio.wait_for(asyncio.wrap_future(threads.submit(int)), HANG_SECONDS)  # the thread is free
    network.close()
    return found


def scripted(*answers: bytes | None) -> Talk:
    r"""Return a server that greets and answers one command by one; `TAG` stands for its tag, None hangs for good.

    After the last answer it closes the connection.
    """

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK ready\r\n")
        tag = b""
        for answer in answers:
            first, blank, _ = (await reader.readuntil(b"\n")).partition(b" ")
            tag = first if blank else tag  # the token comes without one
            if answer is None:
                await asyncio.Event().wait()
                return
            writer.write(answer.replace(b"TAG", tag))
            await writer.drain()

    return talk


OK = b"TAG OK done\r\n"
LISTED = b'* LIST (\\HasNoChildren) "/" INBOX\r\n' + OK
LOGGED_IN = (CAPABILITY + OK, b"+ \r\n", OK, LISTED, CAPABILITY + OK)
"""Answers up to the choice of a folder; the token is no command, and its answer is the one after `+`."""
SELECTED = (*LOGGED_IN, b"* 1 EXISTS\r\nTAG OK [READ-WRITE] selected\r\n")
SEARCHED = (*SELECTED, b"* SEARCH 7\r\n" + OK)


async def _hang(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def _close(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    pass


def _says(data: bytes) -> Talk:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        await asyncio.Event().wait()

    return talk


async def _floods(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"* OK ready\r\n")
    while True:
        writer.write(b"* OK still here\r\n" * 1000)
        await writer.drain()


async def _drips(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"*")
        await writer.drain()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("talk", "step", "words"),
    [
        (_hang, FinderStep.CONNECT, "the server does not"),
        (_close, FinderStep.CONNECT, "the server closed the connection"),
        (_drips, FinderStep.CONNECT, "does not"),
        (_says(b"* BYE Too many connections\r\n"), FinderStep.CONNECT, "Too many connections"),
        (_says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), FinderStep.CONNECT, "HTTP/1.1 400 Bad Request"),
        (_says(b"\0\xff\x15\x03" * 10 + b"\r\n"), FinderStep.CONNECT, "unexpected response"),
        (_floods, FinderStep.CONNECT, "the server"),
        (_says(b"* OK " + b"x" * (MAX_LINE + 20000)), FinderStep.CONNECT, "a line of more than"),
        (scripted(CAPABILITY + OK, None), FinderStep.LOGIN, "the server does not"),
        (scripted(CAPABILITY + OK, b"TAG BAD no\r\n"), FinderStep.LOGIN, "no"),
        (scripted(*LOGGED_IN), FinderStep.SEARCH, "connection"),
        (scripted(*SELECTED, None), FinderStep.SEARCH, "the server does not"),
        (scripted(*SELECTED, b"* BYE shutting down\r\n"), FinderStep.SEARCH, "shutting down"),
        (scripted(*SELECTED, b"* SEARCH seven\r\n" + OK), FinderStep.SEARCH, "not IMAP"),
        (
            scripted(*SEARCHED, b"* 1 FETCH (UID 7 BODY[HEADER] {100}\r\nX-Smtpcheck-Id: sc1\r\n"),
            FinderStep.SEARCH,
            "connection",
        ),
        (
            scripted(*SEARCHED, b"* 1 FETCH (UID 7 BODY[HEADER] {999999999}\r\n"),
            FinderStep.SEARCH,
            "announces 999999999 octets",
        ),
        (scripted(*SEARCHED, b"* 1 FETCH (UID 7 BODY[HEADER\r\n" + OK), FinderStep.SEARCH, ""),
    ],
)
async def test_a_search_ends_with_what_the_server_did(talk: Talk, step: FinderStep, words: str) -> None:
    async with serving(talk) as port:
        for timeout in (0.5, 5, 50):  # a slow machine comes to the step with a longer time limit only
            found = await _search(port, timeout=timeout)
            if found.error is not None and found.error.step is step:
                break
    assert found.error is not None and found.error.step is step
    assert words in found.error.detail


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (b"TAG NO [AUTHENTICATIONFAILED] Authentication failed.\r\n", "AUTHENTICATIONFAILED"),
        (b"TAG NO [UNAVAILABLE] Temporary failure\r\n", "UNAVAILABLE"),
        (b"TAG NO [ALERT] Too many simultaneous connections. (Failure)\r\n", "ALERT"),
        (b"TAG NO AUTHENTICATE failed.\r\n", ""),
    ],
)
async def test_a_refused_login_is_told_with_its_code(reply: bytes, code: str) -> None:
    async with serving(scripted(CAPABILITY + OK, b"+ \r\n", reply)) as port:
        found = await _search(port)
    assert found.error is not None
    assert (found.error.step, found.error.code) == (FinderStep.LOGIN, code)
    assert found.error.detail == reply.decode().removeprefix("TAG NO ").strip()


@pytest.mark.parametrize(
    ("talk", "security", "step", "detail", "code"),
    [
        (
            _says(b"* BYE [UNAVAILABLE] Too many connections\r\n"),
            Security.NONE,
            FinderStep.CONNECT,
            "the server closed the connection: [UNAVAILABLE] Too many connections",
            "UNAVAILABLE",
        ),
        (
            _says(b"* BYE go away\r\n"),
            Security.STARTTLS,
            FinderStep.CONNECT,
            "the greeting allows no STARTTLS: go away",
            "",
        ),
        (
            scripted(CAPABILITY + OK, b"+ \r\n", b"* bye [LIMIT] Logins are limited\r\n"),
            Security.NONE,
            FinderStep.LOGIN,
            "the server closed the connection: [LIMIT] Logins are limited",
            "LIMIT",
        ),
    ],
)
async def test_the_last_words_of_a_server_that_goes_are_evidence(
    talk: Talk, security: Security, step: FinderStep, detail: str, code: str
) -> None:
    """BYE, with its code (RFC 9051 7.1.5)."""
    async with serving(talk) as port:
        found = await _search(port, security=security)
    assert found.error == FinderError(step, detail, code)


async def test_challenges_without_end_are_left_and_what_is_kept_of_them_is_short() -> None:
    challenge = b"+ " + base64.b64encode(b"x" * 200_000) + b"\r\n"
    async with serving(scripted(CAPABILITY + OK, *[challenge] * 100)) as port:
        found = await _search(port, timeout=50)  # they are 26 MB for a slow machine to read
    assert found.error is not None and found.error.step is FinderStep.LOGIN
    assert "does not end its challenges" in found.error.detail
    assert len(repr(found)) < 2000


async def test_lines_without_end_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """However short they are: each costs the library some time."""
    monkeypatch.setattr(stream_room, "MAX_LINES", 1000)
    async with serving(_floods) as port:
        found = await _search(port, timeout=60)
    assert found.error is not None
    assert found.error.detail == "the server sends more than 1000 lines"


async def test_the_name_of_a_folder_is_kept_in_bounds() -> None:
    name = b"x" * 10_000
    listed = b'* LIST (\\Junk) "/" ' + name + b"\r\n" + OK
    answers = (*LOGGED_IN[:3], listed, CAPABILITY + OK, *SELECTED[-1:], b"* SEARCH\r\n" + OK, *SELECTED[-1:])
    async with serving(scripted(*answers)) as port:
        found = await _search(port)
    assert [len(folder) for folder in found.folders] == [5, 200]


async def test_a_token_that_the_server_repeats_is_not_told() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK ready\r\n")
        tag = (await reader.readuntil(b"\n")).partition(b" ")[0]
        writer.write(CAPABILITY + tag + b" OK done\r\n")
        tag = (await reader.readuntil(b"\n")).partition(b" ")[0]
        writer.write(b"+ \r\n")
        line = await reader.readuntil(b"\n")
        writer.write(tag + b" NO refused: " + line.strip() + b" and " + TOKEN.reveal().encode() + b"\r\n")
        await reader.read()

    async with serving(talk) as port:
        found = await _search(port)
    assert found.error is not None
    assert "refused" in found.error.detail and "ya29" not in repr(found) and "eWEy" not in repr(found)


@pytest.mark.parametrize(
    ("answer", "step", "words"),
    [
        (b"smtpcheck OK go\r\n* OK injected\r\n", FinderStep.TLS, "plaintext after its answer"),
        (b"smtpcheck NO not here\r\n", FinderStep.CONNECT, "STARTTLS was refused: NO not here"),
        (b"smtpcheck OK go\r\n", FinderStep.TLS, ""),
        (b"", FinderStep.CONNECT, "the server closed the connection"),
    ],
)
async def test_nothing_is_taken_over_from_before_tls(answer: bytes, step: FinderStep, words: str) -> None:
    seen = bytearray()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK ready\r\n")
        seen.extend(await reader.readuntil(b"\n"))
        writer.write(answer)
        await writer.drain()
        writer.write_eof()
        seen.extend(await reader.read())

    async with serving(talk) as port:
        found = await _search(port, security=Security.STARTTLS)
    assert found.error is not None and found.error.step is step
    assert words in found.error.detail
    assert b"AUTHENTICATE" not in seen


async def test_a_connection_that_is_logged_in_before_tls_is_not_used() -> None:
    async with serving(_says(b"* PREAUTH welcome\r\n")) as port:
        found = await _search(port, security=Security.STARTTLS)
    assert found.error is not None
    assert (found.error.step, found.error.detail) == (FinderStep.CONNECT, "the greeting allows no STARTTLS")


async def test_a_port_that_nobody_listens_on_is_told() -> None:
    port = free_port()
    found = await _search(port)
    refused = os.strerror(errno.ECONNREFUSED)
    assert found.error == FinderError(FinderStep.CONNECT, f"refused: 127.0.0.1: {refused}")


async def test_without_a_descriptor_it_is_not_the_mailboxs_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise OSError(errno.EMFILE, "too many")

    monkeypatch.setattr(finder_room, "race", fail)
    found = await _search(993)
    assert found.error == FinderError(FinderStep.AGENT, f"out_of_resources: {os.strerror(errno.EMFILE)}")


async def test_without_a_thread_it_is_not_the_mailboxs_fault() -> None:
    class WithoutThreads(Executor):
        def submit(self, *_: object, **__: object) -> Never:
            raise RuntimeError("can't start new thread")

    async with serving(_says(b"* OK ready\r\n")) as port:
        server = _server(port)
        network = Network.for_servers([server])
        finder = ImapFinder(server, "probe@example.org", None, network=network, threads=WithoutThreads())
        found = await finder.search(REQUEST, TOKEN, timeout=5)
    assert found.error == FinderError(FinderStep.AGENT, "can't start new thread")


async def test_a_search_whose_name_is_not_looked_up_yet_has_learnt_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_room, "MAX_LOOKUPS", 0)
    monkeypatch.setattr(finder_room, "CONNECT_SECONDS", 0.05)
    found = await _search(993, host="imap.example.org")
    assert found.error is not None and found.error.step is FinderStep.AGENT


async def test_a_cancelled_search_cuts_its_connection_and_frees_its_thread() -> None:
    gone = asyncio.Event()
    begun = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun.set()
        await reader.read()
        gone.set()

    server = _server(0)
    async with serving(talk) as port:
        server = replace(server, port=port)
        network = Network.for_servers([server])
        with ThreadPoolExecutor(1) as threads:
            finder = ImapFinder(server, "probe@example.org", None, network=network, threads=threads)
            search = asyncio.create_task(finder.search(REQUEST, TOKEN, timeout=3600))
            await begun.wait()
            search.cancel()
            await asyncio.wait_for(gone.wait(), HANG_SECONDS)
            with pytest.raises(asyncio.CancelledError):
                await search
            await asyncio.wait_for(asyncio.wrap_future(threads.submit(int)), HANG_SECONDS)
        network.close()


async def test_a_search_that_waits_for_a_thread_can_be_cancelled_too() -> None:
    async with serving(_hang) as port:
        server = _server(port)
        network, free = Network.for_servers([server]), threading.Event()
        with ThreadPoolExecutor(1) as threads:
            threads.submit(free.wait)
            finder = ImapFinder(server, "probe@example.org", None, network=network, threads=threads)
            search = asyncio.create_task(finder.search(REQUEST, TOKEN, timeout=3600))
            while threads._work_queue.qsize() == 0:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            search.cancel()
            with pytest.raises(asyncio.CancelledError):
                await search
            free.set()
        network.close()


PIECES = st.sampled_from(
    [
        *(
            b"* 1 FETCH (UID 7 BODY[HEADER.FIELDS (X)] {5}\r\nab: c)\r\n",
            b"* 1 FETCH (",
            b"{3}\r\n",
            b"* SEARCH 7 8\r\n",
        ),
        *(b'* LIST () "/" a\r\n', b"* LIST (\\Junk) NIL 5\r\n", b"* OK [UIDNEXT 9] x\r\n", b"* 3 EXISTS\r\n"),
        *(b"+ \r\n", b"+ eyJ\r\n", b"* BYE x\r\n", b"TAG OK x\r\n", b"TAG NO [X] y\r\n", b"TAG BAD\r\n", b"\r\n"),
        *(
            b"* CAPABILITY IMAP4rev1 UIDPLUS\r\n",
            b"* CAPABILITY X-GM-EXT-1\r\n",
            b"&AOk-",
            b"&",
            b"\xff",
            b"NIL",
            b"99",
        ),
        *(b")", b"(", b'"', b"\\"),
    ]
)
ANSWERS = st.lists(st.lists(PIECES | st.binary(max_size=20), max_size=6).map(b"".join), max_size=12)


class _Wire:
    """A socket's stand-in that answers each line it is sent with the next answer."""

    def __init__(self, answers: list[bytes]) -> None:
        self._answers = [b"* OK ready\r\n", *answers]
        self._tag = b""
        self._ready = bytearray()

    def dup(self) -> "_Wire":
        return self

    def settimeout(self, _seconds: float) -> None:
        pass

    def sendall(self, data: bytes) -> None:
        first = data.partition(b" ")[0]
        self._tag = first if first.isalnum() else self._tag
        self._take()

    def recv(self, size: int) -> bytes:
        if not self._ready:
            self._take()
        taken = bytes(self._ready[:size])
        del self._ready[:size]
        return taken

    def _take(self) -> None:
        if self._answers:
            self._ready += self._answers.pop(0).replace(b"TAG", self._tag)

    def close(self) -> None:
        pass

    def shutdown(self, _how: int) -> None:
        pass


@settings(max_examples=400, deadline=None)
@given(answers=ANSWERS, sound=st.integers(0, len(SEARCHED)))
def test_no_answer_makes_a_search_fail_inside(answers: list[bytes], sound: int) -> None:
    """Some sound answers first, then whatever: a search is a value all the same."""
    server = _server(1)
    network = Network.for_servers([server])
    with ThreadPoolExecutor(1) as threads:
        finder = ImapFinder(server, "probe@example.org", Mechanism.XOAUTH2, network=network, threads=threads)
        wire: socket.socket = _Wire([*SEARCHED[:sound], *answers])  # type: ignore[assignment]
        found = finder._search(Stream(wire, end=time.monotonic() + 60, budget=1_000_000), REQUEST, TOKEN)
    assert all(match.correlation_id == MARK for match in found.matches)
    assert found.error is None or isinstance(found.error.step, FinderStep)
    assert TOKEN.reveal() not in repr(found)


@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(1, 7)))
def test_lines_and_literals_are_the_same_however_they_arrive(data: bytes, cuts: list[int]) -> None:
    left, right = socket.socketpair()
    with left, right:
        stream = Stream(left, end=time.monotonic() + 60, budget=10_000)
        rest = data
        for cut in cuts:
            right.send(rest[:cut])
            rest = rest[cut:]
        right.send(rest)
        right.shutdown(socket.SHUT_WR)
        whole = data[: data.rfind(b"\n") + 1]
        assert b"".join(stream.readline() for _ in range(whole.count(b"\n"))) == whole
        assert stream.read(len(data) - len(whole)) == data[len(whole) :]
        with pytest.raises(StreamError, match="closed"):
            stream.readline()
        stream.close()


def test_more_than_there_is_to_tell_is_not_read() -> None:
    left, right = socket.socketpair()
    with left, right:
        stream = Stream(left, end=time.monotonic() + 60, budget=100)
        right.send(b"* OK still here\r\n" * 10)
        with pytest.raises(StreamError, match="more data than it should"):
            stream.readline()
        stream.close()


def test_tls_errors_of_a_stream_are_in_words() -> None:
    left, right = socket.socketpair()
    with right:
        stream = Stream(left, end=time.monotonic() + 5, budget=10_000)
        right.send(b"* OK ready\r\n")
        right.shutdown(socket.SHUT_WR)
        with pytest.raises(ssl.SSLError):
            stream.begin_tls(ssl.create_default_context(), "localhost")
        stream.close()


async def test_a_folder_that_may_only_be_read_is_an_error_of_deleting() -> None:
    read_only = b"* 1 EXISTS\r\n* OK [READ-ONLY] read only\r\nTAG OK [READ-ONLY] selected\r\n"
    async with serving(scripted(*LOGGED_IN, read_only)) as port:
        found = await _search(port)
    assert found.error is not None
    assert (found.error.step, found.error.code) == (FinderStep.DELETE, "READ-ONLY")
