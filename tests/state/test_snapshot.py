"""A snapshot is whole though the log is begun again while it is copied."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from smtpcheck.state.snapshot import snapshot


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database as the agent does, with a row in its log."""
    with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE rows (number INTEGER)")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("INSERT INTO rows VALUES (1)")
        yield connection


def rows(path: Path) -> list[int]:
    with snapshot(path) as copy, closing(sqlite3.connect(copy)) as connection:
        return [number for (number,) in connection.execute("SELECT number FROM rows ORDER BY number")]


def test_what_is_in_the_log_alone_is_in_it(database: sqlite3.Connection, tmp_path: Path) -> None:
    assert rows(tmp_path / "state.db") == [1]


def test_it_is_copied_again_where_the_log_was_begun_again(
    database: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between file and log, what was in the log goes into the file, and something else into a new log."""
    real, copied = shutil.copyfile, []

    def copyfile(source: Path, target: str | Path) -> None:
        real(source, target)
        copied.append(source.name)
        if len(copied) == 1:
            database.execute("PRAGMA wal_checkpoint")
            database.execute("CREATE TABLE others (number INTEGER)")

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    assert rows(tmp_path / "state.db") == [1]
    assert copied == ["state.db", "state.db-wal"] * 2


def test_one_that_is_begun_again_without_end_is_an_error(
    database: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.copyfile

    def copyfile(source: Path, target: str | Path) -> None:
        real(source, target)
        database.execute("PRAGMA wal_checkpoint")
        database.execute("INSERT INTO rows VALUES (1)")

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    with pytest.raises(OSError, match="it changes too fast"):
        rows(tmp_path / "state.db")
    assert {each.name for each in tmp_path.iterdir()} == {"state.db", "state.db-wal"}
