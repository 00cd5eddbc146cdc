"""Waiting for what must come: the limit is there to end a hang, and no test depends on how soon something comes."""

import asyncio
from collections.abc import Callable

HANG_SECONDS = 120.0
"""What takes longer is considered hanging."""


async def until(condition: Callable[[], object]) -> None:
    """Return once the condition holds; fail the test when it never does."""
    async with asyncio.timeout(HANG_SECONDS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
