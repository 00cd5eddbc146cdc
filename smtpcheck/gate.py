"""The gate before every connection: a limit on open connections, and one connection at a time per mailbox.

Rules of this file:
- Exchange Online allows three connections per mailbox; a probe beside the sending application takes one at most.
- Inside a process an asyncio lock orders the runs of one mailbox. Between processes on one machine (an agent, and a
  `check` beside it) a byte of one lock file stands for the mailbox, locked by fcntl(2): ten thousand mailboxes need
  one file, and a process that dies leaves no lock behind. Two mailboxes that share a byte wait for each other, which
  is safe. fcntl(2) tells nobody when a byte comes free without a thread that waits, so it is tried again.
- On Windows no agent runs beside a check, and there are no locks between processes.
- Waiting for the gate is counted in no phase.
- Every run passes here: `admitted` is one context manager and not three in each other, which would cost twice as much.
"""

import asyncio
import errno
import hashlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_RETRY_SECONDS = 0.05
_SPAN = 1 << 40


class NotAdmittedError(Exception):
    """The wait for the gate was longer than it might be."""


class MailboxLocks:
    """Locks per mailbox between the processes that share a state folder."""

    def __init__(self, folder: Path) -> None:
        """Open the lock file in `folder`, which is made if it is missing. Raises OSError where that is refused."""
        folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(folder / "mailboxes", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @asynccontextmanager
    async def hold(self, mailbox: str) -> AsyncIterator[None]:
        """Wait until no other process holds the mailbox's lock, and hold it meanwhile."""
        offset = _offset(mailbox)
        await self.acquire(offset)
        try:
            yield
        finally:
            self.release(offset)

    async def acquire(self, offset: int) -> None:
        """Wait until no other process holds the byte that stands for a mailbox, and take it."""
        while not self._try(offset):  # noqa: ASYNC110
            await asyncio.sleep(_RETRY_SECONDS)

    def release(self, offset: int) -> None:
        """Give back what `acquire` took."""
        if sys.platform != "win32":
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, offset)

    def _try(self, offset: int) -> bool:
        if sys.platform == "win32":
            return True
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
        except OSError as error:
            if error.errno in {errno.EACCES, errno.EAGAIN}:
                return False
            raise
        return True

    def close(self) -> None:
        """Close the lock file; the system drops whatever was held."""
        os.close(self._file)


class Gate:
    """Admits a run to its connection."""

    def __init__(self, max_open_connections: int, locks: MailboxLocks | None = None) -> None:
        """Admit at most `max_open_connections` at once; with `locks`, mind the other processes too."""
        self._places = asyncio.Semaphore(max_open_connections)
        self._locks = locks
        self._mailboxes: dict[int, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def admitted(self, mailbox: str) -> AsyncIterator[None]:
        """Hold the mailbox, and then one place among the open connections."""
        offset = _offset(mailbox)
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
async def in_time(admission: AbstractAsyncContextManager[None], seconds: float) -> AsyncIterator[None]:
    """Hold an admission that is waited for at most so long. Raises NotAdmittedError."""
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(seconds):
                await stack.enter_async_context(admission)
        except TimeoutError:
            raise NotAdmittedError from None
        yield


def _offset(mailbox: str) -> int:
    return int.from_bytes(hashlib.sha256(mailbox.casefold().encode()).digest()[:8], "big") % _SPAN
