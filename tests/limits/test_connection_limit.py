"""The limit before every connection."""

import asyncio
from pathlib import Path

from smtpcheck.limits.connection_limit import ConnectionLimit
from smtpcheck.limits.mailbox_lock import MailboxLocks
from tests.worlds.locks import holding
from tests.worlds.waiting import HANG_SECONDS


class Crowd:
    """Runs that note how many of them were inside at once."""

    def __init__(self, connections: ConnectionLimit) -> None:
        self.connections = connections
        self.inside = 0
        self.most = 0

    async def run(self, mailbox: str) -> None:
        async with self.connections.slot(mailbox):
            self.inside += 1
            self.most = max(self.most, self.inside)
            await asyncio.sleep(0.001)
            self.inside -= 1


async def test_one_mailbox_has_one_connection_at_a_time() -> None:
    """However a mailbox is written, its runs follow each other."""
    crowd = Crowd(ConnectionLimit(100))
    await asyncio.gather(*(crowd.run(name) for name in ("a@x.org", "A@x.org", "a@X.ORG") * 5))
    assert crowd.most == 1


async def test_no_more_connections_than_allowed_are_open() -> None:
    """The limit holds over all mailboxes, and is used."""
    crowd = Crowd(ConnectionLimit(3))
    await asyncio.gather(*(crowd.run(f"{number}@x.org") for number in range(20)))
    assert crowd.most == 3


async def test_a_run_that_is_cancelled_while_it_waits_frees_its_place(tmp_path: Path) -> None:
    """Afterwards the mailbox is free, and nothing is remembered of it."""
    connections = ConnectionLimit(1, MailboxLocks(tmp_path))
    async with connections.slot("a@x.org"):
        waiting = asyncio.create_task(Crowd(connections).run("a@x.org"))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(HANG_SECONDS), connections.slot("a@x.org"):
        pass
    assert connections._mailboxes == {}
    connections.close()


async def test_another_process_that_holds_the_mailbox_is_waited_for(tmp_path: Path) -> None:
    """A check beside an agent waits for the agent's connection; other mailboxes are free; a dead process holds none."""
    with holding(tmp_path, "a@x.org") as holder:
        connections = ConnectionLimit(10, MailboxLocks(tmp_path))
        crowd = Crowd(connections)
        waiting = asyncio.create_task(crowd.run("a@x.org"))
        async with asyncio.timeout(HANG_SECONDS):
            await crowd.run("b@x.org")
        assert (waiting.done(), crowd.most) == (False, 1)
        holder.kill()
        async with asyncio.timeout(HANG_SECONDS):
            await waiting
        connections.close()
