"""What happens when the disk, the file or a row is not as it should be, or another agent has the file."""

import asyncio
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from msgspec import structs
from structlog.testing import capture_logs

from smtpcheck.limits.mailbox_lock import MailboxLocks
from smtpcheck.limits.send_limits import Limits
from smtpcheck.model.report import Report
from smtpcheck.state import database, schema
from smtpcheck.state import state as state_module
from smtpcheck.state.database import Database, InUseError, NotKeptError, Write
from smtpcheck.state.history import DAY_SECONDS
from smtpcheck.state.outbox import Held
from smtpcheck.state.salvage import KEPT_ASIDE
from smtpcheck.state.state import FILE_NAME, State
from tests.state.test_state_file import FAILURE, NOON, ROOT, damaged, holding, kept, overwrite, rows
from tests.worlds.samples import BILLING as CHECK
from tests.worlds.samples import run
from tests.worlds.waiting import HANG_SECONDS, until


async def test_a_damaged_file_is_kept_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this was a state file once" * 1000)
    with capture_logs() as logs:
        async with kept(tmp_path) as state:
            assert (state.error, dict(state.checks)) == ("", {})
            expected = state.record(CHECK, run(NOON))
    assert [log["log_level"] for log in logs] == ["error"]
    assert damaged(tmp_path) == [f"{FILE_NAME}.damaged"]
    async with kept(tmp_path) as state:
        assert dict(state.checks) == {"billing": expected}


def copies(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if ".damaged-" in path.name)


async def test_of_many_damaged_files_the_newest_few_stay(tmp_path: Path) -> None:
    """A disk that damages the file at each start does not fill up with copies of it."""
    for hour in range(5):
        for suffix in ("", "-wal"):
            (tmp_path / f"{FILE_NAME}.damaged-20260101T0{hour}0000Z{suffix}").write_bytes(b"")
    (tmp_path / FILE_NAME).write_bytes(b"this was a state file once" * 1000)
    async with kept(tmp_path) as state:
        assert state.error == ""
    aside = copies(tmp_path)
    earlier = [f"{FILE_NAME}.damaged-20260101T0{hour}0000Z{suffix}" for hour in (3, 4) for suffix in ("", "-wal")]
    assert aside[:4] == earlier
    assert len({name.removesuffix("-wal").removesuffix("-shm") for name in aside}) == KEPT_ASIDE


async def test_a_file_that_is_damaged_while_the_agent_runs_loses_nothing_that_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new file holds every check, the last failures too."""
    monkeypatch.setattr(database, "_CACHE_KIB", 16)
    monkeypatch.setattr(state_module, "_CHECK", replace(state_module._CHECK, every=0.0))
    names = [f"check-{number}" for number in range(300)]
    async with kept(tmp_path) as state:
        for name in names:
            state.record(replace(CHECK, name=name), structs.replace(FAILURE, check=name))
            state.record(replace(CHECK, name=name), structs.replace(run(NOON), check=name))
        file = state._file
        assert file
        assert await file.read("PRAGMA wal_checkpoint(TRUNCATE)") == [(0, 0, 0)]
        overwrite(tmp_path / FILE_NAME)
        state.record(replace(CHECK, name="check-7"), structs.replace(run(NOON), check="check-7"))
        await until(lambda: damaged(tmp_path) != [])
        expected = dict(state.checks)
    assert damaged(tmp_path)[0] == f"{FILE_NAME}.damaged"
    async with kept(tmp_path, *names) as state:
        assert dict(state.checks) == expected
        assert all(known.failure for known in expected.values())


_FULL_DISK = """
import asyncio, resource, signal, sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from smtpcheck.state import database
from smtpcheck.state import state as state_module
from smtpcheck.state.state import State
from tests.worlds.samples import BILLING as CHECK, run

async def main(folder):
    state_module._CHECK = replace(state_module._CHECK, every=0.0)
    database.RETRY_SECONDS = 0.1
    state = await State.kept(folder)
    state.record(CHECK, run(1.0))
    await state.fetch(["another"])
    assert state.error == ""
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
    number = 1.0
    while not state.error:
        number += 1
        state.record(CHECK, run(number))
        await asyncio.sleep(0.01)
    state.record(replace(CHECK, name="orders"), run(1.0))
    await asyncio.sleep(0.5)
    sys.stderr.write(state.error + "\\n")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    while state.error:
        await asyncio.sleep(0.01)
    await state.close()
    sys.stderr.write(str(state.checks["billing"].runs) + "\\n")

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
asyncio.run(main(Path(sys.argv[1])))
"""


async def test_a_disk_without_room_stops_nothing_and_is_written_when_there_is_room_again(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the system refuses the same writes."""
    found = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", _FULL_DISK, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    error, count = found.stderr.splitlines()
    assert error.startswith(f"the state file {tmp_path / FILE_NAME} cannot be used: ")
    assert [line for line in found.stdout.splitlines() if error in line and "error" in line] != []
    assert "the state is stored again" in found.stdout
    async with kept(tmp_path) as state:
        await state.fetch(["orders"])
        assert (state.checks["billing"].runs, state.checks["orders"].runs) == (int(count), 1)


async def test_a_file_that_cannot_be_opened_is_left_alone(tmp_path: Path) -> None:
    """The agent works from memory, and says so once."""
    (tmp_path / FILE_NAME).mkdir()
    with capture_logs() as logs:
        async with kept(tmp_path) as state:
            assert state.error == (
                f"the state file {tmp_path / FILE_NAME} cannot be used: [Errno 21] Is a directory: "
                f"'{tmp_path / FILE_NAME}'; results are kept in memory only"
            )
            assert state.record(CHECK, run(NOON)).runs == 1
            assert state.record(CHECK, run(NOON + 60)).runs == 2
            assert [each.day for each in await state.days("billing")] == [20_000]
            state.forget_old(NOON)
            state.only([])
            await state.fetch(["billing"])
            assert dict(state.checks) == {}
    assert [(log["log_level"], log["event"]) for log in logs] == [("error", state.error)]


async def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    async with kept(tmp_path) as state:
        state.record(CHECK, run(NOON))
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute(f"PRAGMA user_version = {len(schema.STEPS) + 1}")
    connection.close()
    before = (tmp_path / FILE_NAME).read_bytes()
    async with kept(tmp_path) as state:
        assert "written by a newer version of smtpcheck" in state.error
        state.record(CHECK, run(NOON))
    assert (tmp_path / FILE_NAME).read_bytes() == before


async def test_a_second_agent_is_refused_unless_the_first_ends_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.2)
    async with kept(tmp_path) as one:
        one.record(CHECK, run(NOON))
        with pytest.raises(InUseError):
            await State.kept(tmp_path)
        assert one.error == ""
    monkeypatch.setattr(database, "BUSY_SECONDS", 15.0)
    async with kept(tmp_path) as one:
        next_start = asyncio.create_task(State.kept(tmp_path))
        await asyncio.sleep(0.3)
        assert not next_start.done()
        await one.close()
        after = await next_start
        await after.fetch(["billing"])
        assert (after.error, after.checks["billing"].report) == ("", run(NOON))
        await after.close()


@pytest.mark.parametrize("removed", ["the folder", "the file"])
async def test_a_file_that_is_removed_is_begun_again_from_memory(tmp_path: Path, removed: str) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    with capture_logs() as logs:
        async with kept(folder) as state:
            expected = state.record(CHECK, run(NOON))
            await state.fetch(["another"])
            if removed == "the folder":
                shutil.rmtree(folder)
            else:
                (folder / FILE_NAME).unlink()
            await until((folder / FILE_NAME).exists)
            assert await state.may_send("billing@example.org", "example.org", NOON) is None
    assert [line["log_level"] for line in logs if "was removed" in line["event"]] == ["error"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    async with kept(folder) as state:
        assert dict(state.checks) == {"billing": expected}


async def test_another_file_in_its_place_is_left_alone_and_said(tmp_path: Path) -> None:
    async with kept(tmp_path) as state:
        state.record(CHECK, run(NOON))
        await state.fetch(["another"])
        (tmp_path / "other").write_bytes(b"a backup")
        (tmp_path / "other").replace(tmp_path / FILE_NAME)
        await until(lambda: "another file has taken its place" in state.error)
        assert await state.may_send("billing@example.org", "example.org", NOON) is Held.NOT_KEPT
    assert (tmp_path / FILE_NAME).read_bytes() == b"a backup"


def test_folders_and_files_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    folder = tmp_path / "above" / "state"

    async def work(locks: MailboxLocks) -> None:
        async with kept(folder) as state:
            state.record(CHECK, run(NOON))
        locks.close()

    before = os.umask(0)
    try:
        asyncio.run(work(MailboxLocks(folder / "locks")))
    finally:
        os.umask(before)
    found = sorted((path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in (tmp_path / "above").rglob("*"))
    assert found == [(False, 0o600), (False, 0o600), (True, 0o700), (True, 0o700)]
    assert stat.S_IMODE((tmp_path / "above").stat().st_mode) == 0o700


@pytest.mark.parametrize("value", [None, "\ud800", 2**70, object(), b"x" * 2_000_000])
async def test_a_row_that_the_file_refuses_is_dropped_and_holds_back_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: object
) -> None:
    """Loudly; and what comes after it is written."""
    write = Write("INSERT INTO failures (name, report) VALUES (?, ?)", every=2.0)
    with capture_logs() as logs:
        async with kept(tmp_path) as state:
            file = state._file
            assert file
            await file._call(lambda: file._connection and file._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10**6))
            for name in ("before", "bad", "after"):
                row = (name, value if name == "bad" else b"")
                file.put((write, name, partial(tuple, row)))
            state.record(CHECK, run(NOON))
            assert await file.read("SELECT name FROM failures ORDER BY name") == [("after",), ("before",)]
            assert state.error == ""
            await file.commit("INSERT INTO failures (name, report) VALUES (?, ?)", ("committed", b""))
            with pytest.raises((NotKeptError, sqlite3.IntegrityError)):
                await file.commit("INSERT INTO failures (name, report) VALUES (?, ?)", ("refused", value))
    assert [line["log_level"] for line in logs] == ["error"]
    assert rows(tmp_path, "SELECT name FROM checks") == [("billing",)]


async def test_no_bug_ends_the_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said, and the agent is unhealthy meanwhile; what waits is written afterwards."""
    monkeypatch.setattr(database, "RETRY_SECONDS", 0.01)
    async with kept(tmp_path) as state:
        file = state._file
        assert file
        with monkeypatch.context() as patch:
            patch.setattr(file, "_take", lambda *_, **__: 1 / 0)
            state.record(CHECK, run(NOON))
            await until(lambda: "ZeroDivisionError" in state.error)
        await until(lambda: not state.error)
        assert await file.read("SELECT name FROM checks") == [("billing",)]


async def test_a_report_that_cannot_be_read_costs_only_itself(tmp_path: Path) -> None:
    """What the history says of the run stands for it."""
    async with kept(tmp_path) as state:
        expected = state.record(CHECK, FAILURE)
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    with connection:
        connection.execute("UPDATE checks SET report = x'00'")
    connection.close()
    outline = Report("billing", FAILURE.started_at, FAILURE.seconds, FAILURE.outcome, cause=FAILURE.cause)
    async with kept(tmp_path) as state:
        assert dict(state.checks) == {"billing": structs.replace(expected, report=outline, failure=outline)}


async def test_an_earlier_versions_file_becomes_this_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all that is in it; a step that fails leaves the file as it was."""
    async with kept(tmp_path) as state:
        expected = state.record(CHECK, FAILURE)
    broken = (*schema.STEPS, "CREATE TABLE later (name TEXT); CREATE TABLE later (name TEXT);")
    monkeypatch.setattr(schema, "STEPS", broken)
    async with kept(tmp_path) as state:
        assert "table later already exists" in state.error
    assert rows(tmp_path, "SELECT name FROM sqlite_master WHERE name = 'later'") == []
    monkeypatch.setattr(schema, "STEPS", (*broken[:-1], "CREATE TABLE later (name TEXT);"))
    async with kept(tmp_path) as state:
        assert dict(state.checks) == {"billing": expected}
    assert rows(tmp_path, "PRAGMA user_version") == [(len(broken),)]


async def test_what_is_committed_is_in_the_file_and_what_is_not_is_an_error(tmp_path: Path) -> None:
    insert = "INSERT INTO failures (name, report) VALUES (?, ?)"
    async with kept(tmp_path) as state:
        file = state._file
        assert file
        await file.commit(insert, ("one", b""))
        with pytest.raises(sqlite3.IntegrityError):
            await file.commit(insert, ("one", b""))
    (tmp_path / "folder" / FILE_NAME).mkdir(parents=True)
    unusable = Database(tmp_path / "folder" / FILE_NAME, lambda _: None)
    await unusable.open()
    with pytest.raises(NotKeptError, match="Is a directory"):
        await unusable.commit(insert, ("two", b""))
    await unusable.close()
    assert rows(tmp_path, "SELECT name FROM failures") == [("one",)]


async def test_what_is_waited_for_no_longer_is_done_all_the_same(tmp_path: Path) -> None:
    """An agent that ends lets go of what it waits for; neither that nor what comes after it is lost."""
    insert = "INSERT INTO failures (name, report) VALUES (?, ?)"
    async with asyncio.timeout(HANG_SECONDS), kept(tmp_path) as state:
        file = state._file
        assert file
        async with holding(state) as in_hand:
            behind = asyncio.create_task(file.commit(insert, ("behind", b"")))
            await asyncio.sleep(0)
            for task in (in_hand, behind):
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
        await file.commit(insert, ("after", b""))
    assert rows(tmp_path, "SELECT name FROM failures ORDER BY name") == [("after",), ("behind",)]


async def test_a_cap_outlives_the_restart_and_a_broken_disk(tmp_path: Path) -> None:
    """What was counted is counted; where it cannot be written, nothing may be sent."""
    limits = Limits(per_hour=2, per_day=3)
    asked = ("billing@example.org", "example.org", NOON, limits)
    async with kept(tmp_path) as state:
        assert await state.may_send(*asked) is None
    async with kept(tmp_path) as state:
        assert await asyncio.gather(*(state.may_send(*asked) for _ in range(3))) == [None, NOON + 3600, NOON + 3600]
        state.forget_old(NOON + 3 * DAY_SECONDS)
    assert rows(tmp_path, "SELECT * FROM sent") == []
    (tmp_path / "folder" / FILE_NAME).mkdir(parents=True)
    async with kept(tmp_path / "folder") as state:
        assert await state.may_send(*asked) is Held.NOT_KEPT
        assert state._sent.until(*asked) is None
