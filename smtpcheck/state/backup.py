"""A backup of a state folder, beside an agent that may run: one tar file, which an empty folder is restored from.

Rules of this file:
- In it are the state file as of one moment, without a log, the key of the correlation ids, and the refresh tokens as
  they are stored. Locks are of running processes; what `sent.db` counts is in the state file too.
- Each file has the owner and the mode that it has in the folder, so that who restores it as root need not know them.
- It blocks on the disk.
"""

import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO

from smtpcheck.state import signing_key
from smtpcheck.state.snapshot import snapshot
from smtpcheck.state.state import FILE_NAME

TOKENS = "tokens/*.token"


class BackupError(Exception):
    """There is no backup; the message is a sentence."""


def write_backup(folder: Path, file: IO[bytes]) -> tuple[str, ...]:
    """Write a backup of a state folder into a file, front to back, and return the names of what is in it.

    Raises BackupError where there is no state, or it cannot be read, and OSError.
    """
    path = (folder / FILE_NAME).absolute()
    if not path.exists():
        raise BackupError(f"there is no state file {path}: has an agent run with this configuration?")
    try:
        with snapshot(path) as copy, tarfile.open(fileobj=file, mode="w|") as archive:
            _make_one_file(copy)
            _add(archive, copy, like=path, name=FILE_NAME)
            for other in _others(folder):
                _add(archive, other, like=other, name=other.relative_to(folder).as_posix())
            return tuple(archive.getnames())
    except sqlite3.Error as error:
        raise BackupError(f"the state file {path} cannot be read: {error}") from error


def _make_one_file(copy: Path) -> None:
    """Bring the log of a database into its file. Raises sqlite3.Error where it is damaged."""
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise sqlite3.DatabaseError(said)


def _others(folder: Path) -> Iterator[Path]:
    key = folder / signing_key.FILE_NAME
    if key.exists():
        yield key
    yield from sorted(folder.glob(TOKENS))


def _add(archive: tarfile.TarFile, path: Path, *, like: Path, name: str) -> None:
    """Add one file, with the owner and the mode of another."""
    with path.open("rb") as opened:
        member = archive.gettarinfo(name=str(like), arcname=name)
        member.size = path.stat().st_size
        archive.addfile(member, opened)
