"""What one HTTP exchange comes to: a response, or the fault that prevented one.

Rules of this file:
- Values only. A failure of the outside world is a `Fault`, never an exception.
- Text of a response that is shown or kept goes through `Response.shown`; what was sent is redacted there.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from smtpcheck.http_client.parsing import parse_http_date, parse_retry_after
from smtpcheck.http_client.urls import endpoint_of
from smtpcheck.model.printable import printable
from smtpcheck.secrets.redaction import redact

KEPT_HEADERS = ("content-type", "date", "retry-after")
"""The headers of a response that every client keeps."""
MAX_HEADER = 1024
"""Characters that are kept of a header."""
MAX_DETAIL = 500
MAX_HEAD = 64 * 1024
"""Octets of status line and headers, interim responses (1xx) among them."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long one exchange may take, and how much of a body is read."""

    seconds: float = 25.0
    """From the first look-up of the name to the last octet of the body."""
    connect_seconds: float = 5.0
    """For one address, and again for its TLS handshake."""
    octets: int = 1024 * 1024
    """Of the body after decompression; with 0 it is not read at all."""

    @property
    def octets_of_body(self) -> int:
        """Return how many octets a body may take on the connection: more than it has where it is in small chunks."""
        return 2 * self.octets + MAX_HEAD


@dataclass(frozen=True, slots=True)
class Response:
    """What a server answered. The body of a redirect is never read."""

    method: str
    url: str = field(repr=False)
    status: int
    headers: Mapping[str, str]
    """The chosen ones, names in lower case, values printable and bounded."""
    body: bytes = field(repr=False)
    sent: frozenset[str] = field(repr=False)
    """The values of the request that must not be shown."""
    at: float
    """When it was complete (Unix seconds)."""
    seconds: float = 0.0
    """How long the exchange took."""
    is_whole: bool = True
    """Whether `body` is the whole body, not the part that fits the limit."""

    @property
    def endpoint(self) -> str:
        """Return the URL without user, query and whatever else must not be shown."""
        return redact(endpoint_of(self.url), self.sent)

    @property
    def text(self) -> str:
        """Return the body as text."""
        return self.body.decode("utf-8", "replace")

    @property
    def json(self) -> dict[str, Any] | None:
        """Return the body as a JSON object whose texts can all be encoded; None if it is not one."""
        value = self._json_value()
        return value if isinstance(value, dict) else None

    @property
    def json_list(self) -> list[Any] | None:
        """Return the body as a JSON list whose texts can all be encoded; None if it is not one."""
        value = self._json_value()
        return value if isinstance(value, list) else None

    def _json_value(self) -> Any:
        text = self.text
        try:
            value = json.loads(text) if self.is_whole else None
            if "\\ud" in text.lower():  # lone surrogates, which no file, page or log takes
                value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
        except (ValueError, RecursionError):
            return None
        return value

    @property
    def retry_after(self) -> float | None:
        """Return how many seconds the server asks to wait, if it does."""
        return parse_retry_after(self.headers.get("retry-after", ""), now=self.at, date=self.headers.get("date", ""))

    @property
    def clock_offset(self) -> float | None:
        """Return the server's clock less ours, in seconds."""
        date = parse_http_date(self.headers.get("date", ""))
        return None if date is None else date - self.at

    def shown(self, text: str, limit: int) -> str:
        """Return a text of the response as it may be shown: redacted, printable, at most `limit` characters."""
        return printable(redact(text, self.sent, limit), keep="\n\t", limit=limit)


class FaultKind(StrEnum):
    """Where an exchange ended that brought no response."""

    REQUEST = "request"
    """The request cannot be sent: its URL or one of its headers is not valid."""
    PROXY = "proxy"
    NAME_NOT_FOUND = "name_not_found"
    REFUSED = "refused"
    """The host answered that nothing listens there."""
    CONNECT = "connect"
    """No connection came up."""
    TLS = "tls"
    TIMEOUT = "timeout"
    CLOSED = "closed"
    """The connection ended before the response did."""
    PROTOCOL = "protocol"
    """What came is not HTTP, or more headers than any server sends."""
    OUT_OF_RESOURCES = "out_of_resources"
    """This machine lacks descriptors, threads or memory: not the server's fault."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an exchange brought no response. Holds nothing that was sent."""

    kind: FaultKind
    detail: str
    """What the system or library says, printable and bounded."""
    endpoint: str
    at: float
    """When it was seen (Unix seconds)."""
    seconds: float = 0.0


Exchange = Response | Fault


def chosen(headers: Iterable[tuple[str, str]], keep: Iterable[str] = ()) -> dict[str, str]:
    """Return the headers that are kept, `keep` (lower case) among them; of several with one name the first."""
    names = {*KEPT_HEADERS, *keep}
    found: dict[str, str] = {}
    for name, value in headers:
        if name.lower() in names:
            found.setdefault(name.lower(), printable(value)[:MAX_HEADER])
    return found
