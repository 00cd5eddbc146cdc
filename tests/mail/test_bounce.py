"""Bounces: real ones (`tests/bounces/`), the forms of the usual servers, what is none, and bad input."""

import base64
from email import charset
from email.message import EmailMessage
from pathlib import Path

import pytest

from smtpcheck.mail.bounce import Action, read_bounce

SAMPLES = Path(__file__).parent.parent / "bounces"

# ---------------------------------------------------------------------------------------------------------------------
# Real bounces


@pytest.mark.parametrize(
    ("name", "expected", "recipient", "diagnostic"),
    [
        ("lhost-exchange2007-02", ("failed", 550, "5.2.2"), "kijitora@example.edu", "mailbox full"),
        ("lhost-exchange2007-04", ("failed", 550, "5.7.1"), "neko-nyaan@example.jp", "RESOLVER.RST.AuthRequired"),
        ("lhost-exchange2007-05", ("failed", 550, "4.4.7"), "gwang1@student.mlcsyd.nsw.edu.au", "QUEUE.Expired"),
        ("lhost-gmail-15", ("failed", None, ""), "mikeneko@libsisimai.org", "did not accept our requests to connect"),
        ("lhost-gmail-17", ("delayed", None, ""), "mikeneko@libsisimai.org", "did not accept our requests to connect"),
        (
            *("lhost-googleworkspace-01", ("failed", None, "")),
            *("neko-nyaan-cat-meeting@google-groups.example.com", "does not advertise AUTH"),
        ),
        (
            *("lhost-office365-04", ("failed", 550, "5.1.351")),
            *("otsu-sakaba-hunter-neko-nyaaaaaaan@ezweb.ne.jp", "User unknown"),
        ),
        ("lhost-office365-08", ("failed", 550, "5.4.316"), "nyaan@neko.example.jp", "connection refused"),
        ("lhost-office365-13", ("failed", 550, "5.1.10"), "kijitora-nyaan@neko.kyoto.example.jp", "RecipientNotFound"),
        ("lhost-outlook-06", ("delayed", None, "4.4.7"), "kijitora@example.com", ""),
        ("rhost-google-01", ("failed", 550, "5.2.1"), "shironeko@example.ne.jp", "is disabled"),
        ("rhost-google-03", ("failed", 550, "5.7.26"), "kijitora@google.example.com", "hard fail policy (-all)"),
        ("rhost-microsoft-04", ("failed", 550, "5.7.509"), "pseudo-local-part-of-microsoft@outlook.com", "DMARC"),
    ],
)
def test_real_bounces(name: str, expected: tuple[str, int | None, str], recipient: str, diagnostic: str) -> None:
    octets = (SAMPLES / f"{name}.eml").read_bytes().replace(b"\r\n", b"\n")
    for message in (octets, octets.decode("utf-8", "replace"), octets.replace(b"\n", b"\r\n")):
        bounce = read_bounce(message)
        assert bounce is not None
        assert (bounce.action, bounce.code, bounce.enhanced) == expected
        assert bounce.recipient == recipient
        assert diagnostic in bounce.diagnostic


def test_every_sample_is_in_the_table() -> None:
    (table,) = (mark for mark in test_real_bounces.pytestmark if mark.name == "parametrize")  # type: ignore[attr-defined]
    assert {path.stem for path in SAMPLES.glob("*.eml")} == {row[0] for row in table.args[1]}


@pytest.mark.parametrize(
    ("name", "message_id"),
    [
        ("lhost-exchange2007-05", "1472759554.gm4daljtga4dmljrgy2donjsha@newsletter.supersurprises-au.com"),
        ("lhost-gmail-15", "CAByYQsHq=c+uz-ubnN2pG3n256yS7P18KDbG6oStGF5bChUhyw@mail.google.example.com"),
        ("lhost-googleworkspace-01", "CAByYQsF5qdTf_h-1AAVPW0RgR1YN+LE=+0Uv9LpQ4aA_myPtCw@mail.gmail.com"),
        ("lhost-office365-08", "SLXP216MB038146098DE3C3F3086AE5C9A97C0@SLXP216MB0381.KORP216.PROD.OUTLOOK.COM"),
        ("rhost-google-01", "201305110000000000000.r4B003v000000@mail4.example.co.jp"),
    ],
)
def test_the_original_is_named(name: str, message_id: str) -> None:
    bounce = read_bounce((SAMPLES / f"{name}.eml").read_bytes())
    assert bounce is not None
    assert message_id in bounce.message_ids


def test_who_refused_and_who_reports() -> None:
    bounce = read_bounce((SAMPLES / "rhost-google-03.eml").read_bytes())
    assert bounce is not None
    assert (bounce.remote_mta, bounce.reporting_mta) == ("gmail-smtp-in.l.google.com", "mail4.example.com")
    assert bounce.command == "DATA"
    assert dict(bounce.original)["Subject"] == "Nyaan"


# ---------------------------------------------------------------------------------------------------------------------
# The forms of servers, each without the parts for programs


def notice(sender: str, subject: str, text: str, *more: str) -> bytes:
    head = (f"From: {sender}", "To: probe@example.org", f"Subject: {subject}", *more)
    return "\n".join((*head, "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "", text)).encode()


POSTFIX = """\
This is the mail system at host relay.example.org.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients. It's attached below.

                   The mail system

<nobody@example.net>: host mx.example.net[192.0.2.7] said: 550 5.1.1
    <nobody@example.net>: Recipient address rejected: User unknown (in reply to
    RCPT TO command)
"""
POSTFIX_TIMEOUT = """\
This is the mail system at host relay.example.org.

<nobody@example.net>: connect to mx.example.net[192.0.2.7]:25: Connection timed
    out
"""
POSTFIX_DELAY = """\
This is the mail system at host relay.example.org.

####################################################################
# THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #
####################################################################

Your message could not be delivered for more than 4 hour(s).
It will be retried until it is 5 day(s) old.

<nobody@example.net>: connect to mx.example.net[192.0.2.7]:25: Connection refused
"""
EXIM = """\
This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  nobody@example.net
    host mx.example.net [192.0.2.7]
    SMTP error from remote mail server after RCPT TO:<nobody@example.net>:
    550-Verification failed for <probe@example.org>
    550 Sender verify failed
"""
EXIM_LOCAL = """\
This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  nobody@example.net
    Unrouteable address

------ This is a copy of the message, including all the headers. ------

Message-ID: <original@example.org>
"""
SENDMAIL = """\
The original message was received at Fri, 27 Nov 2026 10:00:00 GMT
from localhost [127.0.0.1]

   ----- The following addresses had permanent fatal errors -----
<nobody@example.net>
    (reason: 553 5.3.0 <nobody@example.net>... No such user here)

   ----- Transcript of session follows -----
... while talking to mx.example.net.:
>>> RCPT To:<nobody@example.net>
<<< 553 5.3.0 <nobody@example.net>... No such user here
550 5.1.1 <nobody@example.net>... User unknown
"""
QMAIL = """\
Hi. This is the qmail-send program at relay.example.org.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<nobody@example.net>:
192.0.2.7 does not like recipient.
Remote host said: 550 sorry, no mailbox here by that name (#5.1.1)
Giving up on 192.0.2.7.

--- Below this line is a copy of the message.

Message-ID: <original@example.org>
"""
OPENSMTPD = """\
Hi!

This is the MAILER-DAEMON, please DO NOT REPLY to this email.

An error has occurred while attempting to deliver a message for
the following list of recipients:

nobody@example.net: 550 5.7.1 Message refused, see our policy

Below is a copy of the original message:

Message-ID: <original@example.org>
"""
COURIER = """\
This is a delivery status notification from relay.example.org,
running the Courier mail server, version 1.0.

UNDELIVERABLE MAIL

Your message to the following recipients cannot be delivered:

<nobody@example.net>:
     mx.example.net [192.0.2.7]:
>>> RCPT TO:<nobody@example.net>
<<< 550 User unknown.
"""
EXCHANGE = """\
Delivery has failed to these recipients or groups:

nobody@example.net<mailto:nobody@example.net>
Your message wasn't delivered because the recipient's email provider rejected it.

Diagnostic information for administrators:

Generating server: AM0PR01MB0001.eurprd01.prod.exchangelabs.com

nobody@example.net
mx.example.net
Remote server returned '550 5.7.350 Remote server returned message detected as spam -> 554 5.7.1 Blocked by
 the recipient's filter'

Original message headers:

Message-ID: <original@example.org>
"""
EXCHANGE_GERMAN = """\
Fehler bei der Nachrichtenzustellung an folgende Empfänger oder Gruppen:

nobody@example.net

Diagnoseinformationen für Administratoren:

Generierender Server: AM0PR01MB0001.eurprd01.prod.exchangelabs.com

nobody@example.net
Remote Server hat '550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup' zurückgegeben
"""
GMAIL = """\

** Address not found **

Your message wasn't delivered to nobody@example.net because the address couldn't be found.

The response was:

550 5.1.1 The email account that you tried to reach does not exist. For more information, go to
https://support.google.com/mail/?p=NoSuchUser a640c23a62f3a - gsmtp
"""
GMAIL_OLD = """\
Delivery to the following recipient failed permanently:

     nobody@example.net

Technical details of permanent failure:
Google tried to deliver your message, but it was rejected by the server for the recipient domain example.net by
mx.example.net. [192.0.2.7].

The error that the other server returned was:
550 550 5.7.1 Service unavailable; client host blocked

----- Original message -----

Message-ID: <original@example.org>
"""
DAEMON = "Mail Delivery System <MAILER-DAEMON@relay.example.org>"


@pytest.mark.parametrize(
    ("text", "expected", "diagnostic", "refused"),
    [
        (POSTFIX, ("failed", 550, "5.1.1"), "User unknown", ("RCPT", "mx.example.net")),
        (POSTFIX_TIMEOUT, ("failed", None, ""), "Connection timed out", ("", "mx.example.net")),
        (POSTFIX_DELAY, ("delayed", None, ""), "Connection refused", ("", "mx.example.net")),
        (EXIM, ("failed", 550, ""), "550 Verification failed for <probe@example.org> Se", ("RCPT", "mx.example.net")),
        (EXIM_LOCAL, ("failed", None, ""), "Unrouteable address", ("", "")),
        (SENDMAIL, ("failed", 553, "5.3.0"), "No such user here", ("RCPT", "mx.example.net")),
        (QMAIL, ("failed", 550, "5.1.1"), "no mailbox here by that name", ("", "")),
        (OPENSMTPD, ("failed", 550, "5.7.1"), "see our policy", ("", "")),
        (COURIER, ("failed", 550, ""), "550 User unknown.", ("RCPT", "")),
        (EXCHANGE, ("failed", 550, "5.7.350"), "detected as spam", ("", "")),
        (EXCHANGE_GERMAN, ("failed", 550, "5.1.10"), "Recipient not found", ("", "")),
        (GMAIL, ("failed", 550, "5.1.1"), "does not exist", ("", "")),
        (GMAIL_OLD, ("failed", 550, "5.7.1"), "550 5.7.1 Service unavailable; client ho", ("", "mx.example.net")),
    ],
)
def test_the_text_says_it_where_no_part_does(
    text: str, expected: tuple[str, int | None, str], diagnostic: str, refused: tuple[str, str]
) -> None:
    for message in (notice(DAEMON, "Undelivered Mail Returned to Sender", text), text):
        bounce = read_bounce(message)
        assert bounce is not None
        assert (bounce.action, bounce.code, bounce.enhanced) == expected
        assert diagnostic in bounce.diagnostic
        assert bounce.recipient == "nobody@example.net"
        assert (bounce.command, bounce.remote_mta) == refused
        if "original@example.org" in text:
            assert bounce.message_ids == ("original@example.org",)


def test_a_wrapped_reply_is_read_beside_the_one_around_it() -> None:
    bounce = read_bounce(EXCHANGE)
    assert bounce is not None
    assert bounce.wrapped == "554 5.7.1 Blocked by the recipient's filter"
    assert bounce.diagnostic.startswith("550 5.7.350 Remote server returned")


# ---------------------------------------------------------------------------------------------------------------------
# The parts for programs


def report(*recipients: str, text: str = "A notice.", kind: str = "text/plain; charset=us-ascii") -> bytes:
    blocks = "\n\n".join(("Reporting-MTA: dns; relay.example.org", *recipients))
    return f"""\
From: {DAEMON}
Content-Type: multipart/report; report-type=delivery-status; boundary="=b="

--=b=
Content-Type: {kind}

{text}
--=b=
Content-Type: message/delivery-status

{blocks}

--=b=
Content-Type: text/rfc822-headers

Message-ID: <original@example.org>
X-Test: kept

--=b=--
""".encode()


def recipient(name: str, action: str, status: str, diagnostic: str = "") -> str:
    lines = [f"Final-Recipient: rfc822;{name}@example.net", f"Action: {action}", f"Status: {status}"]
    return "\n".join([*lines, f"Diagnostic-Code: {diagnostic}"] if diagnostic else lines)


def test_of_several_recipients_the_worst_counts() -> None:
    bounce = read_bounce(
        report(
            recipient("a", "relayed", "2.0.0"),
            recipient("b", "delayed", "4.4.1"),
            recipient("c", "failed", "5.2.2", "smtp; 552 5.2.2 Over quota"),
            recipient("d", "expanded", "2.0.0"),
        )
    )
    assert bounce is not None
    assert (bounce.recipient, bounce.action, bounce.enhanced) == ("c@example.net", "failed", "5.2.2")
    assert bounce.reporting_mta == "relay.example.org"
    assert bounce.original == (("Message-ID", "<original@example.org>"), ("X-Test", "kept"))


@pytest.mark.parametrize("action", list(Action))
def test_the_field_says_what_became_of_it_whatever_the_words_are(action: Action) -> None:
    bounce = read_bounce(report(recipient("a", f"{action.upper()} (noted)", "2.0.0"), text="It failed, or is delayed."))
    assert bounce is not None
    assert bounce.action is action


@pytest.mark.parametrize(
    ("status", "diagnostic", "enhanced"),
    [
        ("5.0.0", "smtp; 550 5.1.1 User unknown", "5.1.1"),
        ("5.0.0 (undefined status)", "smtp; 550 5.1.1 User unknown", "5.1.1"),
        ("5.7.1", "smtp; 550 5.1.1 User unknown", "5.7.1"),
        ("5.0.0", "smtp; 550 User unknown", "5.0.0"),
        ("", 'x-postfix; unknown user: "a"', ""),
    ],
)
def test_a_generic_status_yields_to_the_reply(status: str, diagnostic: str, enhanced: str) -> None:
    bounce = read_bounce(report(recipient("a", "failed", status, diagnostic)))
    assert bounce is not None
    assert bounce.enhanced == enhanced


def test_lines_of_one_reply_are_one_text() -> None:
    lines = (
        "smtp; 550-5.7.26 This mail is",
        "unauthenticated. 550-5.7.26 DKIM = did not",
        "pass 550 5.7.26 see the page",
    )
    said = "\n    ".join(lines)
    bounce = read_bounce(report(recipient("a", "failed", "5.7.26", said)))
    assert bounce is not None
    assert bounce.diagnostic == "550 5.7.26 This mail is unauthenticated. DKIM = did not pass see the page"


def test_what_the_original_is_made_of_is_not_read() -> None:
    original = report(recipient("inner", "failed", "5.2.2"))
    head = f"From: {DAEMON}\nSubject: Undelivered\nContent-Type: multipart/mixed; boundary=out\n\n--out\n\n{POSTFIX}\n"
    bounce = read_bounce(head.encode() + b"--out\nContent-Type: message/rfc822\n\n" + original + b"\n--out--\n")
    assert bounce is not None
    assert (bounce.recipient, bounce.enhanced) == ("nobody@example.net", "5.1.1")
    assert bounce.original[0] == ("From", DAEMON)


def test_an_empty_report_leaves_it_to_the_text() -> None:
    empty = report(text=POSTFIX).replace(b"Reporting-MTA: dns; relay.example.org\n", b"")
    bounce = read_bounce(empty)
    assert bounce is not None
    assert (bounce.code, bounce.enhanced, bounce.recipient) == (550, "5.1.1", "nobody@example.net")


def test_fields_alone_are_a_bounce() -> None:
    bounce = read_bounce(recipient("a", "failed", "5.1.1", "smtp; 550 5.1.1 User unknown"))
    assert bounce is not None
    assert (bounce.code, bounce.recipient) == (550, "a@example.net")


@pytest.mark.parametrize(
    "name", ["iso-2022-jp", "utf-16", "koi8-r", "windows-1252", "unicode-1-1-utf-7", "x-nobody", "punycode"]
)
def test_charsets(name: str) -> None:
    known = {"unicode-1-1-utf-7": "utf-7", "x-nobody": "utf-8", "punycode": "utf-8"}.get(name, name)
    letters = {"iso-2022-jp": "届かない", "koi8-r": "нет такого", "windows-1252": "größer"}.get(name, "é")
    body = f"{letters}\n{POSTFIX}".encode(known)
    head = f"From: {DAEMON}\nSubject: Undelivered Mail\nContent-Type: text/plain; charset={name}\n"
    encoded = base64.encodebytes(body)
    bounce = read_bounce(head.encode() + b"Content-Transfer-Encoding: base64\n\n" + encoded)
    assert bounce is not None
    assert bounce.code == 550
    assert letters in bounce.text


def test_a_page_without_plain_text_is_read() -> None:
    page = f"<html><head><style>550 5.0.0 no</style></head><body><p>{POSTFIX.replace('<', '&lt;')}</p></body></html>"
    bounce = read_bounce(notice(DAEMON, "Undelivered", page).replace(b"text/plain", b"text/html"))
    assert bounce is not None
    assert bounce.enhanced == "5.1.1"


def test_quoted_printable_does_not_hide_an_id() -> None:
    message = EmailMessage()
    message["From"], message["Subject"] = DAEMON, "Undelivered"
    charset.add_charset("utf-8", charset.SHORTEST, charset.QP, "utf-8")
    message.set_content(f"{POSTFIX}\nreference {'a1' * 40}", charset="utf-8", cte="quoted-printable")
    assert b"=\n" in message.as_bytes()
    bounce = read_bounce(message.as_bytes())
    assert bounce is not None
    assert "a1" * 40 in bounce.text


def test_a_list_that_passes_a_bounce_on_does_not_hide_it() -> None:
    passed = notice(DAEMON, "Undelivered Mail Returned to Sender", POSTFIX, "List-Id: <talk.example.org>")
    bounce = read_bounce(passed)
    assert bounce is not None
    assert bounce.enhanced == "5.1.1"


def test_a_reply_within_the_words_of_a_diagnostic_code_is_the_reply() -> None:
    said = (
        "x-postfix; host mx.example.net[192.0.2.7] said: 550 unknown user <a@example.net> (in reply to RCPT TO command)"
    )
    bounce = read_bounce(report(recipient("a", "failed", "5.0.0", said)))
    assert bounce is not None
    assert (bounce.code, bounce.diagnostic) == (550, "550 unknown user <a@example.net>")


# ---------------------------------------------------------------------------------------------------------------------
# What is no bounce

PERSON = "Anna Example <anna@example.org>"
RECEIPT = report("Disposition: automatic-action/MDN-sent-automatically; displayed").replace(
    b"delivery-", b"disposition-"
)
AUTOMATIC = ("Auto-Submitted: auto-replied", "Return-Path: <>")


@pytest.mark.parametrize(
    "message",
    [
        notice(PERSON, "Fwd: Undelivered Mail Returned to Sender", POSTFIX),
        notice(PERSON, "Re: it came back", "What is this?\n\n> " + POSTFIX.replace("\n", "\n> ")),
        notice(PERSON, "Automatic reply: Hello", "I am out of office.", *AUTOMATIC),
        notice("postmaster@example.org", "Automatic reply: Hello", "I am back on Monday.", *AUTOMATIC),
        notice("postmaster@example.org", "Why mail bounces", f"This month:\n{EXIM}", "List-Id: <news.example.org>"),
        RECEIPT.replace(b"status", b"notification").replace(DAEMON.encode(), PERSON.encode()),
        notice(DAEMON, "Maintenance on Sunday", "The server will be offline for an hour."),
        "550 5.1.1 <nobody@example.net>: Recipient address rejected: User unknown",
        "---------- Forwarded message ---------\nFrom: Mail Delivery Subsystem\n\n" + GMAIL,
        "> " + POSTFIX.replace("\n", "\n> "),
        "",
        b"\n\n",
    ],
)
def test_what_is_no_bounce(message: bytes | str) -> None:
    assert read_bounce(message) is None


def test_a_bounce_that_is_attached_is_the_original_and_not_the_bounce() -> None:
    inner = report(recipient("inner", "failed", "5.1.1"))
    outer = (
        f"From: {PERSON}\nSubject: look\nContent-Type: multipart/mixed; boundary=out\n\n"
        "--out\nContent-Type: text/plain\n\nSee below.\n--out\nContent-Type: message/rfc822\n\n"
    ).encode()
    assert read_bounce(outer + inner + b"\n--out--\n") is None
