"""A server that writes the octets that a test gives it, HTTP or not, and keeps what it was sent."""

import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class RawServer:
    """What it has got, and how much it could write before the client left."""

    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)
    """Set when a request has come."""
    written: int = 0
    released: threading.Event = field(default_factory=threading.Event)
    """Set when the test is over; whatever waits ends."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def head(self) -> str:
        """Return the headers of the last request."""
        return self.requests[-1].decode()

    def drip(self, octets: bytes, seconds: float) -> Iterator[bytes]:
        """Yield octet by octet, with a wait after each."""
        for octet in octets:
            yield bytes([octet])
            if self.released.wait(seconds):
                return

    def hang(self, octets: bytes = b"") -> Iterator[bytes]:
        """Yield these octets and then nothing until the test is over."""
        yield octets
        self.released.wait()


def endless(*parts: bytes) -> Iterator[bytes]:
    """Yield all parts but the last once, and the last for ever."""
    *first, last = parts
    yield from first
    while True:
        yield last


@contextmanager
def serving(
    answers: Iterable[Iterable[bytes]], server: RawServer | None = None, *, context: ssl.SSLContext | None = None
) -> Iterator[RawServer]:
    """Answer each connection with the next of these, the last one again and again; by TLS with a context."""
    server = server or RawServer()
    waiting = list(answers)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.port = listener.getsockname()[1]
        threads: list[threading.Thread] = []

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
                thread = threading.Thread(target=_talk, args=(connection, answer, server, context), daemon=True)
                thread.start()
                threads.append(thread)

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield server
        finally:
            server.released.set()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            for thread in (accepting, *threads):
                thread.join(10)


def _talk(
    connection: socket.socket, answer: Iterable[bytes], server: RawServer, context: ssl.SSLContext | None
) -> None:
    with ExitStack() as ends, suppress(OSError):
        ends.enter_context(connection)
        if context is not None:
            connection = ends.enter_context(context.wrap_socket(connection, server_side=True))
        got = bytearray()
        while b"\r\n\r\n" not in got:
            got += connection.recv(65536) or b"\r\n\r\n"
        server.requests.append(bytes(got))
        server.asked.set()
        for part in answer:
            connection.sendall(part)
            server.written += len(part)
            if server.released.is_set():
                return
