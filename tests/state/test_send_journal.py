"""The caps on messages hold for all who send on behalf of one state folder, at the same moment too."""

import asyncio
import json
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from smtpcheck.limits.send_limits import DAY, HOUR, Caps, Limits, Shares
from smtpcheck.model.shard import Sender
from smtpcheck.state.database import NotKeptError
from smtpcheck.state.outbox import Held
from smtpcheck.state.send_journal import FILE_NAME, SendJournal
from smtpcheck.state.sent_messages import SentMessages
from smtpcheck.state.state import State
from tests.worlds.waiting import until

NOON = 1_800_000_000.0
BILLING = ("billing@example.org", "example.org")
LIMITS = Limits(per_hour=2, per_day=3)
_RESERVE = """
import json, sys, time
from pathlib import Path
from smtpcheck.limits.send_limits import Limits
from smtpcheck.state.send_journal import SendJournal

journal = SendJournal(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
print(json.dumps([journal.reserve((1.8e9, "billing@example.org", "example.org"), Limits(7, 50)) for _ in range(5)]))
"""


def test_what_one_has_sent_counts_for_the_other(tmp_path: Path) -> None:
    one, other = SendJournal(tmp_path), SendJournal(tmp_path)
    assert one.reserve((NOON, *BILLING), LIMITS) is None
    assert other.reserve((NOON + 1, "Billing@Example.ORG", "EXAMPLE.org"), LIMITS) is None
    assert one.reserve((NOON + 2, *BILLING), LIMITS) == NOON + HOUR
    assert one.reserve((NOON + 2, "other@example.org", "example.org"), LIMITS) is None
    assert other.reserve((NOON + HOUR + 1, *BILLING), LIMITS) is None
    assert one.reserve((NOON + HOUR + 2, *BILLING), LIMITS) == NOON + DAY
    assert one.reserve((NOON + DAY + HOUR, *BILLING), LIMITS) is None


def test_what_was_not_sent_after_all_is_uncounted(tmp_path: Path) -> None:
    one, other = SendJournal(tmp_path), SendJournal(tmp_path)
    for at in (NOON, NOON + 1):
        assert one.reserve((at, *BILLING), LIMITS) is None
    one.release((NOON, *BILLING))
    one.release((NOON + 5, *BILLING))
    assert other.reserve((NOON + 2, *BILLING), LIMITS) is None
    assert other.reserve((NOON + 3, *BILLING), LIMITS) == NOON + 1 + HOUR


def test_processes_at_the_same_moment_do_not_pass_a_cap_together(tmp_path: Path) -> None:
    """Seven are allowed; four processes ask five times each, and begin together."""
    command = [sys.executable, "-c", _RESERVE, str(tmp_path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [json.loads(process.communicate()[0]) for process in processes]
    assert sum(answer is None for each in answers for answer in each) == 7


def test_nobody_decides_between_anothers_reading_and_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smtpcheck.state.send_journal.BUSY_SECONDS", 0.05)
    decide, tried = Caps.until, list[str]()

    def until(caps: Caps, mailbox: str, tenant: str, now: float, limits: Limits) -> float | None:
        if not tried:
            tried.append("by another")
            with pytest.raises(NotKeptError, match="locked"):
                SendJournal(tmp_path).reserve((now, mailbox, tenant), limits)
        return decide(caps, mailbox, tenant, now, limits)

    monkeypatch.setattr(Caps, "until", until)
    assert SendJournal(tmp_path).reserve((NOON, *BILLING), LIMITS) is None
    assert tried == ["by another"]


def test_a_shard_takes_no_more_than_its_share(tmp_path: Path) -> None:
    shares = Shares([Sender(0, *BILLING), Sender(1, *BILLING)], 1)
    journal = SendJournal(tmp_path)
    assert journal.reserve((NOON, *BILLING), Limits(2, 50), shares) is None
    assert journal.reserve((NOON, *BILLING), Limits(2, 50), shares) == NOON + HOUR


def test_a_clock_that_was_wrong_counts_for_nothing(tmp_path: Path) -> None:
    journal = SendJournal(tmp_path)
    for _ in range(2):
        assert journal.reserve((NOON + 400 * DAY, *BILLING), LIMITS) is None
    assert journal.reserve((NOON, *BILLING), LIMITS) is None


@pytest.mark.parametrize(
    "content", [b"no database at all", b"SQLite format 3\0" + bytes(200), "CREATE TABLE sent (x TEXT)"]
)
def test_a_damaged_journal_is_put_aside_and_the_next_message_is_counted(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / FILE_NAME
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with closing(sqlite3.connect(path)) as file:
            file.execute(content)
    journal = SendJournal(tmp_path)
    with capture_logs() as logs, pytest.raises(NotKeptError):
        journal.reserve((NOON, *BILLING), LIMITS)
    assert ["damaged" in line["event"] for line in logs] == [True]
    assert [each.name.startswith(f"{FILE_NAME}.damaged-") for each in tmp_path.iterdir()] == [True]
    assert journal.reserve((NOON, *BILLING), LIMITS) is None


def test_rows_of_wrong_types_count_for_nothing(tmp_path: Path) -> None:
    journal = SendJournal(tmp_path)
    journal.add([])
    with closing(sqlite3.connect(journal.path)) as file, file:
        for row in [
            ("soon", *BILLING),
            (NOON, b"\xff", "example.org"),
            (NOON, BILLING[0], b"\xfe"),
            (float("inf"), *BILLING),
        ]:
            file.execute("INSERT INTO sent VALUES (?, ?, ?)", row)
    assert journal.reserve((NOON, *BILLING), LIMITS) is None


def test_where_it_cannot_be_written_nothing_is_sent(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(NotKeptError, match=FILE_NAME):
        SendJournal(tmp_path).reserve((NOON, *BILLING), LIMITS)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotKeptError):
        SendJournal(tmp_path / "file").reserve((NOON, *BILLING), LIMITS)


def test_to_prove_that_it_can_be_written_is_to_write(tmp_path: Path) -> None:
    """On a full disk a transaction that changes nothing succeeds. The file counts its changes (its header, at 24)."""
    journal = SendJournal(tmp_path)
    journal.add([])
    before = journal.path.read_bytes()[24:28]
    journal.prove_writable()
    assert journal.path.read_bytes()[24:28] != before
    assert journal.reserve((NOON, *BILLING), Limits(per_hour=1, per_day=1)) is None


async def test_a_disk_that_has_room_again_is_noticed_without_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smtpcheck.state.sent_messages.RETRY_SECONDS", 0.01)
    (tmp_path / FILE_NAME).mkdir()
    sent = SentMessages(SendJournal(tmp_path))
    for _ in range(2):
        with pytest.raises(NotKeptError):
            await sent.confirm((NOON, *BILLING), LIMITS)
    await asyncio.sleep(0.1)
    assert FILE_NAME in sent.error
    (tmp_path / FILE_NAME).rmdir()
    await until(lambda: not sent.error)
    assert await sent.confirm((NOON, *BILLING), LIMITS) is None
    assert [task for task in asyncio.all_tasks() if task.get_name() == "journal"] == []


async def test_at_its_end_the_journal_is_tried_no_more(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    sent = SentMessages(SendJournal(tmp_path))
    with pytest.raises(NotKeptError):
        await sent.confirm((NOON, *BILLING), LIMITS)
    sent.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [task for task in asyncio.all_tasks() if task.get_name() == "journal"] == []


def test_another_that_writes_is_waited_for_only_so_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smtpcheck.state.send_journal.BUSY_SECONDS", 0.05)
    journal = SendJournal(tmp_path)
    journal.add([])
    with closing(sqlite3.connect(journal.path, isolation_level=None)) as file:
        file.execute("BEGIN IMMEDIATE")
        with pytest.raises(NotKeptError, match="locked"):
            journal.reserve((NOON, *BILLING), LIMITS)
    assert journal.reserve((NOON, *BILLING), LIMITS) is None


def test_it_is_for_its_owner_alone_and_belongs_to_the_folders(tmp_path: Path) -> None:
    """Whoever writes first: a command of root's does not take it from the agent."""
    folder = tmp_path / "state"
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, 12345, 12345)
    before = os.umask(0)
    try:
        SendJournal(folder).add([])
        SendJournal(tmp_path / "new").add([])
    finally:
        os.umask(before)
    state = (folder / FILE_NAME).stat()
    assert (stat.S_IMODE(state.st_mode), state.st_uid) == (0o600, folder.stat().st_uid)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


async def test_what_old_rows_of_the_state_file_count_counts_for_commands_from_the_start(tmp_path: Path) -> None:
    """As after an upgrade, or when the journal was removed."""
    state = await State.kept(tmp_path)
    for at in (NOON, NOON + 1):
        assert await state.may_send(*BILLING, at, LIMITS) is None
    await state.close()
    (tmp_path / FILE_NAME).unlink()
    again = await State.kept(tmp_path, lambda: NOON + 2)
    assert SendJournal(tmp_path).reserve((NOON + 2, *BILLING), LIMITS) == NOON + HOUR
    await again.close()


async def test_an_agent_whose_journal_is_removed_begins_it_again_with_what_it_knows(tmp_path: Path) -> None:
    state = await State.kept(tmp_path)
    assert await state.may_send(*BILLING, NOON, LIMITS) is None
    (tmp_path / FILE_NAME).unlink()
    assert await state.may_send(*BILLING, NOON + 1, LIMITS) is None
    assert SendJournal(tmp_path).reserve((NOON + 2, *BILLING), LIMITS) == NOON + HOUR
    await state.close()


async def test_what_a_command_has_sent_holds_the_agent_back(tmp_path: Path) -> None:
    state = await State.kept(tmp_path)
    for at in (NOON, NOON + 1):
        assert SendJournal(tmp_path).reserve((at, *BILLING), LIMITS) is None
    assert await state.may_send(*BILLING, NOON + 2, LIMITS) == NOON + HOUR
    assert await state.may_send(*BILLING, NOON + HOUR, LIMITS) is None
    await state.close()


async def test_an_agent_that_cannot_count_sends_nothing(tmp_path: Path) -> None:
    state = await State.kept(tmp_path)
    (tmp_path / FILE_NAME).mkdir()
    assert await state.may_send(*BILLING, NOON, LIMITS) is Held.NOT_KEPT
    assert FILE_NAME in state.error
    (tmp_path / FILE_NAME).rmdir()
    assert [await state.may_send(*BILLING, NOON + second, LIMITS) for second in range(3)] == [None, None, NOON + HOUR]
    assert state.error == ""
    await state.close()


async def test_names_of_receivers_are_noted_for_others_to_read(tmp_path: Path) -> None:
    journal = SendJournal(tmp_path)
    assert journal.receivers() == {}
    journal.note_receivers({"billing": "mx.example.org", "alerts": ""})
    journal.note_receivers({"billing": "mx2.example.org"})
    assert SendJournal(tmp_path).receivers() == {"billing": "mx2.example.org", "alerts": ""}
    journal.path.write_bytes(b"no database at all")
    assert journal.receivers() == {}


@pytest.mark.parametrize("step", [-30 * 86400.0, 30 * 86400.0])
async def test_when_the_clock_is_set_the_messages_are_as_old_as_before(tmp_path: Path, step: float) -> None:
    """Set back by a month, no message could be sent for a month; over a restart neither."""
    state = await State.kept(tmp_path, lambda: NOON + step)
    for at in (NOON, NOON + 1):
        assert await state.may_send(*BILLING, at, LIMITS) is None
    state.clock_set(step)
    assert await state.may_send(*BILLING, NOON + 2 + step, LIMITS) == NOON + HOUR + step
    assert await state.may_send(*BILLING, NOON + HOUR + step, LIMITS) is None
    await state.close()
    assert SendJournal(tmp_path).reserve((NOON + HOUR + 1 + step, *BILLING), LIMITS) == NOON + DAY + step
