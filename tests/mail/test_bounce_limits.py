"""Bounces as bad input: nothing raises, and time and memory are bounded."""

import sys
from collections.abc import Callable
from functools import partial
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.mail.bounce import Action, read_bounce
from tests.mail.test_bounce import SAMPLES, recipient, report


@given(st.one_of(st.binary(max_size=3000), st.text(max_size=3000)))
def test_nothing_raises(message: bytes | str) -> None:
    bounce = read_bounce(message)
    assert bounce is None or bounce.action in set(Action)


_PIECES = st.sampled_from([
    b"From: MAILER-DAEMON\n", b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n",
    b"Content-Type: message/delivery-status\n", b"Content-Type: message/rfc822\n", b"--b\n", b"--b--\n", b"\n", b"\n\n",
    b"Final-Recipient: rfc822;a@b\n",
    b"Action: failed\n", b"Action: delayed\n", b"Status: 5.1.1\n", b"\xff\xfe\n",
    b"Diagnostic-Code: smtp; 550 5.1.1 no -> 550 5.1.1 no\n", b"Content-Transfer-Encoding: base64\n",
    b"<a@b>: 550 no\n",
    b"Content-Type: text/plain; charset=utf-7\n", b"+AAA-\n", b"X-Failed-Recipients: a@b\n",
    b"550-5.7.1 x\n550 5.7.1 y\n",
])  # fmt: skip


@given(st.lists(_PIECES, max_size=40))
def test_pieces_of_bounces_in_any_order_do_not_raise(pieces: list[bytes]) -> None:
    bounce = read_bounce(b"".join(pieces))
    assert bounce is None or bounce.action in set(Action)


@given(st.binary(max_size=200), st.integers(0, 4000))
def test_a_damaged_bounce_does_not_raise(damage: bytes, at: int) -> None:
    octets = (SAMPLES / "rhost-google-03.eml").read_bytes()
    bounce = read_bounce(octets[:at] + damage + octets[at:])
    assert bounce is None or bounce.action in set(Action)


def nested(depth: int) -> bytes:
    head = b"From: MAILER-DAEMON\nContent-Type: multipart/report; report-type=delivery-status; boundary=b0\n\n"
    parts = (b"--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n" % (level, level + 1) for level in range(depth))
    return head + b"".join(parts)


def steps(function: Callable[[], object]) -> int:
    """Return how many lines and calls of Python a function takes."""
    count = 0

    def step(_frame: FrameType, _event: str, _argument: object) -> object:
        nonlocal count
        count += 1
        return step

    before = sys.gettrace()
    sys.settrace(step)  # type: ignore[arg-type]
    try:
        function()
    finally:
        sys.settrace(before)
    return count


HEAD = b"From: MAILER-DAEMON\nSubject: Undelivered\n\n"


@pytest.mark.parametrize(
    "make",
    [
        nested,
        lambda size: HEAD + b"--b\n" * size,
        lambda size: HEAD + b"a" * 60 * size,
        lambda size: HEAD + b"<a@example.net>: \n" * size,
        lambda size: HEAD + b"550-5.1.1 x\n" * size,
        lambda size: b"X: y\n" * size,
        lambda size: b" folded\n" * size,
        lambda size: report(*(recipient(f"r{number}", "failed", "5.1.1") for number in range(size))),
    ],
)
def test_the_time_grows_with_the_size_and_no_faster(make: Callable[[int], bytes]) -> None:
    small, large = (steps(partial(read_bounce, make(size))) for size in (500, 2000))
    assert large <= 5 * small + 500


def test_a_thousand_nested_parts_and_fifty_megabytes_are_bounded() -> None:
    status = report(recipient("a", "failed", "5.1.1"))
    assert read_bounce(nested(1000)) is not None
    bounce = read_bounce(status + b"0123456789abcde\n" * (50 * 1024 * 1024 // 16))
    assert bounce is not None
    assert bounce.enhanced == "5.1.1"
    assert len(bounce.text) < 200_000
