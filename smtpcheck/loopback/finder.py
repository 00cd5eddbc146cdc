"""What a finder is asked and what it answers: the values between the loopback and the ways to find a message again.

Rules of this file:
- Values and protocols only. A finder opens one connection for all messages that are pending in one mailbox.
- What fails is a value (`FinderError`): a finder that cannot log in says nothing of the mail.
- A finder touches only messages whose correlation id `is_ours` accepts, whatever else they look like, and bounces that
  are proven to be about such a message (`mail/bounce_proof`).
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from smtpcheck.loopback.plan import Find
from smtpcheck.mail.bounce import Bounce
from smtpcheck.model.report import TokenError
from smtpcheck.secrets.secret import Secret


class FolderKind(StrEnum):
    """What a folder is for (RFC 6154 special use, Graph's well-known names)."""

    INBOX = "inbox"
    JUNK = "junk"
    SENT = "sent"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Target:
    """One message that is to be found."""

    message_ids: tuple[str, ...]
    """The Message-ID as it was sent and, where the server named another when it took it, that one; with `<>`."""
    correlation_id: str
    """The correlation id, as it is in the header `UNIQUE_HEADER` and in the subject."""
    sent_at: float
    """When it was handed over (Unix seconds)."""
    recipient: str = ""
    """To whom it was sent; of interest for its bounces alone."""


@dataclass(frozen=True, slots=True)
class Match:
    """One copy of one of our messages, where it was seen."""

    correlation_id: str
    folder: str
    """The folder's own name."""
    kind: FolderKind
    arrived_at: float | None
    """When the mailbox took it, by its server's clock (INTERNALDATE, receivedDateTime), as Unix seconds."""
    headers: tuple[tuple[str, str], ...]
    """Name and unfolded value of Received, Authentication-Results, Date and Message-ID, topmost first."""
    deleted: bool
    """Whether the copy has been deleted."""


@dataclass(frozen=True, slots=True)
class BounceMatch:
    """One bounce that is proven to be about one of our messages."""

    correlation_id: str
    """Of the message that was returned."""
    bounce: Bounce
    folder: str
    """The folder's own name."""
    arrived_at: float | None
    """When the mailbox took it, by its server's clock, as Unix seconds."""
    key: str
    """By which the mailbox knows it; another search may delete it by this."""


class FinderStep(StrEnum):
    """Where a search ended that did not succeed."""

    TOKEN = "token"
    CONNECT = "connect"
    TLS = "tls"
    LOGIN = "login"
    SEARCH = "search"
    DELETE = "delete"
    AGENT = "agent"
    """This machine lacked a descriptor, memory, a thread or a free place; it says nothing of the mailbox."""


@dataclass(frozen=True, slots=True)
class FinderError:
    """Why a search did not succeed; redacted of what was sent."""

    step: FinderStep
    detail: str
    """What the server, the issuer or the system said."""
    code: str = ""
    """The server's own code: an IMAP response code (RFC 5530), or Graph's `error.code`; else empty."""
    retry_after: float | None = None
    """Seconds that the server asks to wait."""
    token_error: TokenError | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """All of one search in one mailbox. What was seen before an error still counts."""

    matches: tuple[Match, ...] = ()
    error: FinderError | None = None
    folders: tuple[str, ...] = ()
    """The folders that were searched, in their order."""
    purged: int = 0
    """How many left-over messages of ours were deleted."""
    seconds: float = 0.0
    bounces: tuple[BounceMatch, ...] = ()
    foreign: tuple[str, ...] = ()
    """Keys of mail that was read as a bounce, and is about none of our messages."""
    removed: tuple[str, ...] = ()
    """Keys of the bounces that were deleted as requested."""
    removes: bool = True
    """Whether the server lets a client remove its own messages alone; without, they stay, marked as deleted."""


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What one search is for."""

    targets: tuple[Target, ...]
    is_ours: Callable[[str], bool]
    """Whether a correlation id is one of ours, with a signature that holds."""
    delete: bool = True
    """Whether what is found is deleted."""
    purge_before: float | None = None
    """Delete every message of ours that arrived before (Unix seconds); None: purge nothing."""
    returned: tuple[Target, ...] = ()
    """The messages whose bounces are looked for."""
    foreign: Collection[str] = frozenset()
    """Keys of mail that need not be read again: an earlier search for these messages has."""
    removals: tuple[str, ...] = ()
    """Keys of bounces to delete: of those that an earlier search has found."""

    @property
    def is_empty(self) -> bool:
        """Return whether there is nothing to do."""
        return not (self.targets or self.returned or self.removals) and self.purge_before is None


class Finder(Protocol):
    """One way to search one mailbox."""

    async def search(self, request: SearchRequest, token: Secret, *, timeout: float) -> Search:  # noqa: ASYNC109
        """Search for all messages of the request over one connection; nothing is raised but cancellation.

        `timeout` bounds the whole search, in seconds.
        """


class Searcher(Protocol):
    """All ways to search the mailboxes of a configuration, with their tokens and the order of their connections."""

    async def search(
        self,
        find: Find,
        request: SearchRequest,
        *,
        timeout: float,  # noqa: ASYNC109
        token_timeout: float,
    ) -> Search:
        """Get a token, wait for the mailbox's slot, and search for all messages of the request.

        Nothing is raised but cancellation, and `ValueError` for `FindVia.NONE`. `timeout` bounds the search itself and
        `token_timeout` the wait for the issuer, both in seconds; waiting for the mailbox's slot is in neither.
        """
