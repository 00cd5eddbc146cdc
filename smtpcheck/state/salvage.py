"""What becomes of a damaged state file: what can still be read of it goes into the new one, and it is kept aside.

Rules of this file:
- Of the files that were kept aside the newest few stay: a disk that damages them does not fill up as well.
- Each table is read until its pages are unreadable; a row is copied if every value is of its column's type. What is in
  the new file already stays.
- Nothing in the damaged file is changed, and nothing in it raises anything.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from smtpcheck.state.schema import Column, tables

_TYPES: dict[str, tuple[type, ...]] = {"INTEGER": (int,), "REAL": (int, float), "TEXT": (str,), "BLOB": (bytes,)}

KEPT_ASIDE = 3
"""Damaged files that stay."""
_BESIDE = ("", "-wal", "-shm")


def put_aside(path: Path) -> Path:
    """Rename a damaged file and what SQLite keeps beside it, and return its new name. Raises OSError."""
    aside = Path(f"{path}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    path.replace(aside)
    for suffix in _BESIDE[1:]:
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").replace(f"{aside}{suffix}")
    kept = [each.name for each in path.parent.iterdir() if each.name.startswith(f"{path.name}.damaged-")]
    earlier = sorted({name.removesuffix("-wal").removesuffix("-shm") for name in kept} - {aside.name})
    for name in earlier[: 1 - KEPT_ASIDE]:
        for suffix in _BESIDE:
            with suppress(OSError):
                path.with_name(f"{name}{suffix}").unlink(missing_ok=True)
    return aside


def salvage(damaged: Path, target: sqlite3.Connection) -> int:
    """Copy what can be read of a file into a new one of this version, and return how many rows that is."""
    count = 0
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(f"{damaged.absolute().as_uri()}?mode=ro", uri=True)) as source,
    ):
        source.text_factory = _text
        for table, columns in tables().items():
            count += _copy(source, target, table, columns)
    return count


def _copy(source: sqlite3.Connection, target: sqlite3.Connection, table: str, columns: tuple[Column, ...]) -> int:
    names = ", ".join(column.name for column in columns)
    places = ", ".join("?" * len(columns))
    insert = f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({places})"  # noqa: S608 - our own names
    count = 0
    with target:
        target.execute("BEGIN IMMEDIATE")
        for row in _rows(source, f"SELECT {names} FROM {table}"):  # noqa: S608
            if all(_fits(value, column) for value, column in zip(row, columns, strict=True)):
                count += target.execute(insert, row).rowcount
    return count


def _rows(source: sqlite3.Connection, query: str) -> Iterator[tuple[object, ...]]:
    with suppress(sqlite3.Error, UnicodeError, ValueError, OverflowError):
        yield from source.execute(query)


def _fits(value: object, column: Column) -> bool:
    return not column.required if value is None else isinstance(value, _TYPES[column.type])


def _text(octets: bytes) -> str | bytes:
    """Return a text, or its octets where they are not UTF-8, which fit no column of text."""
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets
