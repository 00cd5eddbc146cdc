"""What a failed TLS handshake is called, and what is read of the certificate."""

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
import uvloop

from smtpcheck.model.check import Check, Depth, Phase, Provider, Security, Server, Warn
from smtpcheck.model.report import FaultKind
from smtpcheck.smtp.connection import Conversation, Network, converse
from smtpcheck.smtp.tls import TlsContexts, certificate_facts

Serve = Callable[[Callable[[socket.socket], None]], int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Run a handler for each of at most two connections; return the port."""
    closing: list[tuple[socket.socket, threading.Thread]] = []

    def start(handle: Callable[[socket.socket], None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(5)

        def run() -> None:
            with contextlib.suppress(OSError):
                while True:
                    conn, _ = listener.accept()
                    conn.settimeout(5)
                    with conn, contextlib.suppress(OSError):
                        handle(conn)

        thread = threading.Thread(target=run)
        thread.start()
        closing.append((listener, thread))
        return int(listener.getsockname()[1])

    yield start
    for listener, thread in closing:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join(20)
        listener.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server(authority: trustme.CA, tmp_path: Path) -> Server:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return Server("127.0.0.1", 0, Security.IMPLICIT, "mail.example.org", "me.example.org", ca_file=str(path))


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def connect(request: pytest.FixtureRequest) -> Callable[[Server], Conversation]:
    async def run(server: Server) -> Conversation:
        check = Check(
            name="x",
            mailbox="u@example.org",
            credential=None,
            provider=Provider.GENERIC,
            server=server,
            depth=Depth.CONNECT,
            interval=60,
            timeout=5,
            token_timeout=5,
            sender="u@example.org",
            recipient=None,
            mechanism=None,
            warn=Warn(1, 1, 1, 1),
        )
        network = Network.for_servers([server])
        return await converse(check, Depth.CONNECT, None, origin=time.monotonic(), network=network)

    def in_loop(server: Server) -> Conversation:
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(run(server))

    return in_loop


def context_of(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def shaking_hands(context: ssl.SSLContext, heard: list[bytes]) -> Callable[[socket.socket], None]:
    def handle(conn: socket.socket) -> None:
        with context.wrap_socket(conn, server_side=True) as secure:
            heard.append(secure.recv(100))

    return handle


def fault_of(conversation: Conversation) -> FaultKind | None:
    step = conversation.steps[-1]
    assert step.phase is Phase.TLS
    return step.fault.kind if step.fault else None


@pytest.mark.parametrize("case", ["expired", "hostname", "untrusted"])
def test_a_certificate_that_fails_is_named_and_still_read(
    serve: Serve, connect: Callable[[Server], Conversation], authority: trustme.CA, server: Server, case: str
) -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC)
    certificate, kind = {
        "expired": (
            authority.issue_cert("mail.example.org", not_before=past - timedelta(days=9), not_after=past),
            FaultKind.TLS_EXPIRED,
        ),
        "hostname": (authority.issue_cert("other.example.org"), FaultKind.TLS_HOSTNAME),
        "untrusted": (trustme.CA().issue_cert("mail.example.org"), FaultKind.TLS_UNTRUSTED),
    }[case]
    heard: list[bytes] = []
    port = serve(shaking_hands(context_of(certificate), heard))
    conversation = connect(replace(server, port=port))
    assert fault_of(conversation) is kind
    assert conversation.tls is not None
    facts = conversation.tls.certificate
    assert facts == certificate_facts(
        ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode()), verified=False
    )
    assert len(conversation.attempts) == 2
    assert heard in ([], [b""])


def test_an_old_version_is_named(
    serve: Serve, connect: Callable[[Server], Conversation], authority: trustme.CA, server: Server
) -> None:
    context = context_of(authority.issue_cert("mail.example.org"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    conversation = connect(replace(server, port=serve(shaking_hands(context, [])), min_tls="1.3"))
    assert fault_of(conversation) is FaultKind.TLS_VERSION


@pytest.mark.parametrize("greeting", [b"220 mail.example.org ESMTP\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_plain_text_in_place_of_tls_is_named(
    serve: Serve, connect: Callable[[Server], Conversation], server: Server, greeting: bytes
) -> None:
    def plain(conn: socket.socket) -> None:
        conn.sendall(greeting)
        while conn.recv(4096):
            pass

    assert fault_of(connect(replace(server, port=serve(plain)))) is FaultKind.TLS_NOT_SPOKEN


def test_one_context_per_setting(server: Server) -> None:
    other_port, strict = replace(server, port=1), replace(server, min_tls="1.3")
    contexts = TlsContexts([server, other_port, strict])
    assert contexts.verified(server) is contexts.verified(other_port)
    assert contexts.verified(server) is not contexts.verified(strict)
    assert contexts.verified(strict).minimum_version is ssl.TLSVersion.TLSv1_3
    assert contexts.verified(server).check_hostname


def test_a_ca_file_that_cannot_be_read_is_an_os_error(server: Server, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for name in ("empty.pem", "missing.pem"):
        with pytest.raises(OSError):
            TlsContexts([replace(server, ca_file=str(tmp_path / name))])


def test_bytes_that_are_no_certificate_are_none() -> None:
    assert certificate_facts(b"no certificate", verified=True) is None
