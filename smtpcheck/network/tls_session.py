"""One TLS connection in memory: what the server sent goes in, what must be sent comes out.

Rules of this file:
- No socket, no task, no clock: the connection's own callbacks drive it. asyncio's `start_tls` would put a protocol, a
  transport, a future and two timers between them; that costs as much as a tenth of a whole check (under uvloop, and
  twice that without), and sends the end of the handshake and the first command in two packets instead of one.
- Full duplex at all times: after each call what `take` returns must be sent, for TLS itself has things to say
  (RFC 8446 4.6.3: key updates).
"""

import contextlib
import ssl

from smtpcheck.model.report import TlsFacts
from smtpcheck.network.tls import tls_facts

MAX_PLAINTEXT = 1 << 14
"""RFC 8446 5.1: the most octets of one record. Reading so much takes a whole record at a time."""


class TlsSession:
    """The client's end of one connection."""

    __slots__ = ("_incoming", "_object", "_outgoing", "_verified", "ended", "established")

    def __init__(self, context: ssl.SSLContext, server_name: str) -> None:
        """Begin the handshake with a server of this name (RFC 6066 3); `take` returns its first message."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._verified = context.check_hostname
        self.established = False
        """Whether the handshake is done, and the server's certificate verified where the context asks for it."""
        self.ended = False
        """Whether the server has sent close_notify (RFC 8446 6.1)."""
        self.receive(b"")

    def receive(self, data: bytes) -> bytes:
        """Take what the server sent and return what it says in clear, if anything.

        Raises `ssl.SSLError` where the handshake fails or the bytes are no TLS; `take` then returns the alert.
        """
        self._incoming.write(data)
        said = b""
        try:
            if not self.established:
                self._object.do_handshake()
                self.established = True
            while self._incoming.pending and not self.ended:
                record = self._object.read(MAX_PLAINTEXT)
                self.ended = not record
                said += record
        except ssl.SSLWantReadError:
            return said
        return said

    def facts(self) -> TlsFacts:
        """Return what the session says of itself, from when it is established."""
        return tls_facts(self._object, verified=self._verified)

    def say(self, text: bytes) -> None:
        """Encrypt what `take` then returns."""
        self._object.write(text)

    def take(self) -> bytes:
        """Return, once, what must be sent now; empty if nothing."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def close(self) -> None:
        """Send close_notify, if the session is established; the server's is not waited for."""
        if self.established:
            with contextlib.suppress(ssl.SSLError):
                self._object.unwrap()
