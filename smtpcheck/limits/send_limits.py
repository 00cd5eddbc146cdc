"""How many messages may be sent within an hour and a day, for each mailbox and each tenant.

Rules of this file:
- Pure: times are Unix seconds, and the present is an argument.
- Windows roll, as those of Exchange Online and Gmail do: what was sent at 23:59 still counts at 00:01.
- The limits lie far below those of the providers, because the mailbox belongs to an application that sends as well:
  Exchange Online takes 10,000 recipients a day from a mailbox
  (https://learn.microsoft.com/office365/servicedescriptions/exchange-online-service-description/exchange-online-limits)
  and Gmail 500 to 2,000 messages (https://support.google.com/a/answer/166852).
- Where several agents share the checks, a `Division` says how much of a cap is this one's.
"""

from collections import deque
from dataclasses import dataclass
from math import inf
from typing import Protocol

from smtpcheck.model.credential import CredentialHints

HOUR, DAY = 3600.0, 86400.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How many messages at most."""

    per_hour: int
    per_day: int


MAILBOX = Limits(per_hour=12, per_day=200)
TENANT = Limits(per_hour=120, per_day=1_000)

Scope = tuple[str, str]
"""What a cap holds for: `mailbox` or `tenant`, and which one."""


class Shares(Protocol):
    """How the caps are divided among agents."""

    def share(self, scope: Scope, limit: int, now: float) -> int:
        """Return how many of `limit` messages are this agent's."""

    def next_change(self, now: float) -> float:
        """Return when a share may become another (Unix seconds); infinity if it stays."""


class _Undivided:
    """The shares of an agent that is alone."""

    def share(self, scope: Scope, limit: int, now: float) -> int:
        del scope, now
        return limit

    def next_change(self, now: float) -> float:
        del now
        return inf


class Caps:
    """The messages of the last day."""

    def __init__(self) -> None:
        """Begin without any."""
        self._sent: dict[Scope, deque[float]] = {}
        self._all: deque[tuple[float, str, str]] = deque()
        self._shares: Shares = _Undivided()

    def divide(self, shares: Shares) -> None:
        """Allow no more than these shares from now on."""
        self._shares = shares

    def until(self, mailbox: str, tenant: str, now: float, limits: Limits = MAILBOX) -> float | None:
        """Return until when the mailbox must not send another message, None if it may send one now."""
        by_mailbox, by_tenant = scopes(mailbox, tenant)
        waits = (self._until(by_mailbox, now, limits), self._until(by_tenant, now, TENANT))
        return max((wait for wait in waits if wait is not None), default=None)

    def count(self, mailbox: str, tenant: str, at: float) -> None:
        """Count one message."""
        for scope in scopes(mailbox, tenant):
            self._sent.setdefault(scope, deque()).append(at)
        while self._all and self._all[0][0] <= at - DAY:
            self._all.popleft()
        self._all.append((at, mailbox, tenant))

    def counted(self) -> tuple[tuple[float, str, str], ...]:
        """Return time, mailbox and tenant of every message of the last day, in the order of counting."""
        return tuple(self._all)

    def uncount(self, mailbox: str, tenant: str, at: float) -> None:
        """Take back one message that was counted and not sent after all."""
        for scope in scopes(mailbox, tenant):
            self._sent[scope].remove(at)
        self._all.remove((at, mailbox, tenant))

    def last(self, mailbox: str) -> float | None:
        """Return when the mailbox last sent a message (Unix seconds), None if not within the last day."""
        sent = self._sent.get(scopes(mailbox, "")[0])
        return sent[-1] if sent else None

    def _until(self, scope: Scope, now: float, limits: Limits) -> float | None:
        sent = self._sent.get(scope, deque())
        while sent and sent[0] <= now - DAY:
            sent.popleft()
        if not sent:
            self._sent.pop(scope, None)
        ends = []
        for whole, span in ((limits.per_hour, HOUR), (limits.per_day, DAY)):
            limit = self._shares.share(scope, whole, now)
            if limit == 0:
                ends.append(now + DAY)
            elif len(sent) >= limit and sent[-limit] + span > now:
                ends.append(sent[-limit] + span)
        return min(max(ends), self._shares.next_change(now)) if ends else None


def scopes(mailbox: str, tenant: str) -> tuple[Scope, Scope]:
    """Return what a message of the mailbox counts for: the mailbox, and its tenant."""
    return ("mailbox", mailbox.casefold()), ("tenant", tenant.casefold())


def tenant_of(mailbox: str, hints: CredentialHints | None) -> str:
    """Return the tenant that a mailbox's messages count for: its credential's, else the mailbox's domain."""
    return (hints.tenant if hints else "") or mailbox.rpartition("@")[2]
