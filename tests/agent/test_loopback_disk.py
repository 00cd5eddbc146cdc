"""A loopback whose disk fails: nothing is sent that is not written before, and nothing is forgotten."""

import asyncio
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from smtpcheck.agent.schedule import hash_fraction
from smtpcheck.limits.send_limits import Limits
from smtpcheck.loopback.message_state import Message, Stage
from smtpcheck.loopback.timing import next_slot
from smtpcheck.model.check import Phase
from smtpcheck.sandbox.scenario import Scenario
from smtpcheck.state import database
from smtpcheck.state.database import Database
from smtpcheck.state.outbox import Outbox
from smtpcheck.state.state import FILE_NAME, State
from tests.state.test_state_file import ROOT, damaged, overwrite
from tests.worlds.loopback import PLAN, sending, setting
from tests.worlds.waiting import until

_FULL_DISK = """
import asyncio, resource, signal, sys
from pathlib import Path
from smtpcheck.state import database
from tests.worlds.loopback import PLAN, setting
from tests.worlds.waiting import until

async def main(folder):
    database.RETRY_SECONDS = 0.1
    async with setting(folder) as it:
        await it.settle()
        await it.passes(3)
        told = [len(it.world.exchange.messages)]
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
        await it.passes(PLAN.every)
        told += [len(it.world.exchange.messages), bool(it.state.error), it.record.pending(), it.loopback_status.kept]
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await until(lambda: not it.state.error)
        await it.settle()
        told += [len(it.world.exchange.messages), it.loopback_status.kept]
        await it.passes(PLAN.every)
        told += [len(it.world.exchange.messages), bool(it.state.error), it.message.sequence]
        sys.stderr.write(repr(told))

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
asyncio.run(main(Path(sys.argv[1])))
"""


async def test_a_disk_without_room_holds_messages_back_until_there_is_room_again(tmp_path: Path) -> None:
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
    assert (found.returncode, found.stderr) == (0, "[1, 1, True, 0, False, 1, True, 2, False, 2]"), found.stdout
    assert "not sent: the intent could not be written to disk" in found.stdout
    state = await State.kept(tmp_path / "state")
    await state.fetch(["healthy"])
    await state.close()
    record = state.outbox.records["healthy"]
    assert (record.sequence, [message.sequence for message in record.messages]) == (2, [1, 2])


async def test_an_intent_is_synced_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut loses none: `synchronous = FULL` syncs the write-ahead log at each commit (SQLite's manual)."""
    connect, told = sqlite3.connect, list[str]()

    def traced(*place: Any, **how: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*place, **how)
        connection.set_trace_callback(told.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    state = await State.kept(tmp_path)
    message = Message("billing", slot=900, sequence=1, mark="one", message_id="<one@x>", intended_at=time.time())
    assert await state.outbox.intend(message, "billing@x", "x", Limits(per_hour=2, per_day=2)) is None
    before = told[: next(number for number, line in enumerate(told) if line.startswith("INSERT INTO messages"))]
    assert [line for line in before if "synchronous" in line][-1] == "PRAGMA synchronous = FULL"
    await state.close()


async def test_an_intent_that_is_written_too_late_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's time was over before the disk answered: nothing was sent, and nothing is counted or uncertain."""
    commit, calls = Database.commit, []

    async def late(database: Database, *rows: Any) -> None:
        calls.append(rows)
        await commit(database, *rows)
        if len(calls) == 1:
            await asyncio.sleep(3600)

    monkeypatch.setattr(Database, "commit", late)
    scenario = Scenario("healthy", "Sends.", check={"timeout": "1s"})
    async with setting(tmp_path, replace(PLAN, limits=Limits(1, 1)), scenario) as it:
        await it.settle()
        assert it.record.sending
        assert it.record.sending.failed_step
        assert (it.record.sending.failed_step.phase, it.record.messages) == (Phase.DATA, ())
        assert (len(calls), len(it.world.exchange.messages)) == (2, 0)
        await it.passes(PLAN.every)
        assert len(it.world.exchange.messages) == 1
        await it.state.close()
        async with sending(it.world, tmp_path / "state", ahead_by=it.ahead[0]) as again:
            assert [message.sequence for message in again.record.messages] == [it.message.sequence]
            assert again.record.totals.uncertain == 0


async def test_a_file_that_is_damaged_meanwhile_resets_no_cap_and_forgets_no_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_CACHE_KIB", 16)
    folder = tmp_path / "state"
    async with setting(tmp_path) as it:
        await it.settle()
        file = it.state._file
        assert file
        assert await file.read("PRAGMA wal_checkpoint(TRUNCATE)") == [(0, 0, 0)]
        overwrite(folder / FILE_NAME)
        with capture_logs() as logs:
            for _ in range(6):
                await it.passes(PLAN.every)
        await until(lambda: damaged(folder) != [])
        assert [log["log_level"] for log in logs if "damaged" in log["event"]] == ["error"]
        sent = len(it.world.exchange.messages)
        assert sent >= 5
        await it.state.close()
        async with sending(it.world, folder, ahead_by=it.ahead[0]) as again:
            assert {message.slot for message in it.record.messages} == {
                message.slot for message in again.record.messages
            }
            assert again.record.sequence == it.record.sequence
            counted = again.state._sent.caps.counted()
            assert len(counted) >= sent
            assert again.state.outbox.until(
                again.check.mailbox, again.kit.tenant(again.check), again.now(), Limits(1000, sent)
            )
            assert all(
                message.stage in {Stage.ACCEPTED, Stage.DELIVERED, Stage.LOST} for message in again.record.messages
            )


@pytest.mark.parametrize("delete", [True, False])
async def test_what_was_found_is_on_the_disk_before_it_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delete: bool
) -> None:
    """A kill in between would count it a second time; a disk that fails keeps nothing from being reported."""
    reported: list[int] = []
    written = Outbox.is_on_disk

    async def watched(outbox: Outbox) -> bool:
        reported.append(len(it.arrived))
        return await written(outbox)

    async with setting(tmp_path, replace(PLAN, delete=delete)) as it:
        await it.settle()
        monkeypatch.setattr(Outbox, "is_on_disk", watched)
        it.changed.clear()
        await it.passes(3)
        assert (reported[:1], len(it.arrived), it.record.totals.found) == ([0], 1, 1)
        assert it.changed == [it.check.name] * len(it.changed) != []


async def test_a_day_has_no_more_messages_than_slots_though_the_first_is_sent_between_two(tmp_path: Path) -> None:
    """The slot after it stays free."""
    plan = replace(PLAN, every=3600.0, limits=Limits(100, 1000))
    async with setting(tmp_path, plan) as it:
        middle = next_slot(hash_fraction(it.check.name), plan.every, time.time()) + 1800.0
        it.ahead[0] = middle - time.time()
        it.service.replace({}, {}, it.kit, first_within=0.0)
        it.service.replace({it.check.name: it.check}, {it.check.name: plan}, it.kit, first_within=0.0)
        await it.settle()
        assert len(it.world.exchange.messages) == 1
        await it.passes(1801.0)
        assert len(it.world.exchange.messages) == 1
        for _ in range(23):
            await it.passes(3600.0)
        assert len(it.world.exchange.messages) == 24
