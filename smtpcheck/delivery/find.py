"""Where and how messages are found again, as the configuration has it.

Rule of this file: it belongs to the vocabulary, and holds no secret.
"""

from dataclasses import dataclass
from enum import StrEnum

from smtpcheck.model import Mechanism, Server


class FindVia(StrEnum):
    """The ways to find a message again, as they stand in the configuration."""

    IMAP = "imap"
    GRAPH = "graph"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Find:
    """Where messages that were sent are found again, and how; of `FindVia.NONE` there is nothing else to say."""

    via: FindVia
    mailbox: str = ""
    """Whose folders are searched; with IMAP the SASL user."""
    credential: str = ""
    """The name of a credential of the settings."""
    scope: str = ""
    """The scope that its token is asked for, where it is another one than the credential's own; else empty."""
    server: Server | None = None
    """That of IMAP, or of Graph, for which only host, port and certificates count."""
    mechanism: Mechanism | None = None
    """With `FindVia.IMAP`; None: chosen by what the server offers. Never None with a password."""
    graph: str = ""
    """With `FindVia.GRAPH`: the URL in front of `/v1.0/`."""
