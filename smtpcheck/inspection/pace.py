"""How fast a tenant is asked: one request at once and one a second, and not at all while it wants to be left alone.

Rules of this file:
- All inspectors of a tenant share its pace. It holds back inspections and nothing else: no check waits for it.
- A request that is throttled or gets no answer makes the pause longer each time, to an hour; what the provider asks to
  wait is kept to, at most for a day. A success ends it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from math import inf

from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.model.inspection import Obstacle
from smtpcheck.model.timestamp import span_text

SPACING = 1.0
"""Seconds from the end of one request to the next one."""
_FIRST, _LONGEST, _DAY = 60.0, 3600.0, 86400.0


class TenantPace:
    """The pace of one tenant. Belongs to one event loop."""

    def __init__(
        self,
        spacing: float = SPACING,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Leave `spacing` seconds between two requests."""
        self._spacing = spacing
        self._monotonic, self._sleep = monotonic, sleep
        self._lock = asyncio.Lock()
        self._ended_at = self._until = -inf
        self._failures = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait until a request may be made, and make it in the block. Raises NotReadableError while none may."""
        async with self._lock:
            self._refuse_early()
            wait = self._ended_at + self._spacing - self._monotonic()
            if wait > 0:
                await self._sleep(wait)
            try:
                yield
            finally:
                self._ended_at = self._monotonic()

    def failed(self, retry_after: float | None = None) -> None:
        """Note that a request was throttled or brought no answer."""
        self._failures += 1
        wait = min(_FIRST * 2.0 ** min(self._failures - 1, 10), _LONGEST)
        self._until = self._monotonic() + max(wait, min(retry_after or 0.0, _DAY))

    def succeeded(self) -> None:
        """Note that the provider answered."""
        self._failures, self._until = 0, -inf

    def _refuse_early(self) -> None:
        left = self._until - self._monotonic()
        if left > 0:
            raise NotReadableError(Obstacle.THROTTLED, f"the provider is left alone for {span_text(left)}")
