"""The messages that are sent: by a check of depth `send`, and by a loopback.

Rules of this file:
- Pure: time and the unique part enter as arguments.
- It says what it is, and it asks every automaton to stay silent: `Auto-Submitted` (RFC 3834 5),
  `X-Auto-Response-Suppress` (Microsoft [MS-OXCMAIL] 2.2.3.2.14).
- It is ASCII but for addresses beyond ASCII, which RFC 6532 writes as UTF-8.
"""

from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime

from smtpcheck.model.check import Check

SUBJECT_WORD = "smtpcheck"
"""A word that every subject holds, for searches that know no other headers."""
UNIQUE_HEADER = "X-Smtpcheck-Id"
"""The header that has the unique part, for finding the message again."""

_BODY = """\
This message was sent by {agent} to check whether mail can be sent.

Check: {check}
Correlation id: {unique}

It is automated; no answer is expected, and it may be deleted.
"""


_LOOPBACK_OPENINGS = (
    "This message was sent by {agent} to check whether mail arrives.",
    "With this message {agent} checks whether mail from here is delivered.",
    "{agent} sent this message and will look for it in its mailbox.",
    "The arrival of this message shows {agent} that mail is delivered.",
    "This message was sent automatically by {agent} to monitor mail delivery.",
)
_LOOPBACK_BODY = """\
{opening}

It is number {number} of the check {check}.
Correlation id: {correlation_id}

There is no need to read or answer it, and it may be deleted.
{contact}
"""


def loopback_message(
    *,
    sender: str,
    recipient: str,
    now: datetime,
    correlation_id: str,
    number: int,
    check: str,
    contact: str,
    agent: str,
) -> bytes:
    """Return a whole message (RFC 5322) with CRLF line ends that has a correlation id.

    Args:
        sender: the address of the From header.
        recipient: the address of the To header.
        now: an aware datetime, for the Date header.
        correlation_id: it is in the header `UNIQUE_HEADER` and in the subject.
        number: which of the check's messages it is; the words vary with it.
        check: the check's name.
        contact: whom to ask, empty for nobody.
        agent: name and version of the program.

    Raises:
        ValueError: an argument of a header holds a line end.
    """
    message = _headers(sender, recipient, now, agent)
    message["Subject"] = f"{SUBJECT_WORD} probe {correlation_id}"
    message["Message-ID"] = loopback_message_id(correlation_id, sender)
    message[UNIQUE_HEADER] = correlation_id
    opening = _LOOPBACK_OPENINGS[number % len(_LOOPBACK_OPENINGS)].format(agent=agent)
    asked = f"Contact: {contact}" if contact else "It was sent automatically."
    message.set_content(
        _LOOPBACK_BODY.format(opening=opening, number=number, check=check, correlation_id=correlation_id, contact=asked)
    )
    return message.as_bytes()


def loopback_message_id(correlation_id: str, sender: str) -> str:
    """Return the Message-ID of a message with that correlation id: its unique part alone, so that the line is short."""
    return _message_id(correlation_id[-24:], sender)


def own_message(check: Check, *, now: datetime, unique: str, agent: str) -> bytes:
    """Return the message that a check of depth `send` sends where it is given none; see `probe_message`."""
    recipient = check.recipient or ""
    return probe_message(
        sender=check.sender, recipient=recipient, now=now, unique=unique, check=check.name, agent=agent
    )


def probe_message(*, sender: str, recipient: str, now: datetime, unique: str, check: str, agent: str) -> bytes:
    """Return a whole message (RFC 5322) with CRLF line ends.

    Args:
        sender: the address of the From header.
        recipient: the address of the To header.
        now: an aware datetime, for the Date header.
        unique: letters and digits that no other message has; left part of the Message-ID.
        check: the check's name.
        agent: name and version of the program.

    Raises:
        ValueError: an argument holds a line end.
    """
    message = _headers(sender, recipient, now, agent)
    message["Subject"] = f"smtpcheck: probe of {check}"
    message["Message-ID"] = _message_id(unique, sender)
    message[UNIQUE_HEADER] = unique
    message.set_content(_BODY.format(agent=agent, check=check, unique=unique))
    return message.as_bytes()


def _message_id(unique: str, sender: str) -> str:
    return f"<{unique}@{sender.rpartition('@')[2]}>"


def _headers(sender: str, recipient: str, now: datetime, agent: str) -> EmailMessage:
    """Return a message with the headers that all have."""
    policy = SMTP if sender.isascii() and recipient.isascii() else SMTPUTF8
    message = EmailMessage(policy.clone(cte_type="7bit"))
    message["From"] = sender
    message["To"] = recipient
    message["Date"] = format_datetime(now)
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message["Importance"] = "low"
    message["X-Priority"] = "5"
    message["X-Mailer"] = agent
    return message
