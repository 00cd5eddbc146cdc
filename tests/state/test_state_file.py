"""What outlives a restart, and what happens when the disk does not do what it should."""

import asyncio
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from smtpcheck.limits.mailbox_lock import MailboxLocks
from smtpcheck.limits.send_limits import Limits
from smtpcheck.model.backoff import LONGEST, Breaker
from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome, Report
from smtpcheck.state import database, schema
from smtpcheck.state import state as state_module
from smtpcheck.state.database import Database, InUseError, NotKeptError, Write
from smtpcheck.state.history import DAY_SECONDS, Day, Hour
from smtpcheck.state.state import FILE_NAME, KEEP_DAYS, State
from tests.state.test_state import CHECK, full_report, run
from tests.worlds.waiting import HANG_SECONDS, until

ROOT = Path(__file__).parent.parent.parent
NOON = 20_000 * DAY_SECONDS + 12 * 3600.0


@asynccontextmanager
async def kept(folder: Path, *names: str, wall: Callable[[], float] = time.time) -> AsyncIterator[State]:
    """Keep the state in a folder until the block ends, and know of these checks what the file knows."""
    state = await State.kept(folder, wall)
    await state.fetch(names or ("billing",))
    try:
        yield state
    finally:
        await state.close()


@asynccontextmanager
async def holding(state: State) -> AsyncIterator[asyncio.Task[None]]:
    """Keep the state's thread from doing anything else until the block ends, with a job that the task waits for."""
    begun, released = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        released.wait(20)

    assert state._file
    in_hand = asyncio.create_task(state._file._call(hold))
    assert await asyncio.to_thread(begun.wait, 20)
    try:
        yield in_hand
    finally:
        released.set()
        await asyncio.wait([in_hand])


def rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    """Return what another program reads from the file, when no agent has it."""
    connection = sqlite3.connect(folder / FILE_NAME)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def damaged(folder: Path) -> list[str]:
    """Return the names of the files that were kept aside, without their time."""
    return sorted(path.name.split("-2")[0] for path in folder.iterdir() if "damaged" in path.name)


def overwrite(path: Path) -> None:
    """Destroy all of a file but its first page, as a bad disk does."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))


FAILURE = replace(full_report("billing"), started_at=NOON - 120)
"""With every part that a report can have."""
HISTORIES = [
    [run(NOON)],
    [FAILURE],
    [run(NOON - 180), FAILURE, replace(FAILURE, started_at=NOON - 60)],
    [run(NOON - 180), FAILURE, run(NOON - 60), run(NOON, Outcome.WARNING)],
    [FAILURE, run(NOON - 60, Outcome.UNKNOWN, Cause.AGENT_CUT_OFF), run(NOON)],
    [FAILURE, *(replace(FAILURE, started_at=NOON - 60 + number) for number in range(5))],
    [run(NOON - DAY_SECONDS), run(NOON)],
]


@pytest.mark.parametrize("reports", HISTORIES)
async def test_all_that_was_known_of_a_check_is_known_after_a_restart(tmp_path: Path, reports: list[Report]) -> None:
    """At whatever run the agent is stopped, and it goes on from there as if it had never been stopped."""
    in_memory = State()
    for report in reports:
        expected = in_memory.record(CHECK, report)
        async with kept(tmp_path) as state:
            state.record(CHECK, report)
        async with kept(tmp_path) as state:
            assert dict(state.checks) == {"billing": expected}
            assert (state.checks["billing"].failure is state.checks["billing"].report) == (
                expected.failure is expected.report
            )


async def test_what_is_recorded_is_in_the_file_within_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a stop in good order."""
    monkeypatch.setattr(state_module, "_CHECK", replace(state_module._CHECK, every=0.05))
    async with kept(tmp_path) as state:
        for number in range(5):
            state.record(CHECK, run(NOON + number))
        file = state._file
        assert file
        await until(lambda: not any(file._pending.get(write) for write in (state_module._CHECK, state_module._FAILURE)))
        assert await file.read("SELECT name, runs FROM checks") == [("billing", 5)]


async def test_of_several_rows_with_one_key_only_the_last_is_made(tmp_path: Path) -> None:
    made = []

    def row(number: int) -> tuple[str]:
        made.append(number)
        return (f"check-{number}",)

    write = Write("INSERT INTO failures (name, report) VALUES (?, x'')", every=30.0)
    async with kept(tmp_path) as state:
        file = state._file
        assert file
        file._due[write.every] = float("inf")
        for number in range(3):
            file.put((write, "billing", partial(row, number)))
    assert made == [2]
    assert rows(tmp_path, "SELECT name FROM failures") == [("check-2",)]


async def test_the_history_of_days_is_kept(tmp_path: Path) -> None:
    async with kept(tmp_path) as state:
        state.record(CHECK, run(NOON - DAY_SECONDS))
        state.record(CHECK, run(NOON - DAY_SECONDS + 1, Outcome.CRITICAL))
    async with kept(tmp_path) as state:
        state.record(CHECK, run(NOON))
    async with kept(tmp_path) as state:
        state.record(CHECK, run(NOON + 3600))
        none, one, two = Hour(0, 0, 0, 0.0, 0.0), Hour(1, 0, 0, 0.25, 0.25), Hour(2, 1, 0, 0.5, 0.25)
        assert await state.days("billing") == (
            Day(19_999, (none,) * 12 + (two,) + (none,) * 11),
            Day(20_000, (none,) * 12 + (one,) * 2 + (none,) * 10),
        )
        assert await state.days("nobody") == ()


async def test_a_clock_set_back_over_midnight_replaces_no_day_of_history(tmp_path: Path) -> None:
    """The day before goes on where it was, and so does the day after it once its midnight has come again."""
    midnight = 20_000 * DAY_SECONDS
    async with kept(tmp_path) as state:
        for seconds in (-7200.0, -3600.0, 60.0, 120.0):
            state.record(CHECK, run(midnight + seconds))
    async with kept(tmp_path) as state:
        state.record(CHECK, run(midnight - 1800.0))
        assert [runs_of(each) for each in await state.days("billing")] == [{22: 1, 23: 1}]
    async with kept(tmp_path) as state:
        state.record(CHECK, run(midnight - 1740.0, Outcome.CRITICAL))
        state.record(CHECK, run(midnight + 180.0))
        state.record(CHECK, run(midnight + 4000.0))
        await state.fetch(["another"])  # waits for the file
        assert [runs_of(each) for each in await state.days("billing")] == [{22: 1, 23: 2}, {0: 2, 1: 1}]
    assert rows(tmp_path, "SELECT count(*) FROM days") == [(2,)]


def runs_of(day: Day) -> dict[int, int]:
    """Return how many runs each hour of a day has, of those that have any."""
    return {number: hour.runs for number, hour in enumerate(day.hours) if hour.runs}


async def test_without_a_file_the_present_day_is_known() -> None:
    state = State()
    state.record(CHECK, run(NOON))
    assert [each.day for each in await state.days("billing")] == [20_000]


async def test_a_check_that_comes_back_finds_its_counts(tmp_path: Path) -> None:
    """It leaves memory at once with its reload, and the file only after a time."""
    async with kept(tmp_path) as state:
        before = state.record(CHECK, run(NOON))
        state.only(["another"])
        assert dict(state.checks) == {}
        await state.fetch(["billing", "another"])
        assert dict(state.checks) == {"billing": before}


async def test_what_is_too_old_is_dropped(tmp_path: Path) -> None:
    old = NOON - (KEEP_DAYS + 1) * DAY_SECONDS
    gone, failing = replace(CHECK, name="gone"), replace(CHECK, name="failing")
    async with kept(tmp_path) as state:
        for check, report in (
            (gone, replace(FAILURE, check="gone", started_at=old)),
            (gone, replace(run(old + 1), check="gone")),
            (failing, replace(FAILURE, check="failing")),
            (failing, replace(run(NOON), check="failing")),
            (CHECK, run(old)),
            (CHECK, run(NOON)),
        ):
            state.record(check, report)
    async with kept(tmp_path) as state:
        state.forget_old(NOON)
    assert rows(tmp_path, "SELECT name FROM checks ORDER BY name") == [("billing",), ("failing",)]
    assert rows(tmp_path, "SELECT name FROM failures") == [("failing",)]
    assert rows(tmp_path, "SELECT name, day FROM days ORDER BY name") == [("billing", 20_000), ("failing", 20_000)]


async def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    async with kept(tmp_path) as state:
        state.record(CHECK, run(NOON))
        await state.fetch(["another"])
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}  # noqa: ASYNC240
    assert modes == {FILE_NAME: 0o600, f"{FILE_NAME}-wal": 0o600}


async def test_an_open_breaker_is_written_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill must not make the next start refused again."""
    monkeypatch.setattr(state_module, "_CHECK", replace(state_module._CHECK, every=1e6))
    async with kept(tmp_path) as state:
        state.record(CHECK, run(NOON))
        file = state._file
        assert file
        await until(lambda: not file._pending.get(state_module._CHECK))
        locked = replace(FAILURE, cause=Cause.ACCOUNT_LOCKED)
        assert state.record(CHECK, locked).breaker == Breaker(1, NOON - 118 + 900)
        await until(lambda: not file._pending.get(state_module._CHECK))
        state.record(CHECK, replace(locked, started_at=NOON, outcome=Outcome.UNKNOWN))
        await asyncio.sleep(0.1)
        assert file._pending[state_module._CHECK]


WRONG = 160 * DAY_SECONDS
"""How far ahead a clock was."""


async def test_a_back_off_of_a_wrong_clock_is_bounded_after_a_restart(tmp_path: Path) -> None:
    """Once, and not again with each restart."""
    async with kept(tmp_path) as state:
        state.record(CHECK, replace(FAILURE, cause=Cause.ACCOUNT_LOCKED, started_at=NOON + WRONG))
        state.outbox.keep_sending("billing", FAILURE, Breaker(1, NOON + WRONG))
    expected = Breaker(1, NOON + LONGEST)
    for later in (0.0, 3600.0):
        async with kept(tmp_path, wall=partial(float, NOON + later)) as state:
            assert state.checks["billing"].breaker == state.breaker("billing") == expected
            assert state.outbox.records["billing"].breaker == expected


async def test_a_back_off_is_bounded_when_the_clock_is_set_back() -> None:
    now = [NOON + WRONG]
    state = State(wall=lambda: now[0])
    state.record(CHECK, replace(FAILURE, cause=Cause.ACCOUNT_LOCKED, started_at=now[0]))
    assert state.breaker("billing") == Breaker(1, NOON + WRONG + FAILURE.seconds + 900)
    now[0] = NOON
    assert state.breaker("billing") == Breaker(1, NOON + LONGEST)
    now[0] = NOON + 60
    assert state.breaker("billing") == state.checks["billing"].breaker == Breaker(1, NOON + LONGEST)


# ---------------------------------------------------------------------------------------------------------------------
# Errors


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


async def test_a_file_that_is_damaged_while_the_agent_runs_loses_nothing_that_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new file holds every check, the last failures too."""
    monkeypatch.setattr(database, "_CACHE_KIB", 16)
    monkeypatch.setattr(state_module, "_CHECK", replace(state_module._CHECK, every=0.0))
    names = [f"check-{number}" for number in range(300)]
    async with kept(tmp_path) as state:
        for name in names:
            state.record(replace(CHECK, name=name), replace(FAILURE, check=name))
            state.record(replace(CHECK, name=name), replace(run(NOON), check=name))
        file = state._file
        assert file
        assert await file.read("PRAGMA wal_checkpoint(TRUNCATE)") == [(0, 0, 0)]
        overwrite(tmp_path / FILE_NAME)
        state.record(replace(CHECK, name="check-7"), replace(run(NOON), check="check-7"))
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
from tests.state.test_state import CHECK, run

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
        assert await state.may_send("billing@example.org", "example.org", NOON) == NOON + database.RETRY_SECONDS
    assert (tmp_path / FILE_NAME).read_bytes() == b"a backup"


def test_folders_and_files_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    folder = tmp_path / "above" / "state"

    async def work(locks: MailboxLocks) -> None:
        async with kept(folder) as state:
            state.record(CHECK, run(NOON))
        os.close(locks._file)

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
        assert dict(state.checks) == {"billing": replace(expected, report=outline, failure=outline)}


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
        assert await state.may_send(*asked) == NOON + database.RETRY_SECONDS
        assert state._caps.until(*asked) is None
