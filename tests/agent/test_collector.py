"""The garbage collector visits new objects only, and garbage is freed all the same; only `run` changes it."""

import gc
import subprocess
import sys
from pathlib import Path

from smtpcheck.check.kit import Kit
from smtpcheck.config import Settings
from smtpcheck.sandbox.world import World
from tests.worlds.agents import HEALTHY, running
from tests.worlds.waiting import until

FROZEN = """
import gc, weakref
from smtpcheck.agent import collector

class Cycle:
    def __init__(self):
        self.itself = self

def visited(what):
    return any(each is what for each in gc.get_objects())

collector.keep_pauses_short()
survivor, garbage = Cycle(), Cycle()
seen = weakref.ref(garbage)
print("new", visited(survivor))
gc.collect()
print("survived", visited(survivor))
del garbage
gc.collect()
print("garbage among it", seen() is not None)
collector.settle()
print("garbage after settling", seen() is not None)
print("settled", visited(survivor))
"""


def test_what_survived_is_not_visited_again_and_garbage_among_it_is_freed_at_last() -> None:
    said = subprocess.run([sys.executable, "-c", FROZEN], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == [
        "new True",
        "survived False",
        "garbage among it True",
        "garbage after settling False",
        "settled False",
    ]


async def test_an_agent_settles_at_its_start_and_not_at_a_reload(tmp_path: Path) -> None:
    settled: list[None] = []
    async with (
        World(tmp_path, HEALTHY) as world,
        running(world.config, settled=lambda: settled.append(None)) as agent,
    ):
        await until(lambda: agent.ready() and len(settled) == 1)
        assert await agent.reload() == ()
        assert len(settled) == 1


async def test_what_a_reload_replaces_is_freed_without_the_collector(tmp_path: Path) -> None:
    def held() -> int:
        return sum(isinstance(each, Settings | Kit) for each in gc.get_objects())

    async with World(tmp_path, HEALTHY) as world, running(world.config) as agent:
        await until(agent.ready)
        assert await agent.reload() == ()  # this test has the settings of the start itself
        gc.collect()
        gc.disable()
        try:
            before = held()
            assert await agent.reload() == ()
            await until(lambda: held() == before)  # a run that is under way ends with the old ones
        finally:
            gc.enable()


async def test_an_agent_inside_another_program_leaves_the_collector_alone(tmp_path: Path) -> None:
    before = gc.get_freeze_count(), gc.get_threshold(), list(gc.callbacks)
    async with World(tmp_path, HEALTHY) as world, running(world.config) as agent:
        await until(agent.ready)
        assert await agent.reload() == ()
    assert (gc.get_freeze_count(), gc.get_threshold(), list(gc.callbacks)) == before
