"""The locks between processes of a world, in memory: another process holds a mailbox now and then."""

import asyncio

from smtpcheck.limits.mailbox_lock import MailboxLocks, offset_of
from tests.simulation.faults import Conditions


class SimulatedLocks(MailboxLocks):
    """Locks of the agent, beside those of a command that somebody runs."""

    def __init__(self, conditions: Conditions) -> None:
        self.error = ""
        self.held: set[int] = set()
        self._conditions = conditions

    def try_acquire(self, offset: int) -> bool:
        if any(offset_of(each.subject) == offset for each in self._conditions.active() if each.kind == "locked"):
            return False
        self.held.add(offset)
        return True

    async def acquire(self, offset: int) -> None:
        while not self.try_acquire(offset):  # noqa: ASYNC110 - as the real one
            await asyncio.sleep(0.5)

    def release(self, offset: int) -> None:
        self.held.discard(offset)

    def holder(self, offset: int) -> int | None:
        return 4711

    def close(self) -> None:
        self.held.clear()

    def die(self) -> None:
        """Release what a killed process held."""
        self.held.clear()
