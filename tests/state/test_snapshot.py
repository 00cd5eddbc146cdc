"""A snapshot is whole though the log is begun again while it is copied."""

import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from smtpcheck.state.snapshot import remove_left_over, snapshot
from smtpcheck.state.state import State
from tests.worlds.kills import ROOT


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


_KILLED = """
import os, signal, sys
from pathlib import Path
from smtpcheck.state.snapshot import snapshot
with snapshot(Path(sys.argv[1])) as copy:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if "snapshot" in path.name]


def test_what_a_killed_process_left_is_removed_and_what_is_in_use_stays(
    database: sqlite3.Connection, tmp_path: Path
) -> None:
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path / "state.db")], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(left_over(tmp_path)) == 1
    (tmp_path / "snapshot-before-the-upgrade").mkdir()  # somebody else's
    with snapshot(tmp_path / "state.db") as copy:
        remove_left_over(tmp_path)
        assert sorted(left_over(tmp_path)) == sorted([copy.parent.name, "snapshot-before-the-upgrade"])
    assert left_over(tmp_path) == ["snapshot-before-the-upgrade"]


async def test_an_agent_that_starts_removes_it_too(tmp_path: Path) -> None:
    left = tmp_path / ".smtpcheck-snapshot-abcdefgh"
    left.mkdir()
    (left / "state.db").write_bytes(b"x")
    state = await State.kept(tmp_path)
    await state.close()
    assert not left.exists()
