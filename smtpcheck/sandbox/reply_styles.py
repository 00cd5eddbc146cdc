"""How the SMTP services of the sandbox word what they say: one `ReplyStyle` for each connection.

Rule of this file: a style knows words and no protocol; the replies themselves are in `replies`, `gmail_replies` and
`postfix_replies`.
"""

import secrets
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Protocol

from smtpcheck.sandbox import gmail_replies, postfix_replies, replies


class Replies(Protocol):
    """A service's replies by their occasion; a module of constants is one."""

    AUTH_UNSUCCESSFUL: str
    AUTH_CANCELLED: str
    AUTH_UNRECOGNIZED: str
    AUTH_UNDECODABLE: str
    NOT_AUTHENTICATED: str
    """Empty where MAIL is taken without a login."""
    STARTTLS_FIRST: str
    HELLO_FIRST: str
    BAD_SEQUENCE: str
    INVALID_DOMAIN: str
    INVALID_ARGUMENTS: str
    UNRECOGNIZED_COMMAND: str
    LINE_TOO_LONG: str
    STARTTLS_READY: str
    SENDER_OK: str
    RECIPIENT_OK: str
    START_MAIL: str
    RESETTING: str
    OK: str
    CANNOT_VERIFY: str
    BYE: str


class ReplyStyle(Protocol):
    """The words of one service on one connection."""

    replies: Replies
    first_extensions: tuple[str, ...]
    """What EHLO lists before STARTTLS and AUTH."""
    last_extensions: tuple[str, ...]
    """What EHLO lists after them."""

    def banner(self) -> str:
        """Return the greeting of a new connection, after its code."""

    def greeting(self, client: str) -> str:
        """Return the answer to EHLO from an IP address, after its code."""

    def accepted(self, reply: str) -> str:
        """Return a success as it is sent."""

    def refused(self, reply: str) -> str:
        """Return a refusal as it is sent."""


class ExchangeReplyStyle:
    """Exchange Online: each server of the farm has a name, and a refusal has it with time and id."""

    replies: Replies = replies
    first_extensions: tuple[str, ...] = ("SIZE 157286400", "PIPELINING", "DSN", "ENHANCEDSTATUSCODES")
    last_extensions: tuple[str, ...] = ("8BITMIME", "BINARYMIME", "CHUNKING", "SMTPUTF8")

    def __init__(self, number: int) -> None:
        """Speak as the server of that number."""
        self._farm = f"AM6PR{number:04d}"
        self._id = f"08DE{secrets.token_hex(6).upper()}"

    def banner(self) -> str:
        """Return the name and the time."""
        date = format_datetime(datetime.now(UTC))
        return f"{self._farm}CA0001.outlook.office365.com Microsoft ESMTP MAIL Service ready at {date} [{self._id}]"

    def greeting(self, client: str) -> str:
        """Return the name and the client's address."""
        return f"{self._farm}CA0001.outlook.office365.com Hello [{client}]"

    def accepted(self, reply: str) -> str:
        """Return the reply as it is."""
        return reply

    def refused(self, reply: str) -> str:
        """Return the reply with the mark."""
        now = datetime.now(UTC)
        host = f"{self._farm}MB0001.eurprd05.prod.outlook.com"
        return f"{reply} [{host} {now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z {self._id}]"


class GmailReplyStyle:
    """Gmail: one name for all servers, and an id behind nearly everything."""

    replies: Replies = gmail_replies
    first_extensions: tuple[str, ...] = ("SIZE 35882577", "8BITMIME")
    last_extensions: tuple[str, ...] = ("ENHANCEDSTATUSCODES", "PIPELINING", "CHUNKING", "SMTPUTF8")

    def __init__(self) -> None:
        self._mark = f"{secrets.token_hex(7)}-{secrets.token_hex(6)}sm{secrets.randbelow(10**8)}.1 - gsmtp"

    def banner(self) -> str:
        """Return the name and the id."""
        return f"smtp.gmail.com ESMTP {self._mark}"

    def greeting(self, client: str) -> str:
        """Return the client's address."""
        return f"smtp.gmail.com at your service, [{client}]"

    def accepted(self, reply: str) -> str:
        """Return the reply with the id, unless it is where none belongs."""
        return reply if reply in {gmail_replies.AUTH_OK, gmail_replies.STARTTLS_READY} else f"{reply} {self._mark}"

    def refused(self, reply: str) -> str:
        """Return the reply with the id."""
        return f"{reply} {self._mark}"


class PostfixReplyStyle:
    """Postfix on a host of the domain: it adds nothing to a reply."""

    replies: Replies = postfix_replies
    first_extensions: tuple[str, ...] = ("PIPELINING", "SIZE 10240000", "VRFY", "ETRN")
    last_extensions: tuple[str, ...] = ("ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8", "CHUNKING")

    def __init__(self, domain: str) -> None:
        """Speak for the domain's mail host."""
        self._host = f"mail.{domain}"

    def banner(self) -> str:
        """Return the name."""
        return f"{self._host} ESMTP Postfix (Debian/GNU)"

    def greeting(self, client: str) -> str:
        """Return the name, whoever asks."""
        del client
        return self._host

    def accepted(self, reply: str) -> str:
        """Return the reply as it is."""
        return reply

    def refused(self, reply: str) -> str:
        """Return the reply as it is."""
        return reply
