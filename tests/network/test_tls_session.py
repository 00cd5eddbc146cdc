"""TLS in memory: whatever way the bytes are cut, and whatever comes in their place."""

import contextlib
import ssl
from collections.abc import Iterator

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.network.tls_session import TlsSession

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("mail.example.org")


class Peer:
    """The server's end, also in memory."""

    def __init__(self, version: ssl.TLSVersion) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = version
        CERTIFICATE.configure_cert(context)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def shake_hands(self, data: bytes) -> bytes:
        self._incoming.write(data)
        with contextlib.suppress(ssl.SSLWantReadError):
            self.object.do_handshake()
        return self._outgoing.read()

    def say(self, text: bytes) -> bytes:
        self.object.write(text)
        return self._outgoing.read()

    def hear(self, data: bytes) -> bytes:
        self._incoming.write(data)
        return self.object.read(65536)

    def has_heard_the_last(self, data: bytes) -> None:
        """Raise unless both ends have now taken leave."""
        self._incoming.write(data)
        self.object.unwrap()

    def close(self) -> bytes:
        with pytest.raises(ssl.SSLWantReadError):
            self.object.unwrap()
        return self._outgoing.read()


def context() -> ssl.SSLContext:
    made = ssl.create_default_context()
    AUTHORITY.configure_trust(made)
    return made


VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


def cut(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def established(peer: Peer, size: int = 65536) -> TlsSession:
    session = TlsSession(context(), "mail.example.org")
    while sent := session.take():
        for piece in cut(peer.shake_hands(sent), size):
            assert session.receive(piece) == b""
    assert session.established
    return session


@VERSIONS
@given(size=st.integers(1, 300), texts=st.lists(st.binary(min_size=1, max_size=40_000), max_size=3))
def test_bytes_may_be_cut_anyhow(version: ssl.TLSVersion, size: int, texts: list[bytes]) -> None:
    peer = Peer(version)
    session = established(peer, size)
    for text in texts:
        assert b"".join(session.receive(piece) for piece in cut(peer.say(text), size)) == text


@VERSIONS
def test_what_is_said_goes_out_once(version: ssl.TLSVersion) -> None:
    peer = Peer(version)
    session = established(peer)
    assert session.take() == b""
    session.say(b"QUIT\r\n")
    assert peer.hear(session.take()) == b"QUIT\r\n"
    assert session.take() == b""


def test_the_first_words_follow_the_handshake_in_one_piece() -> None:
    peer = Peer(ssl.TLSVersion.TLSv1_3)
    session = TlsSession(context(), "mail.example.org")
    session.receive(peer.shake_hands(session.take()))
    session.say(b"EHLO me\r\n")
    peer.shake_hands(session.take())
    assert peer.object.read(100) == b"EHLO me\r\n"


@VERSIONS
def test_leave_is_taken_and_noticed(version: ssl.TLSVersion) -> None:
    peer = Peer(version)
    session = established(peer)
    assert session.receive(peer.say(b"221 bye\r\n") + peer.close()) == b"221 bye\r\n"
    assert session.ended
    session.close()
    peer.has_heard_the_last(session.take())


def test_leaving_before_the_handshake_says_nothing() -> None:
    session = TlsSession(context(), "mail.example.org")
    session.take()
    session.close()
    assert session.take() == b""


def test_a_name_that_the_certificate_does_not_cover_is_refused_with_an_alert() -> None:
    peer = Peer(ssl.TLSVersion.TLSv1_3)
    session = TlsSession(context(), "other.example.org")
    with pytest.raises(ssl.SSLCertVerificationError):
        session.receive(peer.shake_hands(session.take()))
    assert not session.established
    with pytest.raises(ssl.SSLError, match="ALERT"):
        peer.hear(session.take())


@given(noise=st.binary(min_size=6, max_size=200))
def test_bytes_that_are_no_tls_raise_or_wait(noise: bytes) -> None:
    session = TlsSession(context(), "mail.example.org")
    with contextlib.suppress(ssl.SSLError):
        assert session.receive(noise) == b""
    assert not session.established


@VERSIONS
def test_a_record_that_was_tampered_with_is_refused_with_an_alert(version: ssl.TLSVersion) -> None:
    peer = Peer(version)
    session = established(peer)
    tampered = bytearray(peer.say(b"250 ok\r\n"))
    tampered[-1] ^= 1
    with pytest.raises(ssl.SSLError):
        session.receive(bytes(tampered))
    with pytest.raises(ssl.SSLError, match="ALERT"):
        peer.hear(session.take())
