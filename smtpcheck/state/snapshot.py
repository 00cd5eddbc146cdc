"""The state file as it was at one moment, beside an agent that has it open.

Rules of this file:
- An agent has its file for itself, so a copy is made: of the file and of the log beside it (WAL), which together are a
  state of the database as long as the log was not begun again meanwhile (https://www.sqlite.org/walformat.html).
- The copy takes as much room as the file, for as long as it is used.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TRIES = 10
"""How often a copy is begun again because the log was."""
_LOG_HEADER = 32
"""Octets, which change when the log is begun again."""


@contextmanager
def snapshot(path: Path) -> Iterator[Path]:
    """Yield a copy of a database, with its log beside it, that is gone afterwards. Raises OSError."""
    with tempfile.TemporaryDirectory(prefix="snapshot-", dir=_place(path.parent)) as folder:
        yield _copied(path, Path(folder))


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
