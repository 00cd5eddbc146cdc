"""Refusals are found in what the usual programs write, with their step; a transcript is read as steps."""

import pytest

from smtpcheck.diagnosis.quoted import Refusal, course_of, flow_of, refusal_of, speaks_of_token

QUOTED = [
    (
        "Postfix",
        "status=bounced (host mx[192.0.2.1] said: 550 5.1.1 <a@b.example>: unknown (in reply to RCPT TO command))",
        Refusal("550 5.1.1 <a@b.example>: unknown", "rcpt"),
    ),
    (
        "Postfix, end of data",
        "(host mx[192.0.2.1] said: 554 5.7.1 spam (in reply to end of DATA command))",
        Refusal("554 5.7.1 spam", "data"),
    ),
    (
        "Exim",
        "SMTP error from remote mail server after pipelined MAIL FROM:<a@b.example>: 550 5.7.60 not allowed",
        Refusal("550 5.7.60 not allowed", "mail"),
    ),
    ("sendmail", "dsn=5.1.1, stat=User unknown", Refusal("5.1.1 User unknown", "")),
    ("sendmail's dialogue", ">>> RCPT To:<a@b.example>\n<<< 550 5.1.1 no", Refusal("550 5.1.1 no", "rcpt")),
    ("Java", "javax.mail.AuthenticationFailedException: 535 5.7.3 no", Refusal("535 5.7.3 no", "auth")),
    (
        ".NET",
        "The server response was: 5.7.57 Client not authenticated",
        Refusal("5.7.57 Client not authenticated", ""),
    ),
    ("MailKit", "MailKit.Security.AuthenticationException: 535: 5.7.8 no", Refusal("535 5.7.8 no", "auth")),
    (
        "Node",
        "  response: '550 5.1.1 unknown',\n  responseCode: 550,\n  command: 'RCPT TO'",
        Refusal("550 5.1.1 unknown", "rcpt"),
    ),
    ("Python", "smtplib.SMTPSenderRefused: (530, b'5.7.57 no", Refusal("530 5.7.57 no", "mail")),
    ("Swift Mailer", 'but got code "552", with message "552-5.2.3 too large', Refusal("552 5.2.3 too large", "")),
    ("PHPMailer", "SMTP ERROR: RCPT TO command failed: 550 5.7.1 no", Refusal("550 5.7.1 no", "rcpt")),
    ("PHPMailer's detail", "Detail: no SMTP code: 554 Additional SMTP info: 5.7.1", Refusal("554 5.7.1 no", "")),
    ("Go", "gomail: could not send email 1: 550 5.7.60 no", Refusal("550 5.7.60 no", "")),
    ("Rust", "permanent error (535): 5.7.8 no", Refusal("535 5.7.8 no", "")),
    ("PowerShell", "Send-MailMessage : The server response was: 535 5.7.139 no", Refusal("535 5.7.139 no", "")),
    ("prose", "nothing is refused in this sentence, for 535 reasons", None),
]


@pytest.mark.parametrize(("text", "refusal"), [row[1:] for row in QUOTED], ids=[row[0] for row in QUOTED])
def test_a_quoted_refusal_is_unwrapped(text: str, refusal: Refusal | None) -> None:
    assert refusal_of(text) == refusal


PLAIN = "EHLO a\n250-b\n250-AUTH PLAIN\n250 SIZE\n"
MARKED = [
    ("bare", "{}", "{}"),
    ("letters", "C: {}", "S: {}"),
    ("PHPMailer", "2026-01-01 10:00:00 CLIENT -> SERVER: {}", "2026-01-01 10:00:00 SERVER -> CLIENT: {}"),
    ("arrows", "--> {}", "<-- {}"),
    ("swaks", " -> {}", "<**  {}"),
    ("smtplib", "send: '{}\\r\\n'", "reply: b'{}\\r\\n'"),
]


@pytest.mark.parametrize(("client", "server"), [row[1:] for row in MARKED], ids=[row[0] for row in MARKED])
def test_a_transcript_shows_what_was_sent_and_the_last_refusal(client: str, server: str) -> None:
    lines = [client.format("EHLO a"), server.format("250-AUTH PLAIN"), client.format("MAIL FROM:<a@b.example>")]
    course = course_of("\n".join([*lines, server.format("530 5.7.0 first"), client.format("QUIT")]))
    assert (course.sent, course.skips_login) == (("ehlo", "mail from", "quit"), True)
    assert course.refusal is not None
    assert course.refusal.phase == "mail"
    assert course.refusal.reply.startswith("530 5.7.0 first")


def test_a_refusal_of_a_step_that_succeeded_later_is_overtaken() -> None:
    course = course_of(f"{PLAIN}AUTH XOAUTH2 x\n535 5.7.3 no\nAUTH PLAIN x\n235 ok\nRCPT TO:<a@b>\n550 5.1.1 unknown")
    assert course.refusal == Refusal("550 5.1.1 unknown", "rcpt")
    assert course.overtaken == {5}
    assert not course.skips_login


def test_a_reply_of_several_lines_is_one() -> None:
    course = course_of(f"{PLAIN}AUTH PLAIN x\n535-5.7.8 one\n535 5.7.8 two")
    assert course.refusal == Refusal("535 5.7.8 one 5.7.8 two", "auth")


@pytest.mark.parametrize("text", ["", "no dialogue", "535 5.7.3 no", "250-AUTH LOGIN\n250 SIZE"])
def test_a_text_without_a_command_is_no_transcript(text: str) -> None:
    assert course_of(text).sent == ()


@pytest.mark.parametrize(
    ("text", "flow"),
    [
        ("AUTH LOGIN\n334 VXNlcm5hbWU6", "password"),
        ("250-AUTH LOGIN PLAIN XOAUTH2", ""),
        ("250 AUTH PLAIN OAUTHBEARER", ""),
        ("grant_type=refresh_token", "refresh_token"),
        ("app.acquire_token_for_client(scopes)", "client_credentials"),
        ("google.auth.exceptions.RefreshError", "refresh_token"),
        ("535 5.7.3 no", ""),
    ],
)
def test_the_flow_is_read_from_what_was_called_or_sent(text: str, flow: str) -> None:
    assert flow_of(text) == flow


def test_what_speaks_of_a_token() -> None:
    assert [speaks_of_token(text) for text in ("AUTH XOAUTH2", "Bearer x", "535 5.7.8 no")] == [True, True, False]
