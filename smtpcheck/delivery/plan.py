"""What a check's loopback is to do, as a value.

Rules of this file:
- Values only; every default has been filled in by the configuration.
- Durations are seconds.
"""

from dataclasses import dataclass

from smtpcheck.caps import Limits
from smtpcheck.delivery.find import Find


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
