"""`python -m tests.bench.growing FILE COMMAND...`: as `watched`, and each run ends at once with a report made for it.

A conversation costs the same however many checks there are (`make bench ARGS=probes`); without it fifty thousand checks
a minute fit on a core, and what grows shows. One check of fifty fails.
"""

import random
import sys
import time
from pathlib import Path

from msgspec import structs

from smtpcheck.agent import runner
from smtpcheck.check.kit import Kit
from smtpcheck.cli import main
from smtpcheck.model.check import Check
from smtpcheck.model.report import Report
from tests.bench.watched import watch
from tests.web.world import ok_report, refused_report

ONE_FAILS_OF = 50
_CHANCE = random.Random(0)


async def made(check: Check, _: Kit, **__: object) -> Report:
    """Return a report with times of its own."""
    fails = sum(check.name.encode()) % ONE_FAILS_OF == 0
    report = (refused_report if fails else ok_report)("any", at=time.time())
    steps = tuple(
        structs.replace(step, start=step.start * _CHANCE.random(), seconds=step.seconds * _CHANCE.random())
        for step in report.steps
    )
    return structs.replace(report, check=check.name, steps=steps, seconds=sum(step.seconds for step in steps))


if __name__ == "__main__":
    watch(Path(sys.argv.pop(1)))
    runner.probe = made  # type: ignore[assignment, attr-defined]
    sys.exit(main())
