"""Locks per mailbox between the processes that share a state folder.

Rules of this file:
- A byte of one lock file represents the mailbox, locked by fcntl(2): ten thousand mailboxes need one file, and a
  process that dies leaves no lock behind. Two mailboxes that share a byte wait for each other, which is safe.
- fcntl(2) does not notify a waiter without a thread that blocks, so the lock is polled.
- Where the file cannot be used nothing is locked and nothing waits: `error` and the log say so, and it is tried again.
- A file that was removed is opened again, and what is held is locked in the new one: other processes lock that.
- On Windows no agent runs beside a check, and there are no locks between processes.
"""

import asyncio
import errno
import hashlib
import math
import os
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

import structlog

if sys.platform != "win32":
    import fcntl

RETRY_SECONDS = 10.0
"""How long after a failure the lock file is tried again."""
LOOK_SECONDS = 1.0
"""How often it is looked whether the lock file was removed."""
_POLL_SECONDS = 0.05
_SPAN = 1 << 40
_BUSY = frozenset({errno.EACCES, errno.EAGAIN})
_FLOCK = struct.Struct("hhqqi4x")
"""`struct flock` of Linux on 64 bits: type, whence, start, length, process."""
_log = structlog.get_logger(__name__)


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for their owner alone. Raises OSError."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)


class MailboxLocks:
    """Locks per mailbox between the processes that share a state folder."""

    def __init__(self, folder: Path, longest_wait: float = math.inf) -> None:
        """Use the lock file in `folder`; both are made if they are missing. No wait takes more than so many seconds."""
        self.error = ""
        """Why nothing is locked, as a sentence; empty while the lock file can be used."""
        self._path = folder / "mailboxes"
        self._longest_wait = longest_wait
        self._file: int | None = None
        self._held: set[int] = set()
        self._retry_at = self._look_at = 0.0
        self._look_for_file()

    async def acquire(self, offset: int) -> None:
        """Wait until no other process holds the byte that represents a mailbox, and lock it. Raises TimeoutError."""
        ends_at = time.monotonic() + self._longest_wait
        while not self.try_acquire(offset):
            if time.monotonic() >= ends_at:
                raise TimeoutError
            await asyncio.sleep(_POLL_SECONDS)

    def release(self, offset: int) -> None:
        """Release what `acquire` locked."""
        if offset not in self._held:
            return
        self._held.discard(offset)
        if sys.platform != "win32" and self._file is not None:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, offset)

    def holder(self, offset: int) -> int | None:
        """Return the id of the other process that holds the byte, None where there is none or the system names none."""
        if sys.platform != "linux" or struct.calcsize("P") != 8 or self._file is None:
            return None
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0)
        try:
            kind, *_, process = _FLOCK.unpack(fcntl.fcntl(self._file, fcntl.F_GETLK, asked))
        except OSError:
            return None
        return int(process) if kind != fcntl.F_UNLCK and process > 0 else None

    def close(self) -> None:
        """Close the lock file; the system drops whatever was held."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def try_acquire(self, offset: int) -> bool:
        """Lock the byte that represents a mailbox, unless another process holds it; return whether nobody does."""
        if sys.platform == "win32":
            return True
        self._look_for_file()
        if self._file is None:
            return True
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
        except OSError as error:
            if error.errno not in _BUSY:
                self._failed(error)
                return True
            locked = False
        else:
            self._held.add(offset)
            locked = True
        if self.error:
            self.error = ""
            _log.info("mailboxes are locked again", file=str(self._path))
        return locked

    def _look_for_file(self) -> None:
        """Open the lock file where it is not open, or was removed."""
        now = time.monotonic()
        if self._file is not None:
            if now < self._look_at:
                return
            self._look_at = now + LOOK_SECONDS
            if os.fstat(self._file).st_nlink and os.path.exists(self._path):  # noqa: PTH110
                return
        if now < self._retry_at:
            return
        self.close()
        try:
            make_private(self._path.parent)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            self._failed(error)
            return
        if sys.platform != "win32":
            for offset in self._held:
                with suppress(OSError):  # another process has it by now
                    fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)

    def _failed(self, error: OSError) -> None:
        """Go on without locks for a while; what is held stays so."""
        self._retry_at = time.monotonic() + RETRY_SECONDS
        reason = (
            f"the lock file {self._path} cannot be used: {error.strerror or error}; a command beside this agent does "
            "not wait for its connections"
        )
        if reason != self.error:
            self.error = reason
            _log.error(reason)


def offset_of(mailbox: str) -> int:
    """Return the offset of the byte that represents the mailbox in the lock file."""
    return int.from_bytes(hashlib.sha256(mailbox.casefold().encode()).digest()[:8], "big") % _SPAN
