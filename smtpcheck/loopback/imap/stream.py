"""The bytes of one IMAP connection, bounded: what the IMAP library reads from and writes to.

Rules of this file:
- Synchronous and blocking, for a thread. Every wait ends by the connection's end in time, and each single line, literal
  and write within `STEP_SECONDS`, however lively a server drips.
- A line, a literal and all that is received have a greatest size; a literal's size is looked at before it is read.
- `cut` may be called from another thread: whatever waits then ends at once.
- TLS is begun before the library sees the connection. What a server sends in clear before it is forgotten
  (RFC 9051 6.2.1), and what slips in behind the answer to STARTTLS is an error.
"""

import contextlib
import imaplib
import re
import socket
import ssl
import time
from typing import Any

STEP_SECONDS = 30.0
MAX_LINE = 1024 * 1024
MAX_LITERAL = 256 * 1024
MAX_LINES = 100_000
"""Of a connection: each costs the library some time, whatever its length."""

_CHUNK = 16 * 1024
_TAG = b"smtpcheck"
_GREETING = re.compile(rb"\* OK\b", re.IGNORECASE)
_BYE = re.compile(rb"\* BYE\b(.*)", re.IGNORECASE)
_MOST_LINES = 100


class StreamError(Exception):
    """The connection cannot be used any more; the message says why, in words for the user."""


class InjectionError(StreamError):
    """Something follows the answer to STARTTLS."""


class Stream:
    """One connection."""

    def __init__(self, sock: socket.socket, *, end: float, budget: int) -> None:
        """Take a connected socket, when it must be over (monotonic), and how many octets may be received at most."""
        self._socket = sock
        self._handle = sock.dup()  # the other one changes when TLS begins
        self._end = end
        self._budget = budget
        self._lines = 0
        self._buffer = bytearray()
        self.bye = ""
        """The text of the server's BYE (RFC 9051 7.1.5), empty while it has said none."""

    def starttls(self, context: ssl.SSLContext, server_name: str) -> None:
        """Ask for TLS (RFC 9051 6.2.1), begin it, and let the library find a greeting of its own."""
        if not _GREETING.match(self.readline()):
            raise StreamError("the greeting allows no STARTTLS")
        self.send(_TAG + b" STARTTLS\r\n")
        for _ in range(_MOST_LINES):
            line = self.readline()
            if line.startswith(_TAG + b" "):
                break
        answer = line.removeprefix(_TAG).strip()
        if not answer.upper().startswith(b"OK"):
            raise StreamError(f"STARTTLS was refused: {answer.decode('utf-8', 'replace')}")
        if self._buffer:
            raise InjectionError("the server sent plaintext after its answer to STARTTLS")
        self.begin_tls(context, server_name)
        self._buffer += b"* OK TLS\r\n"

    def begin_tls(self, context: ssl.SSLContext, server_name: str) -> None:
        """Do the handshake. Raises OSError (`ssl.SSLError` is one)."""
        self._socket.settimeout(self._remaining(self._step_end()))
        self._socket = context.wrap_socket(self._socket, server_hostname=server_name)

    def read(self, size: int) -> bytes:
        """Return exactly so many octets."""
        if size > MAX_LITERAL:
            raise StreamError(f"the server announces {size} octets where {MAX_LITERAL} are the most")
        end = self._step_end()
        while len(self._buffer) < size:
            self._receive(end)
        return self._take(size)

    def readline(self) -> bytes:
        """Return the next line with its end."""
        end, looked_at = self._step_end(), 0
        while (found := self._buffer.find(b"\n", looked_at)) < 0:
            looked_at = len(self._buffer)
            if looked_at > MAX_LINE:
                raise StreamError(f"the server sends a line of more than {MAX_LINE} octets")
            self._receive(end)
        self._lines += 1
        if self._lines > MAX_LINES:
            raise StreamError(f"the server sends more than {MAX_LINES} lines")
        line = self._take(found + 1)
        if (said := _BYE.match(line)) is not None:
            self.bye = said[1].strip().decode("utf-8", "replace")
        return line

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self._socket.settimeout(self._remaining(self._step_end()))
        try:
            self._socket.sendall(data)
        except TimeoutError:
            raise StreamError("the server accepts no more data") from None
        except OSError as error:
            raise StreamError(_words(error)) from None

    def shorten(self, seconds: float) -> None:
        """Let it be over in so many seconds at most."""
        self._end = min(self._end, time.monotonic() + seconds)

    def cut(self) -> None:
        """End every wait; may be called from another thread."""
        with contextlib.suppress(OSError):
            self._handle.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()
        self._handle.close()

    def _receive(self, end: float) -> None:
        self._socket.settimeout(self._remaining(end))
        try:
            data = self._socket.recv(_CHUNK)
        except TimeoutError:
            raise StreamError("the server does not answer") from None
        except OSError as error:
            raise StreamError(_words(error)) from None
        if not data:
            raise StreamError("the server closed the connection")
        self._budget -= len(data)
        if self._budget < 0:
            raise StreamError("the server sends more data than it should")
        self._buffer += data

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _step_end(self) -> float:
        return min(self._end, time.monotonic() + STEP_SECONDS)

    def _remaining(self, end: float) -> float:
        remaining = end - time.monotonic()
        if remaining <= 0:
            raise StreamError("the server's answer does not end")
        return remaining


class StreamImap4(imaplib.IMAP4):
    """The library's own connection, on a stream; these methods are what `imaplib` documents as to be overridden."""

    def __init__(self, stream: Stream) -> None:
        """Read the greeting and ask for the capabilities."""
        self._stream = stream
        super().__init__()

    def open(self, *_: object) -> None:
        """Do nothing: the stream is open."""

    def read(self, size: int) -> bytes:
        """Return exactly so many octets."""
        return self._stream.read(size)

    def readline(self) -> bytes:
        """Return the next line with its end; the library takes none that ends with a bare LF, as Mailutils sends it."""
        line = self._stream.readline()
        return line if line.endswith(b"\r\n") else line[:-1] + b"\r\n"

    def send(self, data: Any) -> None:
        """Send all of it."""
        self._stream.send(data)

    def shutdown(self) -> None:
        """Let go of the connection."""
        self._stream.close()


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    return (error.strerror or str(error)).lower() or "the connection broke"
