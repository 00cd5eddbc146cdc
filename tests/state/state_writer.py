"""A process that records run after run until it is killed: `python -m tests.state.state_writer FOLDER`.

Run number N of a check began at the Unix time N minutes, and what came of it depends on the name and N alone: whoever
knows how many runs a check has had knows the rest. It goes on where the file says that it was.
"""

import asyncio
import sys
from binascii import crc32
from dataclasses import replace
from pathlib import Path

from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Phase
from smtpcheck.model.report import Exchange, Fault, FaultKind, Outcome, Reply, Report, Step
from smtpcheck.state import database
from smtpcheck.state import state as state_module
from smtpcheck.state.state import State
from tests.state.test_state import CHECK

NAMES = tuple(f"check-{number}" for number in range(20))
_REFUSED = Step(Phase.AUTH, 0.0, 0.5, (Exchange("AUTH", Reply(535, "5.7.3", ("no",))),), Fault(FaultKind.REPLY))


def nth_run(name: str, number: int) -> Report:
    """Return run number `number` of a check, from 1; failures come in rows, so that breakers open."""
    report = Report(name, number * 60.0, 0.5, Outcome.OK)
    if crc32(f"{name} {number // 4}".encode()) % 3 == 0:
        return replace(report, outcome=Outcome.CRITICAL, steps=(_REFUSED,), cause=Cause.USER_MISMATCH)
    return report


async def write(folder: Path) -> None:
    """Record runs for ever."""
    state = await State.kept(folder)
    await state.fetch(NAMES)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        for name in NAMES:
            known = state.checks.get(name)
            state.record(replace(CHECK, name=name), nth_run(name, known.runs + 1 if known else 1))
        await asyncio.sleep(0.0005)


if __name__ == "__main__":
    # As quick as it can be, so that a kill hits a write.
    state_module._CHECK = replace(state_module._CHECK, every=0.01)
    state_module._FAILURE = replace(state_module._FAILURE, every=0.01)
    state_module._DAY = replace(state_module._DAY, every=0.02)
    database._IDLE_SECONDS = 0.005
    asyncio.run(write(Path(sys.argv[1])))
