"""A damaged state file: whatever it holds, the agent starts, says so, and keeps what can still be read."""

import random
import sqlite3
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs
from structlog.testing import capture_logs

from smtpcheck.alerts.grouping import Key, Severity, Subject
from smtpcheck.alerts.notification_log import Entry
from smtpcheck.alerts.thresholds import Streak
from smtpcheck.limits.send_limits import Limits
from smtpcheck.loopback.message_state import Message
from smtpcheck.model.backoff import Breaker
from smtpcheck.model.cause import Cause
from smtpcheck.state.state import FILE_NAME, State
from tests.state.test_state_file import FAILURE, NOON, damaged
from tests.worlds.samples import BILLING as CHECK
from tests.worlds.samples import run

NAMES = [f"check-{number}" for number in range(40)]
ALERTS = [Key(Subject.CHECK, name, Severity.CRITICAL, None) for name in NAMES]
LIMITS = Limits(per_hour=5, per_day=5)
FLIPS = 200


async def filled(folder: Path) -> bytes:
    """Return a state file with rows of every kind."""
    state = await State.kept(folder)
    for name, key in zip(NAMES, ALERTS, strict=True):
        check = replace(CHECK, name=name)
        state.record(check, structs.replace(FAILURE, check=name))
        state.record(check, structs.replace(run(NOON), check=name))
        state.alerts.put_streaks(name, {"failure": Streak(key, key)})
        state.alerts.put_entries("hook", {key: Entry(NOON, FAILURE.findings, (name,), NOON)})
        state.outbox.keep(Message(name, 7, 3, "id@example.org", "a@example.org", NOON), NOON)
        state.outbox.keep_sending(name, FAILURE, Breaker())
        await state.may_send(f"{name}@example.org", "example.org", NOON, LIMITS)
    await state.close()
    return (folder / FILE_NAME).read_bytes()


async def all_of(state: State) -> None:
    """Read all that an agent reads at its start and its page later."""
    await state.fetch(NAMES)
    await state.alerts.streaks()
    await state.alerts.entries()
    for name in NAMES[:5]:
        await state.days(name)
        await state.archive.outages(name)
        for failure in await state.archive.failures(name):
            await state.archive.report(name, int(failure.at))


@pytest.mark.parametrize("seed", [2026])
async def test_no_flipped_byte_keeps_the_agent_from_starting(tmp_path: Path, seed: int) -> None:
    """And what it finds out afterwards is kept, unless the file seems to be of a later version."""
    whole = await filled(tmp_path / make(tmp_path, "whole"))
    chance = random.Random(seed)
    places = [*range(100), *(chance.randrange(len(whole)) for _ in range(FLIPS))]
    for number, place in enumerate(places):
        folder = tmp_path / make(tmp_path, f"flip-{number}")
        octets = bytearray(whole)
        octets[place] ^= 1 << chance.randrange(8)
        (folder / FILE_NAME).write_bytes(octets)
        with capture_logs():
            state = await State.kept(folder)
            await all_of(state)
            count = state.record(CHECK, run(NOON + 60)).runs
            await state.close()
        if "newer version" in state.error:
            assert (folder / FILE_NAME).read_bytes() == octets
            continue
        assert state.error == "", (place, damaged(folder))
        again = await State.kept(folder)
        await again.fetch([CHECK.name])
        assert (again.error, again.checks[CHECK.name].runs) == ("", count), place
        await again.close()


def make(folder: Path, name: str) -> str:
    """Make a folder in another one, and return its name."""
    (folder / name).mkdir()
    return name


def changed(folder: Path, statement: str) -> None:
    connection = sqlite3.connect(folder / FILE_NAME)
    with connection:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE alert_entries SET alert = CAST(x'ff' || alert AS TEXT) WHERE alert LIKE '%check-7'",
        "UPDATE checks SET runs = 'many' WHERE name = 'check-7'",
        "UPDATE outages SET began = x'00' WHERE name = 'check-7'",
        "UPDATE loopbacks SET rest = 'text' WHERE name = 'check-7'",
    ],
)
async def test_a_value_that_cannot_be_costs_only_its_row(tmp_path: Path, statement: str) -> None:
    """The file is kept aside, which is said, and the new one has all the other rows."""
    await filled(tmp_path)
    changed(tmp_path, statement)
    with capture_logs() as logs:
        state = await State.kept(tmp_path)
        await all_of(state)
        entries = await state.alerts.entries()
        await state.close()
    assert len([line for line in logs if "the state file was damaged" in line["event"]]) == 1
    assert damaged(tmp_path)[0] == f"{FILE_NAME}.damaged"
    assert state.error == ""
    assert len(entries["hook"]) == (39 if "alert_entries" in statement else 40)
    assert len(state.checks) == (39 if "checks" in statement else 40)
    again = await State.kept(tmp_path)
    assert await again.alerts.entries() == entries
    assert await again.may_send("check-0@example.org", "example.org", NOON, Limits(1, 1)) is not None
    await again.close()


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:100]),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: changed(path.parent, "DROP TABLE alert_entries"),
        lambda path: changed(path.parent, "PRAGMA user_version = 3"),
        lambda path: changed(path.parent, "PRAGMA user_version = 65542"),
    ],
)
async def test_a_file_that_lacks_a_part_is_begun_again(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    await filled(tmp_path)
    damage(tmp_path / FILE_NAME)
    with capture_logs():
        state = await State.kept(tmp_path)
        await all_of(state)
        count = state.record(CHECK, run(NOON + 60)).runs
        await state.close()
    assert state.error == ""
    again = await State.kept(tmp_path)
    await again.fetch([CHECK.name])
    assert again.checks[CHECK.name].runs == count
    await again.close()


@pytest.mark.parametrize(
    ("column", "value"),
    [("history", "x'00'"), ("history", "x''"), ("history", f"x'{struct.pack('<ddBH', 9e99, -1.0, 77, 1).hex()}'")],
)
async def test_what_a_row_holds_that_is_nonsense_is_passed_over(tmp_path: Path, column: str, value: str) -> None:
    """Where the last run cannot be read either, the check begins again."""
    await filled(tmp_path)
    changed(tmp_path, f"UPDATE checks SET {column} = {value} WHERE name IN ('check-7', 'check-8')")
    changed(tmp_path, "UPDATE checks SET report = x'00' WHERE name = 'check-8'")
    changed(tmp_path, "UPDATE days SET hours = x'00' WHERE name = 'check-7'")
    with capture_logs():
        state = await State.kept(tmp_path)
        await all_of(state)
    assert state.checks["check-7"].history() == ()
    assert "check-8" not in state.checks
    assert [day.day for day in await state.days("check-7")] == [20_000]
    state.record(replace(CHECK, name="check-7"), structs.replace(run(NOON + 60, cause=Cause.TIMEOUT), check="check-7"))
    await state.close()
    assert state.error == ""
