"""What a server says when it takes a message: the ids by which its operators find the message in their logs.

Rules of this file:
- Pure. The text is a foreigner's: what is taken from it is bounded, and holds no character that would end a quoted
  string of an IMAP search or of an OData filter.
- No standard says how the reply looks (RFC 5321 4.2); the forms are those of the servers named below.
"""

import re
from dataclasses import dataclass

from smtpcheck.model import Reply

_MAX_TEXT = 1000
_MESSAGE_ID = re.compile(r"<[A-Za-z0-9.!#$%&*+/=?^_`{|}~-]{1,200}@[A-Za-z0-9.:\[\]-]{1,200}>")
"""Exchange Online: `250 2.0.0 OK <id@host> [Hostname=...]`; it is the message's InternetMessageId."""
_QUEUE_IDS = (
    re.compile(r"\bqueued as ([A-Za-z0-9]{1,40})\b"),  # Postfix
    re.compile(r"\bid=([A-Za-z0-9-]{1,40})"),  # Exim
    re.compile(r"\bInternalId=([0-9]{1,40})\b"),  # Exchange Server
    re.compile(r"([A-Za-z0-9.-]{1,80}) - gsmtp\b"),  # Gmail
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The reply to a whole message."""

    reply: str
    message_id: str = ""
    """The Message-ID by which the server knows the message, with `<>`; empty where it names none."""
    queue_id: str = ""


def receipt(reply: Reply) -> Receipt:
    """Return what a server's reply to a message tells."""
    text = str(reply)[:_MAX_TEXT]
    message_id = _MESSAGE_ID.search(text)
    queue_id = next((found[1] for form in _QUEUE_IDS if (found := form.search(text))), "")
    return Receipt(text, message_id[0] if message_id else "", queue_id)
