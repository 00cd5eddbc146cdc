"""Locks per mailbox between the processes that share a state folder.

Rules of this file:
- A byte of one lock file represents the mailbox, locked by fcntl(2): ten thousand mailboxes need one file, and a
  process that dies leaves no lock behind. Two mailboxes that share a byte wait for each other, which is safe.
- fcntl(2) does not notify a waiter without a thread that blocks, so the lock is polled.
- On Windows no agent runs beside a check, and there are no locks between processes.
"""

import asyncio
import errno
import hashlib
import os
import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_RETRY_SECONDS = 0.05
_SPAN = 1 << 40


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for their owner alone. Raises OSError."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)


class MailboxLocks:
    """Locks per mailbox between the processes that share a state folder."""

    def __init__(self, folder: Path) -> None:
        """Open the lock file in `folder`, which is made if it is missing. Raises OSError where that is refused."""
        make_private(folder)
        self._file = os.open(folder / "mailboxes", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    async def acquire(self, offset: int) -> None:
        """Wait until no other process holds the byte that represents a mailbox, and lock it."""
        while not self._try(offset):  # noqa: ASYNC110
            await asyncio.sleep(_RETRY_SECONDS)

    def release(self, offset: int) -> None:
        """Release what `acquire` locked."""
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


def offset_of(mailbox: str) -> int:
    """Return the offset of the byte that represents the mailbox in the lock file."""
    return int.from_bytes(hashlib.sha256(mailbox.casefold().encode()).digest()[:8], "big") % _SPAN
