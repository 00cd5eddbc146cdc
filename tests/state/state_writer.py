"""A process that records run after run until it is killed: `python -m tests.state.state_writer FOLDER`.

Run number N of a check began at the Unix time N minutes, and what came of it depends on the name and N alone: whoever
knows how many runs a check has had knows the rest. It goes on where the file says that it was.
"""

import asyncio
import sys
from binascii import crc32
from dataclasses import replace
from pathlib import Path

from smtpcheck.model.report import Report
from smtpcheck.state import database
from smtpcheck.state import state as state_module
from smtpcheck.state.state import State
from tests.worlds.samples import BILLING, refused, report

NAMES = tuple(f"check-{number}" for number in range(20))


def nth_run(name: str, number: int) -> Report:
    """Return run number `number` of a check, from 1; failures come in rows, so that breakers open."""
    fails = crc32(f"{name} {number // 4}".encode()) % 3 == 0
    return (refused if fails else report)(check=name, started_at=number * 60.0)


async def write(folder: Path) -> None:
    """Record runs for ever."""
    state = await State.kept(folder)
    await state.fetch(NAMES)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        for name in NAMES:
            known = state.checks.get(name)
            state.record(replace(BILLING, name=name), nth_run(name, known.runs + 1 if known else 1))
        await asyncio.sleep(0.0005)


if __name__ == "__main__":
    # As quick as it can be, so that a kill hits a write.
    state_module._CHECK = replace(state_module._CHECK, every=0.01)
    state_module._FAILURE = replace(state_module._FAILURE, every=0.01)
    state_module._DAY = replace(state_module._DAY, every=0.02)
    database._IDLE_SECONDS = 0.005
    asyncio.run(write(Path(sys.argv[1])))
