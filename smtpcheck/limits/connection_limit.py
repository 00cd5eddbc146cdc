"""The limit before every connection: a limit on open connections, and one connection at a time per mailbox.

Rules of this file:
- Exchange Online allows three connections per mailbox; a probe beside the sending application takes one at most.
- Inside a process an asyncio lock orders the runs of one mailbox; between processes on one machine (an agent, and a
  `check` beside it) `mailbox_lock` does.
- Waiting for a slot is counted in no phase.
- Every run passes here: `slot` is one context manager and not three in each other, which would cost twice as much.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

if sys.platform != "win32":
    pass
from smtpcheck.limits.mailbox_lock import MailboxLocks, offset_of


class NoSlotError(Exception):
    """No slot was free within the time."""


class ConnectionLimit:
    """Admits a run to its connection."""

    def __init__(self, max_open_connections: int, locks: MailboxLocks | None = None) -> None:
        """Admit at most `max_open_connections` at once; with `locks`, mind the other processes too."""
        self._places = asyncio.Semaphore(max_open_connections)
        self._locks = locks
        self._mailboxes: dict[int, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def slot(self, mailbox: str) -> AsyncIterator[None]:
        """Hold the mailbox, and then one place among the open connections."""
        offset = offset_of(mailbox)
        lock = self._enter(offset)
        try:
            async with lock:
                if self._locks is not None:
                    await self._locks.acquire(offset)
                try:
                    async with self._places:
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
        """Let go of the locks between processes."""
        if self._locks is not None:
            self._locks.close()


@asynccontextmanager
async def slot_within(admission: AbstractAsyncContextManager[None], seconds: float) -> AsyncIterator[None]:
    """Hold an admission that is waited for at most so long. Raises NoSlotError."""
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(seconds):
                await stack.enter_async_context(admission)
        except TimeoutError:
            raise NoSlotError from None
        yield
