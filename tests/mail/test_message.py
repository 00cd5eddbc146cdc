"""The message of depth `send`."""

from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default

import pytest

from smtpcheck.mail.message import probe_message

NOW = datetime(2026, 11, 23, 22, 0, tzinfo=UTC)


def compose(sender: str = "billing@example.org", recipient: str = "sink@example.org") -> bytes:
    return probe_message(
        sender=sender, recipient=recipient, now=NOW, unique="abc123", check="billing", agent="smtpcheck/1.0"
    )


def test_it_says_what_it_is_and_asks_for_silence() -> None:
    headers = dict(message_from_bytes(compose(), policy=default).items())
    assert headers == {
        "From": "billing@example.org",
        "To": "sink@example.org",
        "Subject": "smtpcheck: probe of billing",
        "Date": "Mon, 23 Nov 2026 22:00:00 +0000",
        "Message-ID": "<abc123@example.org>",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
        "Importance": "low",
        "X-Priority": "5",
        "X-Mailer": "smtpcheck/1.0",
        "X-Smtpcheck-Id": "abc123",
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": "7bit",
        "MIME-Version": "1.0",
    }


def test_its_lines_end_with_crlf_and_are_short_and_ascii() -> None:
    lines = compose().split(b"\r\n")
    assert not any(b"\n" in line or b"\r" in line or len(line) > 78 or not line.isascii() for line in lines)


def test_an_address_beyond_ascii_is_utf_8() -> None:
    assert "To: grüße@example.org\r\n".encode() in compose(recipient="grüße@example.org")


@pytest.mark.parametrize("sender", ["a@b\r\nBcc: c@d", "a@b\nx"])
def test_a_line_end_in_an_address_is_refused(sender: str) -> None:
    with pytest.raises(ValueError):
        compose(sender=sender)
