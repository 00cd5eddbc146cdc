"""The limit before every connection: a limit on open connections, and one connection at a time per mailbox.

Rules of this file:
- Exchange Online allows three connections per mailbox; a probe beside the sending application takes one at most.
- Inside a process an asyncio lock orders the runs of one mailbox; between processes on one machine (an agent, and a
  `check` beside it) `mailbox_lock` does.
- Waiting for a slot is counted in no phase.
- Every run passes here: `slot` is one context manager and not three in each other, which would cost twice as much.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from smtpcheck.limits.mailbox_lock import MailboxLocks, offset_of


class NoSlotError(Exception):
    """No slot was free within the time."""


class ConnectionLimit:
    """Gives each run a slot for its connection."""

    def __init__(self, max_open_connections: int, locks: MailboxLocks | None = None) -> None:
        """Allow at most `max_open_connections` at once; with `locks`, take turns with other processes too."""
        self._slots = asyncio.Semaphore(max_open_connections)
        self._locks = locks
        self._mailboxes: dict[int, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def slot(self, mailbox: str) -> AsyncIterator[None]:
        """Hold the mailbox, and then one of the open connections."""
        offset = offset_of(mailbox)
        lock = self._enter(offset)
        try:
            async with lock:
                if self._locks is not None:
                    await self._locks.acquire(offset)
                try:
                    async with self._slots:
                        yield
                finally:
                    if self._locks is not None:
                        self._locks.release(offset)
        finally:
            self._leave(offset)

    def _enter(self, key: int) -> asyncio.Lock:
        """Return the lock that all runs of one mailbox share; it lives as long as one of them."""
        lock, users = self._mailboxes.get(key) or (asyncio.Lock(), 0)
        self._mailboxes[key] = (lock, users + 1)
        return lock

    def _leave(self, key: int) -> None:
        lock, users = self._mailboxes.pop(key)
        if users > 1:
            self._mailboxes[key] = (lock, users - 1)

    def close(self) -> None:
        """Release the locks between processes."""
        if self._locks is not None:
            self._locks.close()


@asynccontextmanager
async def slot_within(slot: AbstractAsyncContextManager[None], seconds: float) -> AsyncIterator[None]:
    """Hold a slot that is waited for at most so long. Raises NoSlotError."""
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(seconds):
                await stack.enter_async_context(slot)
        except TimeoutError:
            raise NoSlotError from None
        yield
