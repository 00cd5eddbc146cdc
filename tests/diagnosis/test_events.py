"""A log of many events gives each distinct failure once; what is one event stays one."""

import pytest

from smtpcheck.diagnosis.catalogue import load
from smtpcheck.diagnosis.events import Failure, failures_of
from smtpcheck.model.cause import Cause

CATALOGUE = load()
SENT = "postfix/smtp[9]: 4A1: to=<c@example.org>, relay=mx[192.0.2.1]:25, dsn=2.0.0, status=sent (250 2.0.0 Ok)"
UNKNOWN_USER = (
    "postfix/smtp[{0}]: 4A{0}: to=<u{0}@example.org>, relay=mx.example.org[192.0.2.1]:25, dsn=5.1.1, status=bounced"
    " (host mx.example.org[192.0.2.1] said: 550 5.1.1 <u{0}@example.org>: Recipient address rejected: User unknown"
    " (in reply to RCPT TO command))"
)
SWITCHED_OFF = (
    "postfix/smtp[7]: 4A7: to=<a@example.org>, relay=smtp.office365.com[192.0.2.2]:587, dsn=5.7.139, status=bounced"
    " (SASL authentication failed; server smtp.office365.com[192.0.2.2] said: 535 5.7.139 Authentication unsuccessful,"
    " SmtpClientAuthentication is disabled for the Tenant.)"
)
NOISE = (
    "systemd[1]: x.service: Start operation timed out.",
    "sshd[2]: Failed password for root from 192.0.2.9 port 22",
)


def _log(*events: str) -> str:
    return "\n".join(f"Nov 27 10:00:{number:02} mx {event}" for number, event in enumerate(events))


def _shown(failures: tuple[Failure, ...]) -> list[tuple[str, tuple[int, ...], int]]:
    return [(failure.findings[0].cause.value, failure.lines, failure.count) for failure in failures]


def test_each_distinct_failure_comes_once_with_its_lines_and_how_often() -> None:
    log = _log(SWITCHED_OFF, UNKNOWN_USER.format(11), SENT, *NOISE, UNKNOWN_USER.format(12))
    assert _shown(failures_of(log, CATALOGUE)) == [
        ("smtp_auth_disabled_tenant", (1,), 1),
        ("recipient_rejected", (2, 6), 2),
    ]


def test_events_are_not_read_as_one() -> None:
    """The mail server's name in one event and a timeout in another are no timeout of the mail server."""
    log = _log("app: smtp.example.org:587 is the mail server", "nfs: server not responding, timed out")
    assert _shown(failures_of(log, CATALOGUE)) == [("unknown", (), 0)]


def test_the_lines_that_are_named_are_bounded() -> None:
    failure = failures_of(_log(*(UNKNOWN_USER.format(number) for number in range(10, 60))), CATALOGUE)[0]
    assert (len(failure.lines), failure.count) == (20, 50)


TRACE = """\
2026-01-02 10:00:00 ERROR mailer
Traceback (most recent call last):
  File x
smtplib.SMTPAuthenticationError: (535, b'5.7.139 SmtpClientAuthentication is disabled for the Tenant.')
"""
TRANSCRIPT = """\
10:00:01 C: EHLO a
10:00:01 S: 250-b
10:00:01 S: 250-AUTH LOGIN
10:00:01 S: 250 SIZE
10:00:02 C: MAIL FROM:<a@example.org>
10:00:02 S: 530 5.7.0 no
"""


@pytest.mark.parametrize(
    ("text", "cause"),
    [(TRACE, "smtp_auth_disabled_tenant"), (TRANSCRIPT, "auth_not_attempted")],
    ids=["a stack trace", "a transcript with times"],
)
def test_one_event_stays_one(text: str, cause: str) -> None:
    assert _shown(failures_of(text, CATALOGUE)) == [(cause, (1,), 1)]


STATUS = "app: POST https://graph.microsoft.com/v1.0/users/a@example.org/sendMail failed: , error=401."
DETAILS = 'app: {"error": {"code": "NoPermissionsInAccessToken", "message": "The token contains no permissions"}}'


def test_a_status_yields_to_the_details_right_after_it() -> None:
    assert _shown(failures_of(_log(STATUS, "app: Response details", DETAILS), CATALOGUE)) == [
        ("graph_permission_missing", (3,), 1)
    ]


def test_a_status_far_from_the_next_failure_is_one_of_its_own() -> None:
    log = _log(STATUS, *NOISE, DETAILS, STATUS)
    assert [(failure.lines, failure.count) for failure in failures_of(log, CATALOGUE)] == [((1, 5), 2), ((4,), 1)]


def test_a_bounce_that_is_quoted_in_a_reply_is_read_like_the_bounce() -> None:
    bounce = (
        "This is the mail system at host mx.example.org.\n\nI'm sorry to have to inform you that your message could not"
        "\nbe delivered to one or more recipients.\n\n<a@example.com>: Host or domain name not found. Name service"
        " error\n    for name=example.com type=A: Host not found\n"
    )
    quoted = "".join(f"> {line}\n" for line in bounce.splitlines())
    assert _shown(failures_of(quoted, CATALOGUE)) == _shown(failures_of(bounce, CATALOGUE))


def test_the_commands_of_a_transcript_are_no_quotation() -> None:
    transcript = (
        "> EHLO client\n< 250 AUTH LOGIN\n> AUTH XOAUTH2 ***\n< 535 5.7.8 Authentication failed: token expired\n"
    )
    assert failures_of(transcript, CATALOGUE)[0].findings[0].cause is not Cause.UNKNOWN
