"""A backup beside a process that writes: of one moment, and whole; a folder restored from it goes on where it was."""

import asyncio
import io
import os
import sqlite3
import sys
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from smtpcheck.alerts.grouping import Key, Severity, Subject
from smtpcheck.alerts.notification_log import Entry
from smtpcheck.alerts.silence import Silence
from smtpcheck.alerts.thresholds import Streak
from smtpcheck.limits.mailbox_lock import make_private
from smtpcheck.loopback.message_state import Message
from smtpcheck.model.backoff import Breaker
from smtpcheck.model.cause import Cause
from smtpcheck.oauth.token_store import Login, TokenStore
from smtpcheck.secrets.secret import Secret
from smtpcheck.state.backup import BackupError, write_backup
from smtpcheck.state.signing_key import load_signing_key
from smtpcheck.state.state import FILE_NAME, State
from tests.state.state_writer import NAMES, nth_run
from tests.worlds.kills import ROOT
from tests.worlds.samples import BILLING, refused
from tests.worlds.waiting import HANG_SECONDS

BACKUPS = 8
NOON = 20_000 * 86400.0 + 43200
FAILURE = refused(started_at=NOON)
KEY = Key(Subject.CHECK, "billing", Severity.CRITICAL, Cause.UNKNOWN)
SILENCE = Silence("0" * 12, NOON, NOON + 60, checks=("billing",), comment="x", author="eve")
LOGIN = Login(Secret("a-refresh-token"), "https://id.example.org", "client", NOON, NOON, NOON)


def backed_up(folder: Path) -> bytes:
    file = io.BytesIO()
    write_backup(folder, file)
    return file.getvalue()


def restored(backup: bytes, folder: Path) -> Path:
    """Extract a backup as a user does."""
    with tarfile.open(fileobj=io.BytesIO(backup)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@asynccontextmanager
async def writer(folder: Path) -> AsyncIterator[None]:
    """Have another process record runs as quickly as it can."""
    make_private(folder)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.state.state_writer", str(folder)), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout
        async with asyncio.timeout(HANG_SECONDS):
            assert await process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.kill()
        await process.wait()


async def test_a_backup_beside_a_running_agent_is_of_one_moment(tmp_path: Path) -> None:
    """Each check is as after some run, all within one run of each other, and no backup is older than the one before."""
    backups: list[bytes] = []
    async with writer(tmp_path / "state"):
        while len(backups) < BACKUPS:
            await asyncio.sleep(0.3)
            backups.append(await asyncio.to_thread(backed_up, tmp_path / "state"))
    replayed, before = State(), 0
    for number, backup in enumerate(backups):
        state = await State.kept(restored(backup, tmp_path / str(number)))
        assert state.error == ""
        await state.fetch(NAMES)
        runs = [state.checks[name].runs for name in NAMES if name in state.checks]
        assert runs == sorted(runs, reverse=True)
        assert not runs or runs[0] - runs[-1] <= 1
        for name, known in state.checks.items():
            done = replayed.checks[name].runs if name in replayed.checks else 0
            for run in range(done, known.runs):
                replayed.record(replace(BILLING, name=name), nth_run(name, run + 1))
            assert structs.replace(known, packed_hours=b"") == structs.replace(replayed.checks[name], packed_hours=b"")
        assert sum(runs) >= before
        before = sum(runs)
        await state.close()
    assert before > 0


async def test_what_was_backed_up_is_there_again(tmp_path: Path) -> None:
    """Counts and history, back-offs, alerts, silences, messages under way with the key that knows them, and logins."""
    folder = tmp_path / "state"
    make_private(folder)
    state = await State.kept(folder)
    state.record(BILLING, FAILURE)
    state.alerts.put_streaks("billing", {"failure": Streak(KEY, KEY)})
    state.alerts.put_entries("hook", {KEY: Entry(NOON, FAILURE.findings, ("billing",), NOON)})
    state.outbox.keep(Message("billing", 7, 3, "id@example.org", "a@example.org", NOON), NOON)
    state.outbox.keep_sending("billing", FAILURE, Breaker(1, NOON + 60))
    state.silences.put(SILENCE)
    key = load_signing_key(folder)
    TokenStore(folder / "tokens").file("anna").write(LOGIN)
    await state.alerts.streaks()  # all that was put is in the file
    backup = await asyncio.to_thread(backed_up, folder)
    await state.close()

    other = restored(backup, tmp_path / "other")
    again = await State.kept(other)
    await again.fetch(["billing"])
    assert again.error == ""
    assert again.checks["billing"].failure == state.checks["billing"].failure
    assert (again.checks["billing"].runs, again.checks["billing"].breaker) == (1, state.checks["billing"].breaker)
    assert await again.alerts.streaks() == {"billing": {"failure": Streak(KEY, KEY)}}
    assert (await again.alerts.entries())["hook"][KEY].notified_at == NOON
    record, earlier = again.outbox.records["billing"], state.outbox.records["billing"]
    assert (record.sequence, record.slot, record.breaker) == (earlier.sequence, earlier.slot, earlier.breaker)
    assert [(each.mark, each.message_id) for each in record.messages] == [("id@example.org", "a@example.org")]
    assert await again.silences.fetch(NOON) == (SILENCE,)
    assert load_signing_key(other) == key
    assert TokenStore(other / "tokens").file("anna").read() == LOGIN
    await again.close()


async def test_files_keep_their_owner_and_mode_and_locks_stay_out(tmp_path: Path) -> None:
    state = await State.kept(tmp_path)
    load_signing_key(tmp_path)
    TokenStore(tmp_path / "tokens").file("anna").write(LOGIN)
    (tmp_path / "tokens" / "anna.agent").touch()
    await state.close()
    backup = backed_up(tmp_path)
    with tarfile.open(fileobj=io.BytesIO(backup)) as archive:
        members = {each.name: (each.mode, each.uid) for each in archive}
    mine = (0o600, os.getuid())
    assert members == {FILE_NAME: mine, "loopback.key": mine, "tokens/anna.token": mine}


def test_the_copy_is_gone_afterwards(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / FILE_NAME).close()
    backed_up(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == [FILE_NAME]


def test_without_a_state_there_is_no_backup(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="there is no state file"):
        backed_up(tmp_path)


async def test_a_damaged_state_is_no_backup(tmp_path: Path) -> None:
    """Not even one that looks whole: a page in the middle is gone."""
    state = await State.kept(tmp_path)
    state.record(BILLING, FAILURE)
    await state.close()
    path = tmp_path / FILE_NAME
    with sqlite3.connect(path) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    octets = bytearray(path.read_bytes())
    octets[size : 2 * size] = b"\xff" * size
    path.write_bytes(octets)
    with pytest.raises(BackupError, match="cannot be read"):
        backed_up(tmp_path)
