"""What keeps an event loop of `asyncio` from its work: the CPU of its callbacks, and how late it comes to a timer."""

import asyncio
import time
from asyncio import events
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

_EVERY = 0.005


@contextmanager
def holds() -> Iterator[list[float]]:
    """Collect the seconds of CPU of every callback of the loop, in its own thread."""
    found: list[float] = []
    run = events.Handle._run

    def timed(handle: events.Handle) -> None:
        begin = time.thread_time()
        run(handle)
        found.append(time.thread_time() - begin)

    events.Handle._run = timed  # type: ignore[assignment, method-assign]
    try:
        yield found
    finally:
        events.Handle._run = run  # type: ignore[method-assign]


@asynccontextmanager
async def delays() -> AsyncIterator[list[float]]:
    """Collect by how many seconds a timer was late, every few milliseconds; waiting for the GIL is part of it."""
    found: list[float] = []

    async def watch() -> None:
        while True:
            due = time.monotonic() + _EVERY
            await asyncio.sleep(_EVERY)
            found.append(time.monotonic() - due)

    watching = asyncio.create_task(watch())
    try:
        yield found
        await asyncio.sleep(2 * _EVERY)  # what held the loop at the end counts too
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
