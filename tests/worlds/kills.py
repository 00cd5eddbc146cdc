"""Processes that are killed at any moment, again and again."""

import asyncio
import random
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from tests.worlds.waiting import HANG_SECONDS

ROOT = Path(__file__).parent.parent.parent


def moments(
    chance: random.Random, seconds: tuple[float, float], kills: int, enough: Callable[[], bool]
) -> Iterator[float]:
    """Yield how long each process lives: so many times, and then longer and longer until enough has happened."""
    for number in count():
        rounds = number // kills
        if rounds and (enough() or rounds > 6):
            return
        yield chance.uniform(*seconds) * 2**rounds


async def killed_after(seconds: float, module: str, *arguments: object) -> None:
    """Run a module of the tests, which says when it is ready, and kill it so many seconds later."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *map(str, arguments)), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    async with asyncio.timeout(HANG_SECONDS):
        while await process.stdout.readline() != b"ready\n":
            assert process.returncode is None
    await asyncio.sleep(seconds)
    assert process.returncode is None
    process.kill()
    await process.wait()
