"""Places for requests to issuers, shared so that issuers which hang do not hold up those which answer.

Rule of this file: an issuer whose last request came to no answer is slow, and all slow ones together have half of the
places. An issuer that answers is not slow, whatever it says.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from smtpcheck.model.report import TokenErrorKind

HANGING = frozenset({TokenErrorKind.TIMEOUT, TokenErrorKind.CONNECT})
"""How requests end that hold a place for as long as their time limits allow."""


class RequestSlots:
    """The places of one broker. Belongs to one event loop."""

    def __init__(self, places: int) -> None:
        """Let at most `places` requests be under way."""
        self._places = asyncio.Semaphore(places)
        self._for_slow = asyncio.Semaphore(max(places // 2, 1))
        self._slow: set[str] = set()

    @asynccontextmanager
    async def slot(self, issuer: str) -> AsyncIterator[None]:
        """Wait for a place for a request to this host, and hold it."""
        if issuer in self._slow:
            async with self._for_slow, self._places:
                yield
        else:
            async with self._places:
                yield

    def ended(self, issuer: str, *, hanging: bool) -> None:
        """Note how a request to this host ended."""
        if hanging:
            self._slow.add(issuer)
        else:
            self._slow.discard(issuer)
