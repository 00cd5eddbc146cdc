"""How many messages may be sent within an hour and a day, for each mailbox and each tenant.

Rules of this file:
- Pure: times are Unix seconds, and the present is an argument.
- Windows roll, as those of Exchange Online and Gmail do: what was sent at 23:59 still counts at 00:01.
- The limits are far below those of the providers, because the mailbox belongs to an application that sends as well:
  Exchange Online takes 10,000 recipients a day from a mailbox
  (https://learn.microsoft.com/office365/servicedescriptions/exchange-online-service-description/exchange-online-limits)
  and Gmail 500 to 2,000 messages (https://support.google.com/a/answer/166852).
- Where several agents divide the checks, each has its part of a cap: `Shares`.
"""

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from smtpcheck.model.credential import CredentialHints
from smtpcheck.model.shard import Sender

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


class Shares:
    """One shard's parts of the caps.

    A cap is divided evenly among the checks that draw on it, and a shard has the parts of its checks. All agents have
    the same configuration, so each knows; what an agent sent before it became this shard counts for itself alone.
    """

    def __init__(self, senders: Iterable[Sender], shard: int) -> None:
        drawing: dict[Scope, list[int]] = defaultdict(list)
        for sender in senders:
            for scope in scopes(sender.mailbox, sender.tenant):
                drawing[scope].append(sender.shard)
        self._drawing = {
            scope: (len(shards), [rank for rank, number in enumerate(shards) if number == shard])
            for scope, shards in drawing.items()
        }

    def share(self, scope: Scope, limit: int) -> int:
        """Return how many of `limit` messages are this shard's; none where no check of it draws on the cap."""
        among, ranks = self._drawing.get(scope, (1, []))
        return limit // among * len(ranks) + bisect_left(ranks, limit % among)


class Caps:
    """The messages of the last day."""

    def __init__(self) -> None:
        self._sent: dict[Scope, deque[float]] = {}
        self._all: deque[tuple[float, str, str]] = deque()
        self._shares: Shares | None = None

    def divide(self, shares: Shares | None) -> None:
        """Allow no more than these shares from now on; None: the whole caps."""
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

    def move(self, seconds: float) -> None:
        """Move every message by the seconds by which the wall clock was set, so that each is as old as before."""
        for scope, sent in self._sent.items():
            self._sent[scope] = deque(at + seconds for at in sent)
        self._all = deque((at + seconds, mailbox, tenant) for at, mailbox, tenant in self._all)

    def counted(self) -> tuple[tuple[float, str, str], ...]:
        """Return time, mailbox and tenant of every message of the last day, in the order of counting."""
        return tuple(self._all)

    def uncount(self, mailbox: str, tenant: str, at: float) -> None:
        """Uncount one message that was not sent after all; the last one, where the clock was set since."""
        for scope in scopes(mailbox, tenant):
            sent = self._sent.get(scope, deque())
            if at in sent:
                sent.remove(at)
            elif sent:
                sent.pop()
        if (at, mailbox, tenant) in self._all:
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
            limit = self._shares.share(scope, whole) if self._shares else whole
            if limit == 0:
                ends.append(now + DAY)
            elif len(sent) >= limit and sent[-limit] + span > now:
                ends.append(sent[-limit] + span)
        return max(ends, default=None)


def scopes(mailbox: str, tenant: str) -> tuple[Scope, Scope]:
    """Return what a message of the mailbox counts for: the mailbox, and its tenant."""
    return ("mailbox", mailbox.casefold()), ("tenant", tenant.casefold())


def tenant_of(mailbox: str, hints: CredentialHints | None) -> str:
    """Return the tenant that a mailbox's messages count for: its credential's, else the mailbox's domain."""
    return (hints.tenant if hints else "") or mailbox.rpartition("@")[2]
