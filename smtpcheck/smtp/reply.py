"""SMTP replies out of bytes (RFC 5321 4.2, enhanced codes RFC 3463 and RFC 2034).

Rules of this file:
- Pure: bytes in, a `Reply` or a `Fault` out; no bytes whatsoever raise.
- The result does not depend on how the bytes were cut into pieces.
- Memory is bounded: a line holds at most `MAX_LINE` octets, a reply `MAX_LINES` lines and `MAX_REPLY` octets. What is
  kept of a reply is `bounded`, once no secret is left in it that a cut would divide.
- A server says the same run after run: what is whole, short and no refusal is parsed once, and all reports share it. A
  refusal may repeat a token, so none is remembered.
- Lenient where servers are known to be careless (bare LF, no text, a code outside the RFC's second digit), strict where
  a mistake would be taken for an answer (codes that differ within one reply, lines that do not begin with a code).
"""

import functools
import re

from smtpcheck.model.printable import printable
from smtpcheck.model.report import Fault, FaultKind, Reply

MAX_LINE = 8192
MAX_LINES = 100
MAX_REPLY = 65536
MAX_TEXT = 8192
"""How many characters of a reply are kept, which reports, logs and alerts repeat; no known server says as much."""

_REMEMBERED_OCTETS = 2048
_REMEMBERED_REPLIES = 512

_SHOWN = 64
"""How many octets of a line that is not SMTP are kept as evidence."""

_NO_REFUSAL = (b"2", b"3")
_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_BEGIN = re.compile(rb"[2-5](?:[0-9](?:[0-9](?:[ \r-]|$)|$)|$)|\r?$")
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:\s+|$)")


class ReplyParser:
    """Cuts a stream of bytes into replies."""

    __slots__ = ("_buffer", "_code", "_enhanced", "_lines", "_size")

    def __init__(self) -> None:
        self._buffer = b""
        self._start()

    def _start(self) -> None:
        self._code = b""
        self._enhanced = ""
        self._lines: list[str] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take what the server sent; call `next_reply` until it returns None before feeding more."""
        self._buffer = self._buffer + data if self._buffer else data

    @property
    def rest(self) -> bytes:
        """Return what came behind the last whole reply."""
        return self._buffer

    def next_reply(self) -> Reply | Fault | None:
        """Return the next whole reply, or why there will be none, or None while more bytes are needed."""
        if not self._buffer:
            return None
        if not self._code and self._buffer[:1] in _NO_REFUSAL and len(self._buffer) <= _REMEMBERED_OCTETS:
            reply = _whole(self._buffer)
            if reply is not None:
                self._buffer = b""
                return reply
        return self.parse()

    def parse(self) -> Reply | Fault | None:
        """Do as `next_reply`, but remember nothing."""
        while True:
            end = self._buffer.find(b"\n", 0, MAX_LINE)
            if end < 0:
                return self._unfinished()
            line = self._buffer[:end].removesuffix(b"\r")
            self._size += end + 1
            match = _LINE.fullmatch(line)
            if match is None or (self._code and match[1] != self._code):
                return Fault(FaultKind.PROTOCOL, escaped(line))
            if self._size > MAX_REPLY or len(self._lines) == MAX_LINES:
                return Fault(FaultKind.TOO_LONG, f"a reply of more than {MAX_LINES} lines or {MAX_REPLY} octets")
            self._buffer = self._buffer[end + 1 :]
            self._code = match[1]
            self._take_text(match[3] or b"")
            if match[2] != b"-":
                return self._finish()

    def _unfinished(self) -> Fault | None:
        if len(self._buffer) >= _SHOWN and not self._plausible():
            return Fault(FaultKind.PROTOCOL, escaped(self._buffer))
        if len(self._buffer) >= MAX_LINE:
            return Fault(FaultKind.TOO_LONG, f"a line of more than {MAX_LINE} octets")
        return None

    def _plausible(self) -> bool:
        return _BEGIN.match(self._buffer) is not None

    def leftover_fault(self) -> Fault | None:
        """Return a fault if the unfinished line cannot become a reply: for when no more bytes will come."""
        return None if self._plausible() else Fault(FaultKind.PROTOCOL, escaped(self._buffer))

    def _take_text(self, raw: bytes) -> None:
        text = printable(raw.decode("utf-8", "backslashreplace"))
        match = _ENHANCED.match(text)
        if match is not None:
            self._enhanced = self._enhanced or match[1]
            text = text[match.end() :]
        self._lines.append(text)

    def _finish(self) -> Reply:
        reply = Reply(int(self._code), self._enhanced, tuple(self._lines))
        self._start()
        return reply


def bounded(reply: Reply) -> Reply:
    """Return the reply with no more text than `MAX_TEXT` characters."""
    if sum(map(len, reply.lines)) <= MAX_TEXT:
        return reply
    lines, left = [], MAX_TEXT
    for line in reply.lines:
        lines.append(line[:left])
        left -= len(lines[-1])
    return Reply(reply.code, reply.enhanced, tuple(lines))


@functools.lru_cache(maxsize=_REMEMBERED_REPLIES)
def _whole(data: bytes) -> Reply | None:
    """Return the reply that the bytes are, None if they are anything else."""
    parser = ReplyParser()
    parser.feed(data)
    reply = parser.parse()
    return reply if isinstance(reply, Reply) and not parser.rest else None


def escaped(data: bytes) -> str:
    """Return the first octets of something that is not SMTP, with every octet outside printable ASCII escaped."""
    return repr(data[:_SHOWN])[2:-1]
