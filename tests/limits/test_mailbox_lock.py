"""Locks between processes: released, said whose they are, and not needed for a run."""

import asyncio
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from smtpcheck.limits.connection_limit import ConnectionLimit, NoSlotError
from smtpcheck.limits.mailbox_lock import MailboxLocks, offset_of
from tests.worlds.locks import holding
from tests.worlds.waiting import HANG_SECONDS

MAILBOX = "a@x.org"
TRY = """
import asyncio, sys
from pathlib import Path
from smtpcheck.limits.mailbox_lock import MailboxLocks, offset_of
sys.exit(0 if MailboxLocks(Path(sys.argv[1])).try_acquire(offset_of(sys.argv[2])) else 3)
"""


async def is_free(folder: Path) -> bool:
    """Return whether another process can lock the mailbox at once."""
    code = await asyncio.to_thread(subprocess.call, [sys.executable, "-c", TRY, str(folder), MAILBOX])
    assert code in {0, 3}
    return code == 0


@contextmanager
def locks_in(folder: Path) -> Iterator[MailboxLocks]:
    locks = MailboxLocks(folder)
    try:
        yield locks
    finally:
        locks.close()


@asynccontextmanager
async def held(locks: MailboxLocks) -> AsyncIterator[None]:
    async with asyncio.timeout(HANG_SECONDS), ConnectionLimit(1, locks).slot(MAILBOX):
        yield


async def test_a_lock_is_released_when_its_run_ends(tmp_path: Path) -> None:
    with locks_in(tmp_path) as locks:
        async with held(locks):
            assert not await is_free(tmp_path)
        assert await is_free(tmp_path)


async def test_a_run_that_is_cancelled_while_it_waits_for_a_connection_releases_its_mailbox(tmp_path: Path) -> None:
    with locks_in(tmp_path) as locks:
        connections = ConnectionLimit(1, locks)
        async with connections.slot("another@x.org"):
            with pytest.raises(NoSlotError, match="all 1 connections"):
                async with connections.slot(MAILBOX, 0.05):
                    pass
            assert await is_free(tmp_path)
        assert connections.waiting == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who holds a lock")
async def test_who_holds_a_lock_is_said(tmp_path: Path) -> None:
    with locks_in(tmp_path) as locks, holding(tmp_path, MAILBOX) as process:
        assert locks.holder(offset_of(MAILBOX)) == process.pid
        assert locks.holder(offset_of("b@x.org")) is None
        with pytest.raises(NoSlotError, match=f"process {process.pid} holds the lock of this mailbox"):
            async with ConnectionLimit(1, locks).slot(MAILBOX, 0.05):
                pass


async def test_a_lock_file_that_was_removed_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes lock the new file: what is held there too is held for them."""
    folder = tmp_path / "state" / "locks"
    with locks_in(folder) as locks:
        async with held(locks):
            shutil.rmtree(tmp_path / "state")
            monkeypatch.setattr(locks, "_look_at", 0.0)  # a second has passed
            async with ConnectionLimit(1, locks).slot("b@x.org"):
                assert not await is_free(folder)
        assert await is_free(folder)
        async with held(locks):
            assert not await is_free(folder)
    assert locks.error == ""


async def test_where_no_lock_file_can_be_made_the_runs_go_on_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").write_text("a file, where the folder should be")
    with capture_logs() as logs, locks_in(tmp_path / "state" / "locks") as locks:
        for _ in range(3):
            async with held(locks):
                assert "cannot be used" in locks.error
        assert [(log["log_level"], log["event"]) for log in logs] == [("error", locks.error)]
        (tmp_path / "state").unlink()
        monkeypatch.setattr(locks, "_retry_at", 0.0)
        async with held(locks):
            assert not await is_free(tmp_path / "state" / "locks")
        assert (locks.error, logs[-1]["log_level"]) == ("", "info")


async def test_a_file_system_without_locks_stops_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with capture_logs() as logs, locks_in(tmp_path) as locks:
        with monkeypatch.context() as patched:
            patched.setattr("fcntl.lockf", refuse)
            async with held(locks):
                assert os.strerror(errno.ENOLCK) in locks.error
        async with held(locks):
            assert locks.error == ""
    assert [log["log_level"] for log in logs] == ["error", "info"]
