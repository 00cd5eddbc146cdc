"""One message that a loopback is about to send: who sends it, what is in it, and its intent on disk.

Rule of this file: nothing of a message is sent before its intent is written.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from smtpcheck import __version__
from smtpcheck.check.kit import Kit
from smtpcheck.loopback.message_state import Message
from smtpcheck.loopback.plan import Loopback
from smtpcheck.mail.message import loopback_message
from smtpcheck.model.check import Check, Depth
from smtpcheck.state.outbox import Held, Outbox


@dataclass(frozen=True, slots=True)
class Sender:
    """One check that sends."""

    check: Check
    """At depth `send`, from and to the addresses of the loopback."""
    plan: Loopback


class Intent:
    """The intent to send one message: written when the server is ready for it."""

    def __init__(self, message: Message, outbox: Outbox, kit: Kit, sender: Sender) -> None:
        self.message = message
        self.held: float | Held | None = None
        """Why it may not be sent after all."""
        self.written = False
        """Whether it may be in the file."""
        self._outbox, self._kit, self._sender = outbox, kit, sender

    async def consent(self) -> bool:
        """Write the intent; return whether the message may be sent."""
        check = self._sender.check
        self.message = replace(self.message, intended_at=self._kit.wall())
        self.written = True
        self.held = await self._outbox.intend(
            self.message, check.mailbox, self._kit.tenant(check), self._sender.plan.limits
        )
        return self.held is None


def as_sender(check: Check, plan: Loopback) -> Check:
    """Return the check as it sends the messages of its loopback."""
    return replace(check, depth=Depth.SEND, sender=plan.sender, recipient=plan.recipient)


def content_of(message: Message, sender: Sender) -> bytes:
    """Return the whole message, with CRLF line ends."""
    return loopback_message(
        sender=sender.plan.sender,
        recipient=sender.plan.recipient,
        now=datetime.fromtimestamp(message.intended_at, UTC),
        correlation_id=message.mark,
        number=message.sequence,
        check=message.check,
        contact=sender.plan.contact,
        agent=f"smtpcheck/{__version__}",
    )
