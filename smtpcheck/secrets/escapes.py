r"""The ways in which software escapes a text that it repeats, and how a secret is found behind them.

Percent-encoding of some octets or of all (RFC 3986 2.1, and a form's `+`), HTML's character references, the escapes of
JSON and of programming languages (`\u0041`, `\x41`, `\101`), quoted-printable (RFC 2045 6.7) and folded lines.

Rules of this file:
- Pure, and linear in the text: it is decoded once in each way, and twice in all ways at once (a URL in HTML in JSON).
- The text is decoded only to search it: what stays is as the server wrote it.
- Octets that are not UTF-8 are read as Latin-1.
"""

import html
import re
from collections.abc import Callable, Iterable, Iterator

Span = tuple[int, int]
"""Where something begins in a text, and where it ends."""

_Decoded = tuple[str, list[int]]
"""A text, and where in the original each of its characters begins; at the end the length of the original."""


def _in_hex(before: str) -> str:
    """Return the pattern of one character in UTF-8, or of an octet that is none, each octet in hex behind `before`."""
    more = f"{before}[89AB][0-9A-F]"
    long = f"{before}[CD][0-9A-F]{more}|{before}E[0-9A-F](?:{more}){{2}}|{before}F[0-7](?:{more}){{3}}"
    return f"{long}|{before}[0-9A-F]{{2}}"


_PERCENT = _in_hex("%")
_REFERENCE = r"&(?:\#[0-9]{1,7}|\#x[0-9A-F]{1,6}|[A-Z][A-Z0-9]{1,31});?"
_OCTAL = r"\\3[0-3][0-7]\\2[0-7]{2}|\\3[45][0-7](?:\\2[0-7]{2}){2}|\\36[0-7](?:\\2[0-7]{2}){3}|\\[0-3][0-7]{2}"
_CODE = r"\\uD[89AB][0-9A-F]{2}\\uD[C-F][0-9A-F]{2}|(?-i:\\U)[0-9A-F]{8}|\\u[0-9A-F]{4}|\\u\{[0-9A-F]{1,6}\}"
_OCTETS = _in_hex(r"\\x")
_BACKSLASH = rf"{_OCTETS}|{_OCTAL}|{_CODE}|\\[^\r\n]"
_FOLD = r"\r?\n[ \t]*"
_SOFT_BREAK = r"=[ \t]*\r?\n"

_ANY = re.compile(r"[%&+=\\\n]")
_WAYS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        _PERCENT,
        rf"\+|{_PERCENT}",
        _REFERENCE,
        _BACKSLASH,
        _FOLD,
        f"{_in_hex(f'(?:{_SOFT_BREAK})?=')}|{_SOFT_BREAK}",
    )
)
_EVERY_WAY = re.compile(f"{_PERCENT}|{_REFERENCE}|{_BACKSLASH}|{_FOLD}", re.IGNORECASE)
_SIGNS = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}


def without(text: str, spans: Callable[[str], Iterable[Span]], mark: str) -> str:
    """Return the text with the mark in place of whatever `spans` finds in it once it is decoded."""
    if not _ANY.search(text):
        return text
    for way in _WAYS:
        if way.search(text):
            text = _masked(text, _decoded(text, way), spans, mark)
    text = _masked(text, _decoded(text, _EVERY_WAY), spans, mark)
    once = _decoded(text, _EVERY_WAY)
    again, origins = _decoded(once[0], _EVERY_WAY)
    twice = again, [once[1][origin] for origin in origins]
    return _masked(text, twice, spans, mark) if again != once[0] else text


def _decoded(text: str, way: re.Pattern[str]) -> _Decoded:
    pieces: list[str] = []
    origins: list[int] = []
    end = 0
    for match in way.finditer(text):
        start = match.start()
        meaning = _meaning(match[0])
        pieces += [text[end:start], meaning]
        origins += [*range(end, start), *[start] * len(meaning)]
        end = match.end()
    return "".join([*pieces, text[end:]]), [*origins, *range(end, len(text) + 1)]


def _meaning(escape: str) -> str:
    """Return what an escape stands for; its first character says in which way it is one."""
    match escape[0]:
        case "%":
            return _text(bytes.fromhex(escape.replace("%", "")))
        case "+":
            return " "
        case "&":
            return html.unescape(escape)
        case "=":
            return _text(bytes.fromhex(escape.replace("=", "")))
        case "\\":
            return _behind_backslash(escape)
        case _:
            return ""


def _behind_backslash(escape: str) -> str:
    match escape[1]:
        case "x" | "X" if len(escape) > len(r"\x"):
            return _text(bytes.fromhex(escape.lower().replace(r"\x", "")))
        case "u" | "U" if len(escape) > len(r"\u"):
            codes = [int(code.strip("{}"), 16) for code in escape.lower().split(r"\u")[1:]]
            return "".join(map(_character, codes)).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case "0" | "1" | "2" | "3" if len(escape) > len(r"\0"):
            return _text(bytes(int(octet, 8) for octet in escape.split("\\")[1:]))
        case sign:
            return _SIGNS.get(sign, sign)


def _character(code: int) -> str:
    return chr(code) if code <= 0x10FFFF else "\ufffd"


def _text(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def _masked(text: str, decoded: _Decoded, spans: Callable[[str], Iterable[Span]], mark: str) -> str:
    shown, origins = decoded
    pieces: list[str] = []
    end = 0
    for start, stop in _joined(spans(shown)):
        pieces += [text[end : origins[start]], mark]
        end = origins[stop]
    return "".join([*pieces, text[end:]])


def _joined(spans: Iterable[Span]) -> Iterator[Span]:
    """Yield the spans in order, those that overlap as one."""
    last: Span | None = None
    for start, stop in sorted(spans):
        if last is not None and start < last[1]:
            last = last[0], max(stop, last[1])
            continue
        if last is not None:
            yield last
        last = start, stop
    if last is not None:
        yield last
