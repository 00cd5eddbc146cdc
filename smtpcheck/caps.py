"""How many messages may be sent within an hour and a day, for each mailbox and each tenant.

Rules of this file:
- Pure: times are Unix seconds, and the present is an argument.
- Windows roll, as those of Exchange Online and Gmail do: what was sent at 23:59 still counts at 00:01.
- The limits lie far below those of the providers, because the mailbox belongs to an application that sends as well:
  Exchange Online takes 10,000 recipients a day from a mailbox
  (https://learn.microsoft.com/office365/servicedescriptions/exchange-online-service-description/exchange-online-limits)
  and Gmail 500 to 2,000 messages (https://support.google.com/a/answer/166852).
"""

from collections import deque
from dataclasses import dataclass

HOUR, DAY = 3600.0, 86400.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How many messages at most."""

    per_hour: int
    per_day: int


MAILBOX = Limits(per_hour=12, per_day=200)
TENANT = Limits(per_hour=120, per_day=1_000)


class Caps:
    """The messages of the last day."""

    def __init__(self) -> None:
        """Begin without any."""
        self._sent: dict[tuple[str, str], deque[float]] = {}

    def until(self, mailbox: str, tenant: str, now: float, limits: Limits = MAILBOX) -> float | None:
        """Return until when the mailbox must not send another message, None if it may send one now."""
        waits = (self._until(key, now, each) for key, each in _scopes(mailbox, tenant, limits))
        return max((wait for wait in waits if wait is not None), default=None)

    def count(self, mailbox: str, tenant: str, at: float) -> None:
        """Count one message."""
        for key, _ in _scopes(mailbox, tenant, MAILBOX):
            self._sent.setdefault(key, deque()).append(at)

    def uncount(self, mailbox: str, tenant: str, at: float) -> None:
        """Take back one message that was counted and not sent after all."""
        for key, _ in _scopes(mailbox, tenant, MAILBOX):
            self._sent[key].remove(at)

    def _until(self, key: tuple[str, str], now: float, limits: Limits) -> float | None:
        sent = self._sent.get(key, deque())
        while sent and sent[0] <= now - DAY:
            sent.popleft()
        if not sent:
            self._sent.pop(key, None)
        ends = [
            sent[-limit] + span
            for limit, span in ((limits.per_hour, HOUR), (limits.per_day, DAY))
            if len(sent) >= limit and sent[-limit] + span > now
        ]
        return max(ends, default=None)


def _scopes(mailbox: str, tenant: str, limits: Limits) -> tuple[tuple[tuple[str, str], Limits], ...]:
    return (("mailbox", mailbox.casefold()), limits), (("tenant", tenant.casefold()), TENANT)
