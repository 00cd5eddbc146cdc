"""What a check's loopback is to do, as a value.

Rules of this file:
- Values only; every default has been filled in by the configuration.
- Durations are seconds.
"""

from dataclasses import dataclass, replace

from smtpcheck.caps import Limits
from smtpcheck.delivery.find import Find
from smtpcheck.model import Check


@dataclass(frozen=True, slots=True)
class Loopback:
    """Send a message every so often, and find it again."""

    every: float
    """The time from one message to the next."""
    sender: str
    """The envelope sender and the From header."""
    recipient: str
    find: Find | None
    """None: the message is only handed over."""
    warn_after: float
    """A message that took longer is late."""
    lost_after: float
    """A message that has not been found until then is lost."""
    limits: Limits
    """How many messages the mailbox may send in an hour and a day."""
    contact: str = ""
    """Whom to ask about the messages; it stands in them."""
    authserv_id: str | None = None
    """Whose Authentication-Results are believed (RFC 8601 2.5); empty: such without a name; None: nobody's."""
    delete: bool = True
    """Whether messages that were found are deleted."""

    def swept(self, check: Check) -> tuple[Find, ...]:
        """Return where left-overs of the check are deleted: where its messages arrive, and in its own Sent Items.

        The latter is left out where the finder has a password of its own: tried at the sender's account it would be a
        wrong one, day after day.
        """
        if self.find is None or not self.delete:
            return ()
        by_password = self.find.mechanism is not None and self.find.mechanism.carries_password
        if by_password and self.find.credential != check.credential:
            return (self.find,)
        return self.find, replace(self.find, mailbox=check.mailbox)
