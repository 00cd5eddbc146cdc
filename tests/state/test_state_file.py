"""What outlives a restart, and what happens when the disk does not do what it should."""

import asyncio
import sqlite3
import stat
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from msgspec import structs

from smtpcheck.model.backoff import LONGEST, Breaker
from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome, Report
from smtpcheck.state import state as state_module
from smtpcheck.state.database import Write
from smtpcheck.state.history import DAY_SECONDS, Day, Hour
from smtpcheck.state.state import FILE_NAME, KEEP_DAYS, State
from tests.worlds.samples import BILLING as CHECK
from tests.worlds.samples import full_report, run
from tests.worlds.waiting import until

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


FAILURE = structs.replace(full_report("billing"), started_at=NOON - 120)
"""With every part that a report can have."""
HISTORIES = [
    [run(NOON)],
    [FAILURE],
    [run(NOON - 180), FAILURE, structs.replace(FAILURE, started_at=NOON - 60)],
    [run(NOON - 180), FAILURE, run(NOON - 60), run(NOON, Outcome.WARNING)],
    [FAILURE, run(NOON - 60, Outcome.UNKNOWN, Cause.AGENT_CUT_OFF), run(NOON)],
    [FAILURE, *(structs.replace(FAILURE, started_at=NOON - 60 + number) for number in range(5))],
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
        none, one, two = Hour(0, 0, 0, 0.0, 0.0), Hour(1, 0, 0, 0.5, 0.5), Hour(2, 1, 0, 1.0, 0.5)
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
            (gone, structs.replace(FAILURE, check="gone", started_at=old)),
            (gone, structs.replace(run(old + 1), check="gone")),
            (failing, structs.replace(FAILURE, check="failing")),
            (failing, structs.replace(run(NOON), check="failing")),
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
        locked = structs.replace(FAILURE, cause=Cause.ACCOUNT_LOCKED)
        assert state.record(CHECK, locked).breaker == Breaker(1, NOON - 118 + 900)
        await until(lambda: not file._pending.get(state_module._CHECK))
        state.record(CHECK, structs.replace(locked, started_at=NOON, outcome=Outcome.UNKNOWN))
        await asyncio.sleep(0.1)
        assert file._pending[state_module._CHECK]


async def test_a_breaker_that_is_closed_by_hand_stays_closed_over_a_kill(tmp_path: Path) -> None:
    async with kept(tmp_path) as state:
        state.record(CHECK, structs.replace(FAILURE, cause=Cause.ACCOUNT_LOCKED))
        assert state.breaker("billing").until
        assert state._file
        await until(lambda: not state._file or not state._file._pending.get(state_module._CHECK))
        state.close_breaker("billing")
        assert await state._file.read("SELECT refusals, backoff_until FROM checks") == [(0, None)]
        state.close_breaker("an unknown one")
        assert not state._uncounted


WRONG = 160 * DAY_SECONDS
"""How far ahead a clock was."""


async def test_a_back_off_of_a_wrong_clock_is_bounded_after_a_restart(tmp_path: Path) -> None:
    """Once, and not again with each restart."""
    async with kept(tmp_path) as state:
        state.record(CHECK, structs.replace(FAILURE, cause=Cause.ACCOUNT_LOCKED, started_at=NOON + WRONG))
        state.outbox.keep_sending("billing", FAILURE, Breaker(1, NOON + WRONG))
    expected = Breaker(1, NOON + LONGEST)
    for later in (0.0, 3600.0):
        async with kept(tmp_path, wall=partial(float, NOON + later)) as state:
            assert state.checks["billing"].breaker == state.breaker("billing") == expected
            assert state.outbox.records["billing"].breaker == expected


async def test_a_back_off_is_bounded_when_the_clock_is_set_back() -> None:
    now = [NOON + WRONG]
    state = State(wall=lambda: now[0])
    state.record(CHECK, structs.replace(FAILURE, cause=Cause.ACCOUNT_LOCKED, started_at=now[0]))
    assert state.breaker("billing") == Breaker(1, NOON + WRONG + FAILURE.seconds + 900)
    now[0] = NOON
    assert state.breaker("billing") == Breaker(1, NOON + LONGEST)
    now[0] = NOON + 60
    assert state.breaker("billing") == state.checks["billing"].breaker == Breaker(1, NOON + LONGEST)
