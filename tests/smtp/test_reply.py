"""Replies out of bytes: any bytes, cut in any way."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.model.report import Fault, FaultKind, Reply
from smtpcheck.smtp.reply import MAX_LINE, MAX_LINES, MAX_TEXT, ReplyParser, bounded


def parse(*pieces: bytes) -> list[Reply | Fault]:
    """Return all replies up to the first fault."""
    parser = ReplyParser()
    found: list[Reply | Fault] = []
    for piece in pieces:
        parser.feed(piece)
        while (reply := parser.next_reply()) is not None:
            found.append(reply)
            if isinstance(reply, Fault):
                return found
    return found


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"220 hello\r\n", Reply(220, "", ("hello",))),
        (b"250\r\n", Reply(250, "", ("",))),
        (b"250 bare line feed\n", Reply(250, "", ("bare line feed",))),
        (b"334 \r\n", Reply(334, "", ("",))),
        (b"535 5.7.3 Authentication unsuccessful\r\n", Reply(535, "5.7.3", ("Authentication unsuccessful",))),
        (b"535-5.7.8 One\r\n535 5.7.8 two\r\n", Reply(535, "5.7.8", ("One", "two"))),
        (b"535-One\r\n535 5.7.8 two\r\n", Reply(535, "5.7.8", ("One", "two"))),
        (b"250 2.2.2.2 is an address\r\n", Reply(250, "", ("2.2.2.2 is an address",))),
        (b"571 second digit out of the RFC\r\n", Reply(571, "", ("second digit out of the RFC",))),
        ("250 grüß\r\n".encode(), Reply(250, "", ("grüß",))),
        (b"250 \xff\x1b[31m\r\n", Reply(250, "", ("\\xff\\x1b[31m",))),
    ],
)
def test_a_reply_is_read(raw: bytes, expected: Reply) -> None:
    assert parse(raw) == [expected]
    assert parse(*(raw[i : i + 1] for i in range(len(raw)))) == [expected]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"HTTP/1.1 400 Bad\r\n", Fault(FaultKind.PROTOCOL, "HTTP/1.1 400 Bad")),
        (b"+OK POP3\r\n", Fault(FaultKind.PROTOCOL, "+OK POP3")),
        (b"199 no such class\r\n", Fault(FaultKind.PROTOCOL, "199 no such class")),
        (b"\r\n", Fault(FaultKind.PROTOCOL, "")),
        (b"250-a\r\n251 b\r\n", Fault(FaultKind.PROTOCOL, "251 b")),
        (b"\x16\x03" * 50, Fault(FaultKind.PROTOCOL, "\\x16\\x03" * 32)),
        (b"250 " + b"x" * MAX_LINE, Fault(FaultKind.TOO_LONG, f"a line of more than {MAX_LINE} octets")),
        (
            b"250-x\r\n" * (MAX_LINES + 1),
            Fault(FaultKind.TOO_LONG, "a reply of more than 100 lines or 65536 octets"),
        ),
        (
            (b"250-" + b"x" * 8000 + b"\r\n") * 9,
            Fault(FaultKind.TOO_LONG, "a reply of more than 100 lines or 65536 octets"),
        ),
    ],
)
def test_what_is_no_reply_is_a_fault(raw: bytes, expected: Fault) -> None:
    assert parse(raw) == [expected]
    assert parse(*(raw[i : i + 1] for i in range(len(raw)))) == [expected]


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (b"", None),
        (b"2", None),
        (b"250-", None),
        (b"SSH-2.0", Fault(FaultKind.PROTOCOL, "SSH-2.0")),
        (b"2222", Fault(FaultKind.PROTOCOL, "2222")),
    ],
)
def test_an_unfinished_line_is_judged_when_no_more_will_come(raw: bytes, fault: Fault | None) -> None:
    parser = ReplyParser()
    parser.feed(raw)
    assert parser.next_reply() is None
    assert parser.leftover_fault() == fault


streams = st.lists(
    st.one_of(
        st.binary(max_size=100),
        st.sampled_from([b"250 ok\r\n", b"250-a\r\n", b"250 \n", b"535 5.7.8 no", b"\r", b"\n", b"220-" + b"x" * 9000]),
    ),
    max_size=8,
)


@given(pieces=streams, cuts=st.lists(st.integers(0, 20000), max_size=8))
def test_the_cut_does_not_matter_and_nothing_raises(pieces: list[bytes], cuts: list[int]) -> None:
    raw = b"".join(pieces)
    edges = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    assert parse(*(raw[a:b] for a, b in itertools.pairwise(edges))) == parse(raw)


def test_what_a_server_says_again_is_shared_but_for_a_refusal() -> None:
    """A refusal may repeat a token, and so is not remembered."""
    [first], [again] = parse(b"250-mail\r\n250 STARTTLS\r\n"), parse(b"250-mail\r\n", b"250 STARTTLS\r\n")
    [whole] = parse(b"250-mail\r\n250 STARTTLS\r\n")
    assert first == again == whole
    assert first is whole
    refusals = [parse(b"535 5.7.3 no\r\n")[0] for _ in range(2)]
    assert refusals[0] == refusals[1]
    assert refusals[0] is not refusals[1]


@pytest.mark.parametrize("octet", [b"x", b"\x07", "\U000e0041".encode()])
def test_what_is_kept_of_a_reply_is_bounded(octet: bytes) -> None:
    """Whatever escaping makes of it; a reply that is no longer than the bound is kept whole."""
    line = octet * (2000 // len(octet))
    [whole] = parse(b"".join(b"535-" + line + b"\r\n" for _ in range(30)) + b"535 the end\r\n")
    assert isinstance(whole, Reply)
    kept = bounded(whole)
    assert (kept.code, len(kept.lines), sum(map(len, kept.lines))) == (535, 31, MAX_TEXT)
    assert kept.lines[0] == whole.lines[0]
    short = Reply(250, "2.0.0", ("x" * MAX_TEXT,))
    assert bounded(short) is short
