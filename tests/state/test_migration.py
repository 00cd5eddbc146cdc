"""What interrupts a migration loses nothing: the file keeps its version, and the next start brings it to this one."""

import asyncio
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from smtpcheck.state import database, schema
from smtpcheck.state.state import FILE_NAME, State
from tests.state.test_upgrade import DUMPED_STEPS, FAILED, WARNED, file_of
from tests.worlds.kills import ROOT
from tests.worlds.waiting import HANG_SECONDS


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return version


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def found_whole(folder: Path) -> bool:
    """Return whether an agent finds in a folder what the dump has."""
    state = await State.kept(folder)
    try:
        await state.fetch(["billing", "orders", "sales"])
        billing = state.checks.get("billing")
        return (
            state.error == ""
            and len(state.checks) == 3
            and billing is not None
            and (billing.report, billing.failure, billing.runs) == (WARNED, FAILED, 2)
        )
    finally:
        await state.close()


def folders_of(folder: Path) -> list[Path]:
    """Return a state folder for each of the killed processes, with the file and the log that it left, in order."""
    made: list[Path] = []
    while (file := folder / f"{FILE_NAME}.{len(made)}").exists():
        made.append(folder / str(len(made)))
        made[-1].mkdir()
        for suffix in ("", "-wal"):
            if (left := Path(f"{file}{suffix}")).exists():
                left.rename(made[-1] / f"{FILE_NAME}{suffix}")
    return made


async def test_a_kill_at_any_statement_loses_nothing(tmp_path: Path) -> None:
    file_of(tmp_path, DUMPED_STEPS)
    original = tmp_path / FILE_NAME
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.state.killed_migrations", str(original)), cwd=ROOT
    )
    async with asyncio.timeout(HANG_SECONDS):
        assert await process.wait() == 0
    left = folders_of(tmp_path)
    assert len(left) > len(schema.STEPS) - DUMPED_STEPS
    for number, folder in enumerate(left):
        expected = len(schema.STEPS) if number == len(left) - 1 else DUMPED_STEPS
        assert version_of(folder / FILE_NAME) == expected
        assert await found_whole(folder)
        assert version_of(folder / FILE_NAME) == len(schema.STEPS)
        assert names_in(folder) <= {FILE_NAME, "sent.db"}  # and nothing put aside as damaged


async def test_a_full_disk_is_named_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks go on without their state; with room again it is all there."""
    file_of(tmp_path, DUMPED_STEPS)

    def without_room(connection: sqlite3.Connection) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        schema.migrate(connection)

    with monkeypatch.context() as patched:
        patched.setattr(database, "migrate", without_room)
        state = await State.kept(tmp_path)
        assert state.error.endswith("database or disk is full; results are kept in memory only")
        await state.close()
    assert version_of(tmp_path / FILE_NAME) == DUMPED_STEPS
    assert await found_whole(tmp_path)
