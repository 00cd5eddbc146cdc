"""A small HTTPS server on loopback that answers as each test tells it, and keeps what it was asked."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import trustme

Reply = tuple[int, dict[str, str], str]


def as_json(status: int, body: object, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, {"Content-Type": "application/json", **named}, json.dumps(body)


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: str

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body, keep_blank_values=True).items()}

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


Answer = Callable[[Asked], Reply]


@dataclass
class HttpsIssuer:
    """What it answers by path, and what it was asked."""

    ca_file: Path
    scheme: str = "https"
    port: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    drip: float | None = None
    """Seconds between two bytes of every answer, its headers included."""
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.port}"

    @property
    def lines(self) -> list[str]:
        return [str(asked) for asked in self.asked]

    @property
    def forms(self) -> list[dict[str, str]]:
        return [asked.form for asked in self.asked if asked.method == "POST"]

    def answer(self, path: str, *replies: Reply) -> None:
        """Answer requests to the path with these one after the other, and from then on with the last."""
        waiting = list(replies)
        self.answers[path] = lambda _: waiting.pop(0) if len(waiting) > 1 else waiting[0]

    def discovery(self, path: str = "", **other: object) -> None:
        """Serve a discovery document."""
        here = self.url + path
        names = {
            "issuer": here,
            "token_endpoint": f"{here}/token",
            "device_authorization_endpoint": f"{here}/device",
            "authorization_endpoint": f"{here}/authorize",
        }
        self.answer(f"{path}/.well-known/openid-configuration", as_json(200, names | other))


def _missing(_: Asked) -> Reply:
    return as_json(404, {"message": "no such page"})


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is a part of these tests."""


def _handler(issuer: HttpsIssuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

        def do_GET(self) -> None:
            self._answer("")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())

        def _answer(self, body: str) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, parts.path, query, headers, body)
            issuer.asked.append(asked)
            status, named, text = issuer.answers.get(parts.path, _missing)(asked)
            lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in named.items())]
            whole = "\r\n".join([*lines, f"Content-Length: {len(text.encode())}", "Connection: close", "", text])
            try:
                if issuer.drip is None:
                    self.wfile.write(whole.encode())
                    return
                for octet in whole.encode():
                    self.wfile.write(bytes([octet]))
                    if issuer.released.wait(issuer.drip):
                        return
            except OSError:
                pass

    return Handler


@contextmanager
def serving(folder: Path, *, scheme: str = "https") -> Iterator[HttpsIssuer]:
    """Serve until the end of the block; the authority's certificate lies in `folder`."""
    issuer = HttpsIssuer(ca_file=folder / "ca.pem", scheme=scheme)
    server = _Server(("127.0.0.1", 0), _handler(issuer))
    if scheme == "https":
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(issuer.ca_file))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    issuer.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield issuer
    finally:
        issuer.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
