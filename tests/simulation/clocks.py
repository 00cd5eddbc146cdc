"""The machine of a simulated agent: clocks that the world sets, and chance from its seed."""

from datetime import UTC, datetime, tzinfo
from random import Random
from typing import Any

from smtpcheck.system import System
from tests.simulation.loop import START, VirtualLoop

EPOCH = 1_790_000_000.0
"""The true time at the beginning (Unix seconds), by which servers and mailboxes go."""


class VirtualSystem(System):
    """Clocks of one machine."""

    def __init__(self, loop: VirtualLoop, chance: Random) -> None:
        self.ahead = 0.0
        """How far the wall clock is ahead of the true time."""
        self._loop, self._chance = loop, chance

    def true(self) -> float:
        """Return the true time (Unix seconds)."""
        return EPOCH + self._loop.virtual - START

    def wall(self) -> float:
        return self.true() + self.ahead

    def monotonic(self) -> float:
        return self._loop.virtual

    def octets(self, count: int) -> bytes:
        return self._chance.randbytes(count)

    def datetime(self) -> type[datetime]:
        """Return a `datetime` that reads this wall clock."""
        wall = self.wall

        class VirtualDatetime(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Any:
                return datetime.fromtimestamp(wall(), tz or UTC)

        return VirtualDatetime
