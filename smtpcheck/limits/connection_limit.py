"""The limit before every connection: a limit on open connections, and one connection at a time per mailbox.

Rules of this file:
- Exchange Online allows three connections per mailbox; a probe beside the sending application takes one at most.
- Inside a process an asyncio lock orders the runs of one mailbox; between processes on one machine (an agent, and a
  `check` beside it) `mailbox_lock` does.
- Waiting for a slot is counted in no phase. Where it has a limit, what was waited for is said.
- Every run passes here: where nothing is to be waited for, no time limit is set and no list kept, which would cost
  three times as much; nor is the slot a generator.
"""

import asyncio
import math
from contextlib import ExitStack

from smtpcheck.limits.mailbox_lock import MailboxLocks, offset_of


class NoSlotError(Exception):
    """No slot was free within the time; the message says what was waited for."""


class ConnectionLimit:
    """Gives each run a slot for its connection."""

    def __init__(self, max_open_connections: int, locks: MailboxLocks | None = None) -> None:
        """Allow at most `max_open_connections` at once; with `locks`, take turns with other processes too."""
        self.waiting = 0
        """How many runs wait for their slot."""
        self._most = max_open_connections
        self._slots = asyncio.Semaphore(max_open_connections)
        self._locks = locks
        self._mailboxes: dict[int, tuple[asyncio.Lock, int]] = {}

    @property
    def error(self) -> str:
        """Return why other processes are not waited for, as a sentence; empty while they are."""
        return self._locks.error if self._locks is not None else ""

    def slot(self, mailbox: str, seconds: float = math.inf) -> "_Slot":
        """Return what holds the mailbox, and then one of the open connections, between `async with` and its end.

        It raises NoSlotError after so many seconds, or where another process holds the mailbox for longer than is
        waited.
        """
        return _Slot(self, offset_of(mailbox), seconds)

    async def acquire(self, offset: int, seconds: float) -> None:
        """Acquire all that a connection of a mailbox needs, or nothing."""
        lock, is_alone = self._enter(offset)
        try:
            if is_alone and not self._slots.locked() and (self._locks is None or self._locks.try_acquire(offset)):
                await lock.acquire()  # all of it is free: nothing is waited for
                await self._slots.acquire()
            else:
                await self._wait(offset, lock, seconds)
        except BaseException:
            self._leave(offset)
            raise

    def release(self, offset: int) -> None:
        """Release what `acquire` acquired."""
        self._slots.release()
        if self._locks is not None:
            self._locks.release(offset)
        self._leave(offset).release()

    async def _wait(self, offset: int, lock: asyncio.Lock, seconds: float) -> None:
        missing = "another run of this mailbox has not ended"
        self.waiting += 1
        try:
            async with asyncio.timeout(None if seconds == math.inf else seconds):
                with ExitStack() as acquired:
                    await lock.acquire()
                    acquired.callback(lock.release)
                    if self._locks is not None:
                        missing = ""
                        await self._locks.acquire(offset)
                        acquired.callback(self._locks.release, offset)
                    missing = f"all {self._most} connections (agent.max_open_connections) are in use"
                    await self._slots.acquire()
                    acquired.pop_all()
        except TimeoutError:
            raise NoSlotError(missing or self._held_elsewhere(offset)) from None
        finally:
            self.waiting -= 1

    def _held_elsewhere(self, offset: int) -> str:
        process = self._locks.holder(offset) if self._locks is not None else None
        holder = "another process" if process is None else f"process {process}"
        return f"{holder} holds the lock of this mailbox"

    def _enter(self, key: int) -> tuple[asyncio.Lock, bool]:
        """Return the lock that all runs of one mailbox share, and whether this is the only one; it lives as long."""
        lock, users = self._mailboxes.get(key) or (asyncio.Lock(), 0)
        self._mailboxes[key] = (lock, users + 1)
        return lock, not users

    def _leave(self, key: int) -> asyncio.Lock:
        lock, users = self._mailboxes.pop(key)
        if users > 1:
            self._mailboxes[key] = (lock, users - 1)
        return lock

    def close(self) -> None:
        """Release the locks between processes."""
        if self._locks is not None:
            self._locks.close()


class _Slot:
    """The slot of one run."""

    __slots__ = ("_limit", "_offset", "_seconds")

    def __init__(self, limit: ConnectionLimit, offset: int, seconds: float) -> None:
        self._limit = limit
        self._offset = offset
        self._seconds = seconds

    async def __aenter__(self) -> None:
        await self._limit.acquire(self._offset, self._seconds)

    async def __aexit__(self, *_: object) -> None:
        self._limit.release(self._offset)
