"""The parts of a message as one flat list: what a reader of bounces needs of MIME (RFC 2045, 2046), in linear time.

Rules of this file:
- Pure, and the message is untrusted input: nothing in it raises; its length, parts, fields and charsets are bounded.
- Each line is looked at once, however the parts are nested: a delimiter ends a part whichever multipart declared it.
- A message that is attached stays one part: of it only its header and its lines are of interest.
- What was pasted is often damaged: a delimiter that nobody declared counts where a field of MIME follows it.
"""

import base64
import binascii
import html
import re
from dataclasses import dataclass
from functools import cached_property

from smtpcheck.mail.headers import Field, clean

MAX_MESSAGE = 1024 * 1024
"""How many octets of a message are looked at: the notice comes before the message that is returned with it."""

_MAX_PARTS = 100
_MAX_FIELDS = 400
_MAX_HEADER_LINES = 2000
_MAX_FOLDED = 8192
_MAX_TEXT = 128 * 1024
_FIELD = re.compile(rb"([A-Za-z0-9_.-]{1,80})[ \t]{0,40}:(.*)", re.DOTALL)
_PARAMETER = re.compile(r';\s{0,40}([\w*-]{1,40})\s{0,40}=\s{0,40}(?:"([^"]{0,200})"|([^\s;"]{1,200}))')
_MIME_FIELD = re.compile(rb"content-[a-z-]{2,40}[ \t]{0,40}:", re.IGNORECASE)
_CHARSET = re.compile(
    r"(?:us-)?ascii|utf-?(?:7|8|16(?:le|be)?)|iso-?(?:8859-?\d{1,2}|2022-(?:jp(?:-\d)?|kr))|latin-?\d"
    r"|(?:windows-|cp)\d{3,4}|shift[_-]?jis|s?jis|euc-?(?:jp|kr|cn)|gb(?:2312|k|18030)|big5|koi8-[ru]|ks_c_5601-1987"
    r"|macintosh"
)
_CHARSET_NAMES = {"unicode-1-1-utf-7": "utf-7", "macintosh": "mac-roman"}
_BLOCK_END = re.compile(r"(?i)<br\s{0,40}/?>|</(?:p|div|h\d|li|tr|table)\s{0,40}>")
_TAG = re.compile(r"<[^<>]{0,2000}>")
ATTACHED = frozenset({"message/rfc822", "message/global", "text/rfc822-headers", "text/rfc822-header"})
"""The types of a message that is attached, or of its header alone."""

MESSAGE_FIELDS = frozenset({"from", "received", "return-path", "subject", "date", "message-id", "delivered-to"})
"""Fields that the header of a message has, in lower case."""
_MAX_HEADER = 64 * 1024
_LEAST_FIELDS = 3


@dataclass(frozen=True)
class Part:
    """One part of a message; the first part of a message has the message's own header."""

    fields: tuple[Field, ...]
    lines: tuple[bytes, ...]
    """The body as it was transferred."""

    @cached_property
    def content_type(self) -> str:
        """The media type in lower case; `text/plain` where none is named (RFC 2045 5.2)."""
        value = self.field("Content-Type").partition(";")[0].strip().lower()
        return value if "/" in value else "text/plain"

    @cached_property
    def text(self) -> str:
        """The body decoded; of HTML only its text."""
        charset = self.parameter("charset") or "utf-8"
        encoding = self.field("Content-Transfer-Encoding").strip().lower()
        text = _text(_transferred(b"\n".join(self.lines), encoding)[:_MAX_TEXT], charset)
        return text_of_html(text) if self.content_type == "text/html" else text

    def field(self, name: str) -> str:
        """Return the value of the first field of that name; empty if there is none."""
        return next((value for key, value in self.fields if key.lower() == name.lower()), "")

    def has(self, name: str) -> bool:
        """Return whether there is a field of that name, empty or not."""
        return any(key.lower() == name.lower() for key, _ in self.fields)

    def parameter(self, name: str) -> str:
        """Return a parameter of the content type."""
        found = _PARAMETER.finditer(self.field("Content-Type"))
        return next((match[2] or match[3] or "" for match in found if match[1].lower() == name), "")


def parts_of(message: bytes) -> tuple[Part, ...]:
    """Return the parts in their order, the message's own header first; empty only for an empty message."""
    lines = message[:MAX_MESSAGE].splitlines()
    at = _first_line(lines)
    boundaries: set[bytes] = set()
    found: list[Part] = []
    while at < len(lines) and len(found) < _MAX_PARTS:
        fields, begin = _header(lines, at)
        part = Part(fields, ())
        attached = bool(found) and part.content_type in ATTACHED
        if not attached and (boundary := part.parameter("boundary")):
            boundaries.add(boundary.encode("utf-8", "replace"))
        end = _end(lines, begin, boundaries, attached=attached)
        found.append(Part(fields, tuple(lines[begin:end])))
        at = _next_begin(lines, end, boundaries)
    return tuple(found)


def is_message(octets: bytes) -> bool:
    """Return whether octets begin with the header of a message."""
    parts = parts_of(octets[:_MAX_HEADER])
    return bool(parts) and len({name.lower() for name, _ in parts[0].fields} & MESSAGE_FIELDS) >= _LEAST_FIELDS


def header_of(text: str) -> tuple[Field, ...]:
    """Return the fields that a text begins with; a line that is no field continues the one before, folded or not."""
    lines = text.lstrip("\r\n").encode("utf-8", "replace").splitlines()
    return _header(lines, 0, lenient=True)[0]


def text_of_html(text: str) -> str:
    """Return the text of a page without its tags."""
    return html.unescape(_TAG.sub(" ", _BLOCK_END.sub("\n", _without_invisible(text))))


def _first_line(lines: list[bytes]) -> int:
    """Return where the message begins: behind blank lines and the line that an mbox puts before it."""
    at = next((at for at, line in enumerate(lines) if line.strip()), len(lines))
    return at + (at < len(lines) and lines[at].startswith((b"From ", b">From ")))


def _header(lines: list[bytes], at: int, *, lenient: bool = False) -> tuple[tuple[Field, ...], int]:
    """Return the fields from line `at` on, and where the body begins.

    A field without a value is continued by any line: that is what remains where the folding was lost.
    """
    fields: list[tuple[bytes, list[bytes]]] = []
    limit = min(len(lines), at + _MAX_HEADER_LINES)
    while at < limit and lines[at].strip():
        line = lines[at]
        if line[:1] in {b" ", b"\t"} and fields:
            fields[-1][1].append(line)
        elif (found := _FIELD.fullmatch(line)) and not found[2].startswith(b"//"):
            fields.append((found[1], [found[2]]))
        elif fields and (lenient or not any(part.strip() for part in fields[-1][1])):
            fields[-1][1].append(b" " + line)
        else:
            break
        at += 1
    return _decoded(fields), at + (at < len(lines) and not lines[at].strip())


def _decoded(fields: list[tuple[bytes, list[bytes]]]) -> tuple[Field, ...]:
    return clean(
        ((name.decode("ascii"), b"".join(value)[:_MAX_FOLDED].decode("utf-8", "replace")) for name, value in fields),
        most=_MAX_FIELDS,
    )


def _end(lines: list[bytes], at: int, boundaries: set[bytes], *, attached: bool) -> int:
    """Return the line of the delimiter that ends the part whose body begins in line `at`."""
    while at < len(lines):
        if lines[at].startswith(b"--"):
            if _is_delimiter(lines[at], boundaries):
                return at
            if not attached and at + 1 < len(lines) and _MIME_FIELD.match(lines[at + 1]):
                return at
        at += 1
    return at


def _next_begin(lines: list[bytes], end: int, boundaries: set[bytes]) -> int:
    """Return where the next part begins: behind the delimiter, and behind what follows one that closes."""
    while end < len(lines) and _closes(lines[end], boundaries):
        end = _end(lines, end + 1, boundaries, attached=False)
    return end + 1


def _is_delimiter(line: bytes, boundaries: set[bytes]) -> bool:
    return line[2:].rstrip() in boundaries or _closes(line, boundaries)


def _closes(line: bytes, boundaries: set[bytes]) -> bool:
    name = line[2:].rstrip()
    return name not in boundaries and name.endswith(b"--") and name[:-2] in boundaries


def _transferred(body: bytes, encoding: str) -> bytes:
    if encoding == "quoted-printable":
        return binascii.a2b_qp(body)
    if encoding == "base64":
        signs = re.sub(rb"[^A-Za-z0-9+/]", b"", body)
        try:
            return base64.b64decode(signs[: len(signs) - (len(signs) % 4 == 1)] + b"=" * (-len(signs) % 4))
        except binascii.Error:
            return b""
    return body


def _text(body: bytes, charset: str) -> str:
    """Return the body as text: octets that are UTF-8 are that, whatever is declared, for what is pasted becomes it."""
    name = charset.strip().strip("'").lower()
    name = _CHARSET_NAMES.get(name, name)
    declared = name if _CHARSET.fullmatch(name) else "utf-8"
    for codec in (declared,) if body.isascii() else ("utf-8", declared):
        try:
            return body.decode(codec)
        except (UnicodeError, LookupError):
            continue
    return body.decode("utf-8", "replace")


def _without_invisible(text: str) -> str:
    """Return a page without comments and what is not shown; one that has no end takes the rest."""
    kept, at, lower = [], 0, text.lower()
    for found in re.finditer(r"<(!--|style|script|head\b)", lower):
        if found.start() < at:
            continue
        kept.append(text[at : found.start()])
        closing = "-->" if found[1] == "!--" else f"</{found[1]}"
        end = lower.find(closing, found.end())
        at = len(text) if end < 0 else end + len(closing)
    return " ".join((*kept, text[at:]))
