"""The state file as it was at one moment, beside an agent that has it open.

Rules of this file:
- An agent has its file for itself, so a copy is made: of the file and of the log beside it (WAL), which together are a
  state of the database as long as the log was not begun again meanwhile (https://www.sqlite.org/walformat.html).
- The copy takes as much room as the file, for as long as it is used. It is locked meanwhile, so that what a killed
  process has left is known by its lock being free, and is removed by the next copy or the next start of an agent.
- On Windows, where no agent runs, nothing is locked and nothing left over is removed.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_PREFIX = ".smtpcheck-snapshot-"
_TRIES = 10
"""How often a copy is begun again because the log was."""
_LOG_HEADER = 32
"""Octets, which change when the log is begun again."""


@contextmanager
def snapshot(path: Path) -> Iterator[Path]:
    """Yield a copy of a database, with its log beside it, that is gone afterwards. Raises OSError."""
    place = _place(path.parent)
    remove_left_over(path.parent)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=place) as folder, ExitStack() as stack:
        with suppress(OSError):  # a file system without locks: then nothing that was left over is removed either
            stack.enter_context(_locked(Path(folder)))
        yield _copied(path, Path(folder))


def remove_left_over(folder: Path) -> None:
    """Remove the copies in a folder whose processes were killed; one that is in use stays. Never fails."""
    if sys.platform == "win32":
        return
    for left in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError), _locked(left):
            shutil.rmtree(left)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock a folder; the lock ends with its process (flock(2)). Raises OSError, also where another has it."""
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _copied(path: Path, folder: Path) -> Path:
    log, copy = Path(f"{path}-wal"), folder / path.name
    for _ in range(_TRIES):
        before = _header(log)
        shutil.copyfile(path, copy)
        if before:
            shutil.copyfile(log, f"{copy}-wal")
        if _header(log) == before:
            return copy
    raise OSError("it changes too fast to be copied; try again")


def _place(folder: Path) -> Path | None:
    """Return where the copy has room: beside the file, or where temporary files are where nothing may be written."""
    return folder if os.access(folder, os.W_OK) else None


def _header(log: Path) -> bytes:
    try:
        with log.open("rb") as opened:
            return opened.read(_LOG_HEADER)
    except FileNotFoundError:
        return b""
