"""Conversations over real sockets, with servers that behave and servers that do not, under both event loops."""

import asyncio
import contextlib
import dataclasses
import gc
import itertools
import os
import queue
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
import uvloop

from smtpcheck.model.check import Check, Depth, Phase, Security, Server
from smtpcheck.model.report import Exchange, FaultKind, Reply, Step
from smtpcheck.network.network import Network
from smtpcheck.secrets.secret import Secret
from smtpcheck.smtp.connection import Conversation, _Link, converse
from tests.worlds.samples import check

TOKEN = Secret("eyJ0eXAiOiJKV1QifQ." + "aB3" * 400)
SHORT = Secret("ya29.short-token")


class Peer:
    """The server's end of one connection."""

    def __init__(self, conn: socket.socket) -> None:
        self.conn = conn
        self.heard: list[bytes] = []
        self._buffer = b""

    def say(self, *lines: str) -> None:
        self.conn.sendall("".join(line + "\r\n" for line in lines).encode())

    def hear(self) -> bytes:
        """Return the next line; `ConnectionError` if the client is gone."""
        while b"\n" not in self._buffer:
            data = self.conn.recv(4096)
            if not data:
                raise ConnectionError("the client is gone")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        self.heard.append(line.rstrip(b"\r"))
        return self.heard[-1]

    def secure(self, context: ssl.SSLContext) -> None:
        self.conn = context.wrap_socket(self.conn, server_side=True)

    def reset(self) -> None:
        self.conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.conn.close()

    def until_closed(self) -> None:
        """Stay silent until the client goes."""
        while self.conn.recv(4096):
            pass


Script = Callable[[Peer], None]


class RawServer:
    """Runs a script for each connection, one after the other, in a thread."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.peers: list[Peer] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            conn, _ = self._listener.accept()
            conn.settimeout(10)
            peer = Peer(conn)
            if self._closing:
                conn.close()
                return
            self.peers.append(peer)
            with contextlib.suppress(OSError):
                self._script(peer)
            peer.conn.close()

    _closing = False

    def close(self) -> None:
        self._closing = True
        with socket.create_connection(("127.0.0.1", self.port)):
            self._thread.join(20)
        self._listener.close()
        assert not self._thread.is_alive()


Serve = Callable[[Script], RawServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[RawServer] = []

    def start(script: Script) -> RawServer:
        servers.append(RawServer(script))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture(scope="module")
def good(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("mail.example.org").configure_cert(context)
    return context


CheckMaker = Callable[..., Check]


@pytest.fixture
def make_check(ca_file: Path) -> CheckMaker:
    def make(port: int, security: Security = Security.STARTTLS, *, timeout: float = 60.0, **server: object) -> Check:
        settings = Server(
            host="127.0.0.1",
            port=port,
            security=security,
            server_name="mail.example.org",
            ehlo="probe.example.org",
            ca_file=str(ca_file),
        )
        own = dataclasses.replace(settings, **server)  # type: ignore[arg-type]
        return check(server=own, timeout=timeout, recipient="sink@example.org")

    return make


Talk = Callable[..., Conversation]


def sockets_connected_to(port: int) -> int:
    """Count this process's open client sockets by what Linux says of its descriptors."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if entry.readlink().name.startswith("socket:"):
                with socket.socket(fileno=os.dup(int(entry.name))) as sock:
                    found += sock.getpeername()[1:2] == (port,)
    return found


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def talk(request: pytest.FixtureRequest) -> Talk:
    """Run one conversation; fail if it leaves a task or a descriptor behind or outlives its timeout by far."""

    async def run(check: Check, depth: Depth, token: Secret | None) -> Conversation:
        network = Network.for_servers([check.server])
        conversation = await asyncio.wait_for(
            converse(check, depth, token, origin=time.monotonic(), network=network), check.timeout + 10
        )
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert sockets_connected_to(check.server.port) == 0
        network.close()
        return conversation

    def in_loop(check: Check, depth: Depth = Depth.AUTH, token: Secret | None = TOKEN) -> Conversation:
        gc.freeze()  # what is collected below is of this conversation alone
        with asyncio.Runner(loop_factory=request.param) as runner:
            conversation = runner.run(run(check, depth, token))
        gc.collect()
        return conversation

    return in_loop


def outline(conversation: Conversation) -> list[tuple[Phase, FaultKind | None]]:
    return [(step.phase, step.fault.kind if step.fault else None) for step in conversation.steps]


def last(conversation: Conversation) -> tuple[Phase, FaultKind | None]:
    return outline(conversation)[-1]


def patiently(attempt: Callable[[float], Conversation], end: tuple[Phase, FaultKind]) -> Conversation:
    """Return the first conversation that ends like this; a slow machine comes there with a longer time limit only."""
    for timeout in (0.3, 3.0, 30.0):
        conversation = attempt(timeout)
        if last(conversation) == end:
            break
    return conversation


def step_of(conversation: Conversation, phase: Phase) -> Step:
    return next(step for step in conversation.steps if step.phase is phase)


# ---------------------------------------------------------------------------------------------------------------------
# A server that behaves, up to the phase that misbehaves

Misdeed = Callable[[Peer], None]


def behave(context: ssl.SSLContext, until: Phase | None = None, misdeed: Misdeed | None = None) -> Script:
    """Return a script that behaves, and does the misdeed in place of its answer in the phase `until`."""

    def script(peer: Peer) -> None:
        acts: list[tuple[Phase, Callable[[], None]]] = [
            (Phase.BANNER, lambda: peer.say("220 mail.example.org ESMTP")),
            (Phase.EHLO, lambda: peer.say("250-mail.example.org", "250-8BITMIME", "250 STARTTLS")),
            (Phase.STARTTLS, lambda: peer.say("220 2.0.0 go ahead")),
            (Phase.TLS, lambda: peer.secure(context)),
            (Phase.EHLO_TLS, lambda: peer.say("250-mail.example.org", "250 AUTH LOGIN XOAUTH2")),
            (Phase.AUTH, lambda: take_token(peer)),
            (Phase.MAIL, lambda: peer.say("250 2.1.0 Sender OK")),
            (Phase.RCPT, lambda: peer.say("250 2.1.5 Recipient OK")),
            (Phase.DATA, lambda: take_message(peer)),
            (Phase.QUIT, lambda: peer.say("221 2.0.0 Bye")),
        ]
        for phase, act in acts:
            if phase not in {Phase.BANNER, Phase.TLS}:
                peer.hear()
            if phase is until and misdeed is not None:
                misdeed(peer)
                return
            act()

    return script


def take_token(peer: Peer) -> None:
    peer.say("334 ")
    peer.hear()
    peer.say("235 2.7.0 Accepted")


def take_message(peer: Peer) -> None:
    peer.say("354 Start")
    while peer.hear() != b".":
        pass
    peer.say("250 2.0.0 OK <id1>")


WHOLE = [
    Phase.DNS,
    Phase.CONNECT,
    Phase.BANNER,
    Phase.EHLO,
    Phase.STARTTLS,
    Phase.TLS,
    Phase.EHLO_TLS,
    Phase.AUTH,
    Phase.MAIL,
    Phase.RCPT,
    Phase.DATA,
    Phase.QUIT,
]


def test_a_message_is_sent_through_every_phase(
    serve: Serve, make_check: CheckMaker, talk: Talk, good: ssl.SSLContext
) -> None:
    server = serve(behave(good))
    conversation = talk(make_check(server.port), Depth.SEND)
    assert outline(conversation) == [(phase, None) for phase in WHOLE]
    assert conversation.ehlo == ("AUTH LOGIN XOAUTH2",)
    assert conversation.mechanism == "XOAUTH2"
    assert conversation.tls is not None
    assert conversation.tls.certificate is not None
    assert conversation.tls.certificate.names == ("mail.example.org",)
    assert conversation.tls.certificate.verified
    assert step_of(conversation, Phase.DATA).exchanges[1].reply == Reply(250, "2.0.0", ("OK <id1>",))
    [peer] = server.peers
    assert peer.heard[:3] == [b"EHLO probe.example.org", b"STARTTLS", b"EHLO probe.example.org"]
    assert b"Auto-Submitted: auto-generated" in peer.heard
    assert peer.heard[-1] == b"QUIT"


def test_steps_follow_each_other_in_time(
    serve: Serve, make_check: CheckMaker, talk: Talk, good: ssl.SSLContext
) -> None:
    steps = talk(make_check(serve(behave(good)).port), Depth.AUTH).steps
    for before, after in itertools.pairwise(steps[1:]):
        assert after.start == pytest.approx(before.start + before.seconds, abs=0.02)
    assert all(step.seconds >= 0 for step in steps)


def test_implicit_tls_reads_the_banner_after_the_handshake(
    serve: Serve, make_check: CheckMaker, talk: Talk, good: ssl.SSLContext
) -> None:
    def script(peer: Peer) -> None:
        peer.secure(good)
        peer.say("220 hello")
        peer.hear()
        peer.say("250-x", "250 AUTH OAUTHBEARER")
        peer.hear()
        peer.say("235 ok")
        peer.hear()
        peer.say("221 bye")

    conversation = talk(make_check(serve(script).port, Security.IMPLICIT), Depth.AUTH, SHORT)
    phases = [Phase.DNS, Phase.CONNECT, Phase.TLS, Phase.BANNER, Phase.EHLO, Phase.AUTH, Phase.QUIT]
    assert outline(conversation) == [(phase, None) for phase in phases]
    assert conversation.mechanism == "OAUTHBEARER"


@pytest.mark.parametrize("security", Security)
def test_a_time_limit_that_strikes_as_the_connection_comes_up_is_a_timeout(
    serve: Serve,
    make_check: CheckMaker,
    talk: Talk,
    good: ssl.SSLContext,
    *,
    monkeypatch: pytest.MonkeyPatch,
    security: Security,
) -> None:
    """As on a starved machine: uvloop has closed the transport by then, and does not say so."""
    answered = threading.Event()
    made = _Link.connection_made

    def late(link: _Link, transport: asyncio.BaseTransport) -> None:
        made(link, transport)
        answered.wait(10)
        time.sleep(0.25)

    def script(peer: Peer) -> None:
        if security is Security.IMPLICIT:
            threading.Timer(0.1, answered.set).start()
            peer.secure(good)
        peer.say("220 hello")
        answered.set()
        peer.until_closed()

    monkeypatch.setattr(_Link, "connection_made", late)
    conversation = talk(make_check(serve(script).port, security, timeout=0.2, allow_plaintext=True), Depth.CONNECT)
    assert last(conversation)[1] is FaultKind.TIMEOUT


def test_leave_is_taken_of_tls_too(serve: Serve, make_check: CheckMaker, talk: Talk, good: ssl.SSLContext) -> None:
    ends: queue.Queue[bytes | OSError] = queue.Queue()

    def listen(peer: Peer) -> None:
        peer.conn.suppress_ragged_eofs = False  # type: ignore[attr-defined] # a mere end of the stream raises
        peer.say("221 2.0.0 Bye")
        try:
            ends.put(peer.conn.recv(1))
        except OSError as error:
            ends.put(error)

    talk(make_check(serve(behave(good, Phase.QUIT, listen)).port), Depth.SEND)
    assert ends.get(timeout=10) == b""


# ---------------------------------------------------------------------------------------------------------------------
# Misbehaviour in every phase

PENDING = {
    Phase.BANNER: (Exchange("", None),),
    Phase.EHLO: (Exchange("EHLO probe.example.org", None),),
    Phase.STARTTLS: (Exchange("STARTTLS", None),),
    Phase.TLS: (),
    Phase.EHLO_TLS: (Exchange("EHLO probe.example.org", None),),
    Phase.AUTH: (Exchange("AUTH XOAUTH2", None),),
    Phase.MAIL: (Exchange("MAIL FROM:<billing@example.org>", None),),
    Phase.RCPT: (Exchange("RCPT TO:<sink@example.org>", None),),
    Phase.DATA: (Exchange("DATA", None),),
}


def half_close(peer: Peer) -> None:
    peer.conn.shutdown(socket.SHUT_WR)
    peer.until_closed()


def close(peer: Peer) -> None:
    """Close in good order: nothing is left unread, which would be a reset."""
    if isinstance(peer.conn, ssl.SSLSocket):
        with contextlib.suppress(OSError):
            peer.conn.unwrap()


@pytest.mark.parametrize("phase", PENDING)
@pytest.mark.parametrize(
    ("misdeed", "kind"),
    [
        (Peer.until_closed, FaultKind.TIMEOUT),
        (Peer.reset, FaultKind.RESET),
        (half_close, FaultKind.CLOSED),
        (close, FaultKind.CLOSED),
    ],
    ids=["silent", "reset", "half-close", "close"],
)
def test_the_phase_is_named_in_which_the_server_falls_silent_or_goes(
    *,
    serve: Serve,
    make_check: CheckMaker,
    talk: Talk,
    good: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
    phase: Phase,
    misdeed: Misdeed,
    kind: FaultKind,
) -> None:
    connected, made = threading.Event(), _Link.connection_made

    def noted(link: _Link, transport: asyncio.BaseTransport) -> None:
        made(link, transport)
        connected.set()

    def in_phase(peer: Peer) -> None:
        if phase is Phase.TLS:
            peer.conn.recv(65536)  # the ClientHello
        connected.wait(10)
        misdeed(peer)

    monkeypatch.setattr(_Link, "connection_made", noted)
    port = serve(behave(good, phase, in_phase)).port
    conversation = patiently(lambda timeout: talk(make_check(port, timeout=timeout), Depth.SEND), (phase, kind))
    assert last(conversation) == (phase, kind)
    assert conversation.steps[-1].exchanges == PENDING[phase]
    assert [p for p, fault in outline(conversation) if fault is None] == WHOLE[: WHOLE.index(phase)]


@pytest.mark.parametrize("misdeed", [Peer.until_closed, Peer.reset, half_close, close, lambda peer: peer.say("HTTP")])
def test_trouble_while_taking_leave_is_no_fault(
    *,
    serve: Serve,
    make_check: CheckMaker,
    talk: Talk,
    good: ssl.SSLContext,
    misdeed: Misdeed,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("smtpcheck.smtp.connection.QUIT_SECONDS", 0.2)
    server = serve(behave(good, Phase.QUIT, misdeed))
    conversation = talk(make_check(server.port, timeout=20), Depth.SEND)
    assert outline(conversation) == [(phase, None) for phase in WHOLE]
    assert conversation.steps[-1].exchanges == (Exchange("QUIT", None),)
    assert conversation.steps[-1].seconds < 10, "the answer to QUIT is waited for as long as the check's timeout"


# ---------------------------------------------------------------------------------------------------------------------
# Bytes that are no reply, or no end of one


def flood(piece: bytes) -> Misdeed:
    def act(peer: Peer) -> None:
        while True:
            peer.conn.sendall(piece)

    return act


def drip(peer: Peer) -> None:
    while True:
        peer.conn.sendall(b"2")
        time.sleep(0.05)


def once(piece: bytes) -> Misdeed:
    def act(peer: Peer) -> None:
        peer.conn.sendall(piece)
        peer.until_closed()

    return act


@pytest.mark.parametrize(
    ("misdeed", "kind"),
    [
        (flood(b"250-more\r\n"), FaultKind.TOO_LONG),
        (flood(b"250-" + b"x" * 4000), FaultKind.TOO_LONG),
        (flood(b"\xff\xfe\x00" * 100), FaultKind.PROTOCOL),
        (once(b"HTTP/1.1 400 Bad Request\r\n\r\n"), FaultKind.PROTOCOL),
        (once(b"250-a\r\n550 b\r\n"), FaultKind.PROTOCOL),
        (once(b"\x15\x03\x01\x00\x02\x02\x46"), FaultKind.PROTOCOL),
        (once(b"250-the end never comes\r\n"), FaultKind.TIMEOUT),
        (drip, FaultKind.PROTOCOL),
    ],
    ids=["lines", "line", "garbage", "http", "codes", "tls-alert", "no-last-line", "drip"],
)
@pytest.mark.parametrize("phase", [Phase.BANNER, Phase.EHLO_TLS, Phase.AUTH])
def test_what_is_no_reply_ends_the_phase(
    *,
    serve: Serve,
    make_check: CheckMaker,
    talk: Talk,
    good: ssl.SSLContext,
    phase: Phase,
    misdeed: Misdeed,
    kind: FaultKind,
) -> None:
    port = serve(behave(good, phase, misdeed)).port
    assert last(patiently(lambda timeout: talk(make_check(port, timeout=timeout)), (phase, kind))) == (phase, kind)


def test_a_drip_of_a_plausible_reply_ends_at_the_timeout(
    serve: Serve, make_check: CheckMaker, talk: Talk, good: ssl.SSLContext
) -> None:
    def slow_reply(peer: Peer) -> None:
        for octet in b"220 a very slow server" * 200:
            peer.conn.sendall(bytes([octet]))
            time.sleep(0.05)

    port, end = serve(behave(good, Phase.BANNER, slow_reply)).port, (Phase.BANNER, FaultKind.TIMEOUT)
    assert last(patiently(lambda timeout: talk(make_check(port, timeout=timeout)), end)) == end


def test_a_server_that_is_busy_is_left_without_a_word(
    serve: Serve, make_check: CheckMaker, talk: Talk, good: ssl.SSLContext
) -> None:
    def busy(peer: Peer) -> None:
        peer.say("421 4.3.2 Service not available")
        peer.hear()

    server = serve(behave(good, Phase.BANNER, busy))
    conversation = talk(make_check(server.port))
    assert last(conversation) == (Phase.BANNER, FaultKind.REPLY)
    assert conversation.steps[-1].exchanges == (Exchange("", Reply(421, "4.3.2", ("Service not available",))),)
    assert server.peers[0].heard == []


# ---------------------------------------------------------------------------------------------------------------------
# The token


@pytest.mark.parametrize("echo", [lambda line: line, lambda line: line[:200], lambda line: line[300:900]])
def test_a_token_that_the_server_repeats_is_not_kept(
    *,
    serve: Serve,
    make_check: CheckMaker,
    talk: Talk,
    good: ssl.SSLContext,
    echo: Callable[[str], str],
) -> None:
    def repeat(peer: Peer) -> None:
        peer.say("334 ")
        blob = peer.hear().decode()
        peer.say(f"500-unrecognized {echo(blob)}", f"500 or {echo(TOKEN.reveal())}")
        peer.hear()

    conversation = talk(make_check(serve(behave(good, Phase.AUTH, repeat)).port))
    step = step_of(conversation, Phase.AUTH)
    assert step.fault is not None
    assert step.exchanges[-1].reply == Reply(500, "", ("unrecognized ***", "or ***"))


def test_a_server_without_starttls_never_gets_the_token(
    serve: Serve, make_check: CheckMaker, talk: Talk, good: ssl.SSLContext
) -> None:
    def stripped(peer: Peer) -> None:
        peer.say("250-mail.example.org", "250 AUTH XOAUTH2")
        peer.hear()
        peer.say("221 bye")

    server = serve(behave(good, Phase.EHLO, stripped))
    conversation = talk(make_check(server.port))
    assert outline(conversation)[-2:] == [
        (Phase.STARTTLS, FaultKind.STARTTLS_NOT_OFFERED),
        (Phase.QUIT, None),
    ]
    assert server.peers[0].heard == [b"EHLO probe.example.org", b"QUIT"]


def test_plain_text_behind_the_starttls_reply_is_an_injection(
    serve: Serve, make_check: CheckMaker, talk: Talk, good: ssl.SSLContext
) -> None:
    inject = once(b"220 go ahead\r\n250-evil\r\n250 AUTH XOAUTH2\r\n")
    conversation = talk(make_check(serve(behave(good, Phase.STARTTLS, inject)).port))
    assert last(conversation) == (Phase.TLS, FaultKind.STARTTLS_INJECTION)
    assert conversation.tls is None
