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
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtensionOID

from smtpcheck.model.check import Depth, Phase, Security, Server
from smtpcheck.model.report import FaultKind
from smtpcheck.network.certificate import MAX_NAMES, certificate_facts
from smtpcheck.network.network import Network
from smtpcheck.network.tls import TlsContexts
from smtpcheck.smtp.connection import Conversation, converse
from tests.worlds import samples

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
        check = samples.check(server=server, credential=None, depth=Depth.CONNECT)
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


def _der(tag: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    size = len(content)
    length = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + content


class Authority:
    """Signs certificates that `cryptography` cannot parse, in part or as a whole."""

    def __init__(self, folder: Path) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "odd authority")])
        own = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        self.ca_file = folder / "odd.pem"
        self.ca_file.write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        self._folder = folder

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=subject,
            public_key=key.public_key(),
            serial_number=7,
            not_valid_before=now - timedelta(days=1),
            not_valid_after=now + timedelta(days=30),
        )

    def context(self, odd: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.example.org")])
        names = _der(0x30, _der(0x82, b"mail.example.org"), _der(0xA5, _der(0xA1, _der(0x0C, b"party"))))
        if odd == "version":
            names = _der(0x30, _der(0x82, b"mail.example.org"))
        oid = ExtensionOID.SUBJECT_ALTERNATIVE_NAME
        builder = self._builder(subject, key).add_extension(x509.UnrecognizedExtension(oid, names), critical=False)
        made = builder.sign(self._key, hashes.SHA256())
        tbs = made.tbs_certificate_bytes
        if odd == "version":  # RFC 5280 4.1.2.1 knows 0 to 2
            tbs = tbs.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03", 1)
        signature = self._key.sign(tbs, ec.ECDSA(hashes.SHA256()))
        algorithm = _der(0x30, b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02")
        pem = ssl.DER_cert_to_PEM_cert(_der(0x30, tbs, algorithm, _der(0x03, b"\0" + signature)))
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        path = self._folder / f"{odd}.pem"
        path.write_text(secret + pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


@pytest.mark.parametrize(("odd", "unreadable", "names"), [
    ("names", ("names",), ()),
    ("version", ("extensions",), ("mail.example.org",)),
])  # fmt: skip
def test_of_a_certificate_that_is_taken_and_cannot_be_parsed_what_can_be_read_is_read(
    serve: Serve,
    connect: Callable[[Server], Conversation],
    server: Server,
    tmp_path: Path,
    *,
    odd: str,
    unreadable: tuple[str, ...],
    names: tuple[str, ...],
) -> None:
    """The run goes on, and what is missing is named."""
    authority, heard = Authority(tmp_path), list[bytes]()
    port = serve(shaking_hands(authority.context(odd), heard))
    conversation = connect(replace(server, port=port, ca_file=str(authority.ca_file)))
    assert next(step for step in conversation.steps if step.phase is Phase.TLS).fault is None
    assert conversation.tls is not None
    facts = conversation.tls.certificate
    assert facts is not None
    assert (facts.unreadable, facts.names) == (unreadable, names)
    assert (facts.subject, facts.issuer) == ("CN=mail.example.org", "CN=odd authority")
    assert facts.not_after - facts.not_before == 31 * 86400
    assert (facts.self_signed, facts.verified, len(facts.fingerprint)) == (False, True, 64)


def test_what_is_kept_of_a_certificate_is_bounded(authority: trustme.CA) -> None:
    names = [f"{number}.example.org" for number in range(2 * MAX_NAMES)]
    pem = authority.issue_cert(*names, organization_name="x" * 60).cert_chain_pems[0].bytes().decode()
    facts = certificate_facts(ssl.PEM_cert_to_DER_cert(pem), verified=True)
    assert facts is not None and facts.names == tuple(names[:MAX_NAMES])
