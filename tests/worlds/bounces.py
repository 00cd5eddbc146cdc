"""Bounces of a message of ours, as the sandbox's servers write them, and what others write that looks like one."""

from smtpcheck.sandbox.bounces import Refusal, Style, bounce
from tests.worlds.finders import PROBE, SENDER, letter

UNKNOWN = "550 5.1.1 User unknown"
STYLES = tuple(Style)


def returned(
    correlation_id: str, style: Style = Style.POSTFIX, reply: str = UNKNOWN, *, delayed: bool = False, at: float = 0.0
) -> bytes:
    """Return the bounce of the message with this correlation id."""
    refusal = Refusal(reply, style, "mx.example.net", delayed=delayed)
    return bounce(refusal, letter(correlation_id), SENDER, PROBE, at)


def of_another(content: bytes, correlation_id: str) -> bytes:
    """Return the bounce as it is where somebody forwards our message, and that is returned: it quotes all of ours."""
    own = f"\r\nMessage-ID: <{correlation_id}@".encode()
    head, found, rest = content.rpartition(own)
    assert found
    forwarded = rest.replace(b"\r\nX-Smtpcheck-Id: ", b"\r\nX-Quoted: ", 1)
    return head + b"\r\nMessage-ID: <forward-1@" + forwarded
