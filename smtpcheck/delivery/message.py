"""The message that a check of depth `send` sends.

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

UNIQUE_HEADER = "X-Smtpcheck-Id"
"""The header that bears the unique part, for finding the message again."""

_BODY = """\
This message was sent by {agent} to see whether mail can be sent.

Check: {check}
Mark: {unique}

It was made by a machine; nobody waits for an answer, and it may be deleted.
"""


def probe_message(*, sender: str, recipient: str, now: datetime, unique: str, check: str, agent: str) -> bytes:
    """Return a whole message (RFC 5322) with CRLF line ends.

    Args:
        sender: the address of the From header.
        recipient: the address of the To header.
        now: an aware datetime, for the Date header.
        unique: letters and digits that no other message bears; left part of the Message-ID.
        check: the check's name.
        agent: name and version of the program.

    Raises:
        ValueError: an argument holds a line end.
    """
    policy = SMTP if sender.isascii() and recipient.isascii() else SMTPUTF8
    message = EmailMessage(policy)
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = f"smtpcheck: probe of {check}"
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{unique}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message["Importance"] = "low"
    message["X-Priority"] = "5"
    message["X-Mailer"] = agent
    message[UNIQUE_HEADER] = unique
    message.set_content(_BODY.format(agent=agent, check=check, unique=unique))
    return message.as_bytes()
