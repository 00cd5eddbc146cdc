"""One world from its seed: what came of it."""

import gc
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.simulation.weather import Weather
from tests.simulation.world import World

WORLD_DAYS = 2.0
_WARM_UP, _TOLERATED_BLOCKS = 3, 30_000
"""After so many worlds of one process its memory has a level, and keeps to it."""
_SHARED_MEMORY = Path("/dev/shm")


@dataclass(slots=True)
class Result:
    """What came of one world."""

    seed: int
    days: float
    broken: str
    """Which invariant, and how; empty if none."""
    digest: str
    lines: list[str]
    counts: Counter[str] = field(default_factory=Counter)
    cpu_seconds: float = 0.0


def simulate(seed: int, days: float = WORLD_DAYS) -> Result:
    """Let one world happen."""
    begin = time.process_time()
    result = _simulate(seed, days)
    result.cpu_seconds = time.process_time() - begin
    gc.collect()
    _levels.append(sys.getallocatedblocks())
    if not result.broken and _levels[-1] > min(_levels[_WARM_UP:], default=_levels[-1]) + _TOLERATED_BLOCKS:
        result.broken = f"the memory of former agents is held: {_levels[-1]} blocks after {_levels[_WARM_UP:]}"
    return result


_levels: list[int] = []
"""Blocks of memory after each world of this process."""


def _simulate(seed: int, days: float) -> Result:
    shared = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        world = World(seed, Path(folder))
        begin = world.loop.virtual
        world.run(Weather(world, days).happen)
    counts = Counter({"runs": world.invariants.runs, "faults": world.conditions.counts.total(), **world.counts})
    lived = (world.loop.virtual - begin) / 86400.0
    return Result(seed, lived, world.story.broken, world.story.digest, world.story.lines, counts)
