"""What a run says and hears: the message that it is given, and what came of talking to the server."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from msgspec import Struct, field

from smtpcheck.model.report import Attempt, Step, TlsFacts
from smtpcheck.oauth.token_cache import AcquiredToken


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """What a check of depth `send` sends, and who permits it."""

    content: bytes | None
    """The whole message, with CRLF line ends, which is searched for later; None: one of the check's own making."""
    consent: Callable[[], Awaitable[bool]]
    """Asked when the server has taken sender and recipient, or an API is connected to, before anything is sent."""
    key: str = ""
    """Letters and digits that no other message has, the same whenever this one is sent."""


class Talk(Struct, frozen=True, gc=False):
    """What was said."""

    steps: tuple[Step, ...] = ()
    tls: TlsFacts | None = None
    attempts: tuple[Attempt, ...] = ()
    mechanism: str = ""
    auth_line_length: int = 0
    ehlo: tuple[str, ...] = ()
    """The keyword lines of the last EHLO."""
    account: Mapping[str, float | str] = field(default_factory=dict)
    """What an API says of the account."""
    renewed: AcquiredToken | None = None
    """The fresh token that an API took where it refused the one at hand."""
