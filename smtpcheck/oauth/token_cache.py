"""The tokens of one credential, in memory.

Rules of this file:
- It holds what is known and decides nothing; when to ask an issuer is the broker's matter.
- A token is identified by its credential, its scope and, where each mailbox has its own, the subject.
"""

import asyncio
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from math import inf

from smtpcheck.model.report import TokenError, TokenFacts
from smtpcheck.oauth.backoff import Backoff
from smtpcheck.oauth.credential import Credential
from smtpcheck.oauth.token_store import TokenStore
from smtpcheck.secrets.file_state import file_state
from smtpcheck.secrets.secret import Secret


@dataclass(frozen=True, slots=True)
class AcquiredToken:
    """A token for one run."""

    token: Secret
    facts: TokenFacts | None
    """What is known of the token; None for a password, of which nothing is kept."""
    waited: float
    """Seconds that this run waited for it; 0 from memory."""
    start: float
    """When this run began to wait; from memory, when the token was asked for (monotonic seconds)."""
    renewal_error: TokenError | None = None
    """Why the last attempt to renew it failed, while it can still be used."""
    failing_since: float | None = None
    """When the first of the attempts failed that have failed in a row (Unix seconds)."""


TokenOrError = AcquiredToken | TokenError


class TokenSlot:
    """What is known of one token."""

    __slots__ = (
        "acquired",
        "asked_at",
        "backoff",
        "error",
        "expires_at",
        "failing_since",
        "pending",
        "refresh_at",
        "scope",
        "subject",
        "usable_until",
        "usable_until_wall",
        "used",
        "wanted_at",
    )

    def __init__(self, subject: str | None, scope: str) -> None:
        self.subject = subject
        self.scope = scope
        """Empty for the credential's own."""
        self.acquired: AcquiredToken | None = None
        self.expires_at: float | None = None
        self.usable_until_wall = self.usable_until = -inf
        self.refresh_at = inf
        self.used = True
        self.wanted_at = -inf
        self.asked_at = -inf
        self.pending: PendingRequest | None = None
        self.backoff = Backoff()
        self.error: TokenError | None = None
        self.failing_since: float | None = None


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """A request under way."""

    task: asyncio.Task[TokenOrError]
    begun: asyncio.Event
    """Whether it has a thread. Events, for thousands may wait; to leave a task's waiters costs a walk through all."""
    ended: asyncio.Event


class CredentialTokens:
    """One credential, its flow and its tokens."""

    def __init__(self, name: str, credential: Credential, store: TokenStore | None) -> None:
        self.name = name
        self.credential = credential
        self.flow = credential.flow(store.file(name) if store else None)
        self.files = credential.files()
        self.stamps: tuple[object, ...] | None = None
        self.slots: dict[tuple[str | None, str], TokenSlot] = {}
        self.lock = asyncio.Lock()
        self.backoff = Backoff()
        self.refused: set[str] = set()
        self.side_request: asyncio.Task[None] | None = None
        self.requests = {"success": 0, "error": 0}
        self.seconds: float | None = None
        self.fresh_success: bool | None = None

    def key(self, subject: str | None, scope: str) -> tuple[str | None, str]:
        """Return what tells a token from the credential's others; the own scope is empty."""
        own = not scope or scope == self.credential.scope
        return subject if self.credential.uses_subject else None, "" if own else scope

    def telling(self) -> tuple[TokenSlot, ...]:
        """Return the tokens that show the state: those for the own scope, or all where that one is not asked for."""
        own = tuple(slot for slot in self.slots.values() if not slot.scope)
        return own or tuple(self.slots.values())

    def slot(self, subject: str | None, scope: str = "") -> TokenSlot:
        """Return the place of a token, a new one if there is none yet."""
        key = self.key(subject, scope)
        slot = self.slots.get(key)
        if slot is None:
            slot = self.slots[key] = TokenSlot(*key)
        return slot


def spread_fraction(name: str, subject: str | None) -> float:
    """Return a stable number from 0 to 1 that spreads the renewals."""
    return hashlib.sha256(f"{name}\0{subject or ''}".encode()).digest()[0] / 255


def states_on_disk(sources: Iterable[CredentialTokens]) -> list[tuple[object, ...]]:
    """Return for each credential what changes with its files and its login. A file of several is looked at once."""
    look = cache(file_state)
    found: list[tuple[object, ...]] = []
    for source in sources:
        source.flow.reload()
        found.append((source.flow.lifetime.login_at, *map(look, source.files)))
    return found
