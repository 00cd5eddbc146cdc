"""The sandbox in a process of its own on the other core, so that its CPU is not in what is measured."""

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

from smtpcheck.sandbox.scenario import Scenario
from smtpcheck.sandbox.world import World as Sandbox
from tests.bench.world import SPAWN, THERE

_T = TypeVar("_T")


@contextmanager
def sandbox(
    folder: Path, scenarios: Callable[[], Iterable[Scenario]], count: Callable[[Sandbox], _T]
) -> Iterator[Callable[[], _T]]:
    """Run the scenarios in a new folder until the block ends; what is yielded returns what `count` says of the world.

    Both functions are called in the other process: they are those of a module.
    """
    folder.mkdir()
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=_serve, args=(folder, scenarios, count, THERE, there))
    process.start()

    def counted() -> _T:
        here.send(True)
        answer: _T = here.recv()
        return answer

    try:
        counted()
        yield counted
    finally:
        here.send(False)
        process.join()


def nothing(_: Sandbox) -> None:
    """Count nothing."""


def _serve(
    folder: Path,
    scenarios: Callable[[], Iterable[Scenario]],
    count: Callable[[Sandbox], object],
    core: int,
    there: Connection,
) -> None:
    os.sched_setaffinity(0, {core})

    async def serve() -> None:
        async with Sandbox(folder, scenarios()) as world:
            while await asyncio.to_thread(there.recv):
                there.send(count(world))

    asyncio.run(serve())
