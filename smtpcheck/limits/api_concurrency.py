"""How often a mail API is asked about one mailbox: requests at once, and proofs of the right to send.

Rules of this file:
- Graph serves four requests of one application and one mailbox at once
  (https://learn.microsoft.com/graph/throttling-limits); checks and searches together take two of them at most: one that
  sends or proves, and one that searches.
- A proof without a message is a failed request in somebody's log: one within five minutes for a mailbox, whichever
  checks ask. Within that time the last answer stands.
- Times are monotonic seconds, as arguments.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from smtpcheck.model.check import Check, Phase
from smtpcheck.model.report import Report

AT_ONCE = 2
"""Requests of one mailbox at once."""
PROOF_SPACING = 300.0
LEAST_SPACING = PROOF_SPACING - 10.0
"""How soon a run may come that is early by what a schedule is off."""

Seen = TypeVar("Seen")
Key = tuple[str, str]
"""The API's host and the mailbox, in small letters."""


class ApiConcurrency(Generic[Seen]):
    """What all that asks mail APIs shares. Belongs to one event loop."""

    def __init__(self) -> None:
        self._slots: dict[Key, tuple[asyncio.Semaphore, int]] = {}
        self._proofs: dict[Key, tuple[float, Seen]] = {}

    @asynccontextmanager
    async def slot(self, host: str, mailbox: str) -> AsyncIterator[None]:
        """Hold one of the mailbox's places for requests, waiting for it."""
        key = _key(host, mailbox)
        places, users = self._slots.get(key) or (asyncio.Semaphore(AT_ONCE), 0)
        self._slots[key] = (places, users + 1)
        try:
            async with places:
                yield
        finally:
            places, users = self._slots.pop(key)
            if users > 1:
                self._slots[key] = (places, users - 1)

    def keep_proof(self, host: str, mailbox: str, seen: Seen, now: float) -> None:
        """Keep what a proof has seen, answered at `now`."""
        key, proofs = _key(host, mailbox), self._proofs
        proofs.pop(key, None)
        proofs[key] = (now, seen)  # the oldest is the first
        while now - proofs[oldest := next(iter(proofs))][0] >= PROOF_SPACING:
            del proofs[oldest]

    def last_proof(self, host: str, mailbox: str, now: float) -> tuple[float, Seen] | None:
        """Return how many seconds ago the last proof was, and what it saw; None where a new one may be made."""
        kept = self._proofs.get(_key(host, mailbox))
        if kept is None or now - kept[0] >= LEAST_SPACING:
            return None
        return now - kept[0], kept[1]


def next_proof_at(check: Check, last: Report) -> float | None:
    """Return when a check may ask its mail API again after its last run (Unix seconds); None: whenever it is due."""
    if check.via is None or not any(step.phase is Phase.REQUEST for step in last.steps):
        return None
    return last.started_at + last.seconds + LEAST_SPACING


def _key(host: str, mailbox: str) -> Key:
    return host.lower(), mailbox.casefold()
