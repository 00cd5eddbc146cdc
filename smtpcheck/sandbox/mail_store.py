"""What becomes of messages behind the sandbox's SMTP services: mailboxes with folders, and how mail gets into them.

Rules of this file:
- A mailbox comes into being when it is first named; each has the folders that Exchange makes.
- The route of a message is set when it is sent (`Delivery`): at once, late, into Junk, twice, never, or back.
- A delivered message has the Received headers of two hops (RFC 5321 4.4) and what else its receiver writes on top of
  what was sent.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from enum import StrEnum
from typing import NamedTuple

from smtpcheck.sandbox.bounces import Refusal, Style, bounce
from smtpcheck.sandbox.receiver_headers import authentication, received


class Use(StrEnum):
    """What a folder is for, by Graph's well-known name (https://learn.microsoft.com/graph/api/resources/mailfolder)."""

    INBOX = "inbox"
    JUNK = "junkemail"
    SENT = "sentitems"
    DELETED = "deleteditems"
    ARCHIVE = "archive"


NAMES = {
    Use.INBOX: "INBOX",
    Use.JUNK: "Junk Email",
    Use.SENT: "Sent Items",
    Use.DELETED: "Deleted Items",
    Use.ARCHIVE: "Archive",
}
"""How the folders are called."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What becomes of a message that was accepted."""

    delay: float = 0.0
    """Seconds until it arrives."""
    folder: Use = Use.INBOX
    copies: int = 1
    """How often it arrives; 0: it is lost."""
    authentication: str = ""
    """The values of the Authentication-Results headers (RFC 8601) that it gets, a line for each; empty: none, as inside
    a tenant."""
    style: Style = Style.EXCHANGE
    """What kind of server takes it."""
    filtered: str = ""
    """What the receiver's filter writes above all, as whole lines."""
    outbound: str = ""
    """What the sender's provider wrote when it left, as whole lines."""
    trace: str = "delivered"
    """What the provider's message trace says of it."""
    keeps_sent: bool = True
    """Whether a copy is in Sent Items of the sender."""
    refusal: Refusal | None = None
    """Why a mail server behind returns it to the sender; with a notice of delay it arrives all the same, if it does."""


AT_ONCE = Delivery()
FROM_THIRD_PARTY = Delivery(keeps_sent=False)


class Trace(NamedTuple):
    """One message on its way to one recipient."""

    content: bytes
    sender: str
    recipient: str
    status: str
    at: float
    """Unix seconds."""


@dataclass(slots=True)
class Stored:
    """One message in a folder."""

    uid: int
    id: str
    """What Graph calls it; it stays the same wherever the message goes."""
    content: bytes
    arrived_at: float
    """Unix seconds."""
    flags: set[str] = field(default_factory=set)
    """In lower case, as `\\\\deleted`."""

    @property
    def header(self) -> list[tuple[str, str]]:
        """Return name and value of each header field, folded as they are."""
        return [(name, str(value)) for name, value in BytesHeaderParser().parsebytes(self.content).items()]


class Folder:
    """One folder of a mailbox."""

    def __init__(self, use: Use) -> None:
        self.use = use
        self.name = NAMES[use]
        self.id = f"AQMk{secrets.token_hex(12)}"
        self.uid_validity = secrets.randbelow(2**31) + 1
        self.uid_next = 1
        self.messages: list[Stored] = []

    def add(self, content: bytes, arrived_at: float, identity: str = "") -> Stored:
        """Put a message into it."""
        stored = Stored(self.uid_next, identity or f"AAkA{secrets.token_hex(16)}=", content, arrived_at)
        self.uid_next += 1
        self.messages.append(stored)
        return stored


class Box:
    """One mailbox."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.folders = {use: Folder(use) for use in Use}

    def named(self, name: str) -> Folder | None:
        """Return the folder of that name, INBOX in any case."""
        return next(
            (one for one in self.folders.values() if name == one.name or name.upper() == one.name == "INBOX"), None
        )

    def everything(self) -> Iterator[tuple[Folder, Stored]]:
        """Yield every message with its folder."""
        for folder in self.folders.values():
            for stored in tuple(folder.messages):
                yield folder, stored

    def move(self, stored: Stored, source: Folder, target: Folder) -> Stored:
        """Move a message to another folder."""
        source.messages.remove(stored)
        return target.add(stored.content, stored.arrived_at, stored.id)


class MailStore:
    """All mailboxes of a world."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Begin without any; `clock` says when a message arrives (Unix seconds)."""
        self._clock = clock
        self._mailboxes: dict[str, Box] = {}
        self._under_way: set[asyncio.TimerHandle] = set()
        self.traces: deque[Trace] = deque(maxlen=1000)
        """The last messages that were sent, as a message trace has them."""

    def box(self, address: str) -> Box:
        """Return the mailbox of the address."""
        return self._mailboxes.setdefault(address.casefold(), Box(address))

    def send(self, sender: str, recipients: Iterable[str], content: bytes, delivery: Delivery) -> None:
        """Let a message go its way from the mailbox `sender`."""
        recipients = tuple(recipients)
        self.traces += (Trace(content, sender, each, delivery.trace, self._clock()) for each in recipients)
        if delivery.keeps_sent:
            self.box(sender).folders[Use.SENT].add(content, self._clock())
        for recipient in recipients:
            if (refusal := delivery.refusal) is not None:
                self._return(refusal, content, sender, recipient)
            if refusal is None or refusal.delayed:
                for _ in range(delivery.copies):
                    self._deliver_later(recipient, content, delivery)

    def close(self) -> None:
        """Let nothing arrive any more."""
        for timer in self._under_way:
            timer.cancel()
        self._under_way.clear()

    def _return(self, refusal: Refusal, content: bytes, sender: str, recipient: str) -> None:
        now = self._clock()
        self.box(sender).folders[Use.INBOX].add(bounce(refusal, content, sender, recipient, now), now)

    def _deliver_later(self, recipient: str, content: bytes, delivery: Delivery) -> None:
        if not delivery.delay:
            self._deliver(recipient, content, delivery)
            return

        def arrive() -> None:
            self._under_way.discard(timer)
            self._deliver(recipient, content, delivery)

        timer = asyncio.get_running_loop().call_later(delivery.delay, arrive)
        self._under_way.add(timer)

    def _deliver(self, recipient: str, content: bytes, delivery: Delivery) -> None:
        now = self._clock()
        results = delivery.filtered + authentication(delivery.authentication)
        top = results + received(delivery.style, recipient, now, delivery.delay) + delivery.outbound
        self.box(recipient).folders[delivery.folder].add(top.encode() + content, now)
