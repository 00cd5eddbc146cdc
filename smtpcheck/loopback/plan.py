"""What a check's loopback is to do, and where and how its messages are found again, as values.

Rules of this file:
- Values only, without any secret; every default has been filled in by the configuration.
- Durations are seconds.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from smtpcheck.limits.send_limits import Limits
from smtpcheck.model.check import Check, Mechanism, Server


class FindVia(StrEnum):
    """The ways to find a message again, as they are in the configuration."""

    IMAP = "imap"
    GRAPH = "graph"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Find:
    """Where messages that were sent are found again, and how; of `FindVia.NONE` there is nothing else to say."""

    via: FindVia
    mailbox: str = ""
    """Whose folders are searched."""
    credential: str = ""
    """The name of a credential of the settings."""
    scope: str = ""
    """The scope that its token is requested for, where it is another one than the credential's own; else empty."""
    server: Server | None = None
    """That of IMAP, or of Graph, for which only host, port and certificates count."""
    mechanism: Mechanism | None = None
    """With `FindVia.IMAP`; None: chosen by what the server offers."""
    password: bool = False
    """With `FindVia.IMAP`: whether the credential gives a password, not a token."""
    graph: str = ""
    """With `FindVia.GRAPH`: the URL in front of `/v1.0/`."""
    user: str = ""
    """With `FindVia.IMAP`: the SASL user, where it is not the mailbox."""


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
    """Whom to ask about the messages; they name it."""
    authserv_id: str | None = None
    """Whose Authentication-Results are believed (RFC 8601 2.5); empty: such without a name; None: none."""
    exchange_online: bool = False
    """Whether Exchange Online serves the mailbox that the messages go to: then its verdicts are the receiver's."""
    delete: bool = True
    """Whether messages that were found are deleted."""
    bounces: Find | None = None
    """Where bounces arrive, in the sender's mailbox; None: they are not searched for."""
    bounces_required: bool = False
    """Whether they were asked for; else a mailbox that does not let the search in is no failure."""

    @property
    def searched(self) -> tuple[Find, ...]:
        """Return where is searched for messages and for bounces, each mailbox once."""
        return tuple(dict.fromkeys(find for find in (self.find, self.bounces) if find is not None))

    def purged_mailboxes(self, check: Check) -> tuple[Find, ...]:
        """Return where left-overs of the check are deleted: where its messages arrive, and in its own Sent Items.

        The latter is skipped where the finder has a password of its own: tried at the sender's account it would be a
        wrong one, day after day.
        """
        if self.find is None or not self.delete:
            return ()
        if self.find.password and self.find.credential != check.credential:
            return (self.find,)
        return self.find, replace(self.find, mailbox=check.mailbox)
