"""The words of IMAP commands (RFC 9051 section 9), sets of numbers, and what SEARCH and FETCH ask of a message.

Rule of this file: what is not understood is a `ValueError`, which the session answers with BAD.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from smtpcheck.sandbox.mail_store import Stored

Word = str | list["Word"]
"""An atom, a quoted string or a literal; or a list in parentheses."""
Test = Callable[[Stored], bool]

_TOKEN = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([()])|((?:\[[^\]]*\]|[^\s()"])+))')
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
LITERAL = re.compile(rb"\{(\d+)(\+?)\}$")


def words(parts: Sequence[bytes]) -> list[Word]:
    """Return the words of a command, given as text and literals by turns."""
    stack: list[list[Word]] = [[]]
    for index, part in enumerate(parts):
        text = part.decode("utf-8", "surrogateescape")
        if index % 2:
            stack[-1].append(text)
            continue
        for quoted, parenthesis, atom in _tokens(text):
            if parenthesis == "(":
                stack.append([])
            elif parenthesis == ")":
                inner = stack.pop()
                stack[-1].append(inner)
            else:
                stack[-1].append(atom or re.sub(r"\\(.)", r"\1", quoted))
    if len(stack) != 1:
        raise ValueError("parentheses")
    return stack[0]


def _tokens(text: str) -> Iterator[tuple[str, str, str]]:
    at, text = 0, text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError("syntax")
        at = match.end()
        yield match[1] or "", match[2] or "", match[3] or ""


def numbers(text: str, greatest: int) -> Iterator[range]:
    """Yield the ranges of a set such as `1,3:5,7:*`."""
    for part in text.split(","):
        first, colon, last = part.partition(":")
        ends = [greatest if end == "*" else int(end) for end in ((first, last) if colon else (first, first))]
        yield range(min(ends), max(ends) + 1)


def search_test(criteria: list[Word], *, gmail: bool = False) -> Test:
    """Return what SEARCH asks of a message (RFC 9051 6.4.4); all criteria must hold.

    Gmail looks for whole words of a subject, knows no headers but those of everybody, and `X-GM-RAW` besides.
    """
    rest = list(criteria)
    if len(rest) > 1 and str(rest[0]).upper() == "CHARSET":
        del rest[:2]
    tests: list[Test] = []
    while rest:
        tests.append(_next_test(rest, gmail=gmail))
    return lambda stored: all(test(stored) for test in tests)


def _next_test(rest: list[Word], *, gmail: bool) -> Test:
    word = rest.pop(0)
    if isinstance(word, list):
        return search_test(word, gmail=gmail)
    match word.upper():
        case "ALL":
            return lambda _: True
        case "DELETED":
            return lambda stored: "\\deleted" in stored.flags
        case "UNDELETED":
            return lambda stored: "\\deleted" not in stored.flags
        case "NOT":
            inner = _next_test(rest, gmail=gmail)
            return lambda stored: not inner(stored)
        case "OR":
            first, second = _next_test(rest, gmail=gmail), _next_test(rest, gmail=gmail)
            return lambda stored: first(stored) or second(stored)
        case "SUBJECT" | "FROM":
            return _holds(word.lower(), _text(rest), whole=gmail)
        case "HEADER":
            name, part = _text(rest).casefold(), _text(rest)
            return (lambda _: False) if gmail and name.startswith("x-") else _holds(name, part)
        case "X-GM-RAW":
            ids = {f"<{each}>" for each in re.findall(r"rfc822msgid:(\S+)", _text(rest))}
            return lambda stored: any(name.casefold() == "message-id" and value in ids for name, value in stored.header)
        case "SINCE":
            since = _date(_text(rest))
            return lambda stored: datetime.fromtimestamp(stored.arrived_at, UTC) >= since
        case "BEFORE":
            before = _date(_text(rest))
            return lambda stored: datetime.fromtimestamp(stored.arrived_at, UTC) < before
    raise ValueError(word)


def _text(rest: list[Word]) -> str:
    match rest[:1]:
        case [str(word)]:
            del rest[0]
            return word
    raise ValueError("syntax")


def _holds(name: str, part: str, *, whole: bool = False) -> Test:
    wanted = re.compile(rf"\b{re.escape(part)}\b" if whole else re.escape(part), re.IGNORECASE)
    return lambda stored: any(field.casefold() == name and wanted.search(value) for field, value in stored.header)


def _date(text: str) -> datetime:
    day, month, year = text.split("-")
    return datetime(int(year), _MONTHS.index(month.title()) + 1, int(day), tzinfo=UTC)


def fetched(items: Word, stored: Stored) -> bytes:
    """Return the items of a FETCH answer (RFC 9051 7.5.2), without the parentheses around them."""
    return b" ".join(_item(str(item), stored) for item in (items if isinstance(items, list) else [items]))


def _item(item: str, stored: Stored) -> bytes:
    upper = item.upper()
    if upper == "UID":
        return b"UID %d" % stored.uid
    if upper == "FLAGS":
        return f"FLAGS ({' '.join(flag.title() for flag in sorted(stored.flags))})".encode()
    if upper == "INTERNALDATE":
        moment = datetime.fromtimestamp(stored.arrived_at, UTC)
        return f'INTERNALDATE "{moment:%d}-{_MONTHS[moment.month - 1]}-{moment:%Y %H:%M:%S} +0000"'.encode()
    if upper == "RFC822.SIZE":
        return b"RFC822.SIZE %d" % len(stored.content)
    match = re.fullmatch(r"BODY(?:\.PEEK)?\[(|HEADER|HEADER\.FIELDS \(([^)]*)\))\](?:<(\d+)\.(\d+)>)?", upper)
    if match is None:
        raise ValueError(item)
    section, names = match[1], (match[2] or "").split()
    header, _, _ = stored.content.partition(b"\r\n\r\n")
    content = stored.content if not section else header + b"\r\n\r\n" if not names else _fields(header, names)
    begin = ""
    if match[3]:  # a part of it (RFC 9051 6.4.5)
        begin, content = f"<{match[3]}>", content[int(match[3]) : int(match[3]) + int(match[4])]
    return f"BODY[{section}]{begin} {{{len(content)}}}\r\n".encode() + content


def _fields(header: bytes, names: Sequence[str]) -> bytes:
    fields = re.split(rb"\r\n(?![ \t])", header)
    kept = [field for field in fields if field.partition(b":")[0].decode("ascii", "replace").upper() in names]
    return b"".join(field + b"\r\n" for field in kept) + b"\r\n"
