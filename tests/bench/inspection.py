"""What it costs to inspect 1,000 mailboxes of one application at Microsoft, by Graph and Exchange, at their twins here.

The agent's own reading is made, and what follows from it published to checks that have all run before. On this machine
nothing is waited for between two requests: the pace that a provider is asked at is kept by a clock that is put forward
instead. A tenth of the mailboxes has a defect, of which the reading warns. The second reading gets the first's answers
again: what is left is what follows from a reading.
"""

import asyncio
import functools
import os
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from rich.console import Console

from smtpcheck.agent import collector
from smtpcheck.agent.agent import Agent
from smtpcheck.config import load
from smtpcheck.diagnosis.catalogue import load as load_catalogue
from smtpcheck.diagnosis.inspected.defects import defects_of
from smtpcheck.inspection.inspector import Inspector
from smtpcheck.inspection.pace import SPACING, TenantPace
from smtpcheck.inspection.question import Question, Subject
from smtpcheck.model.inspection import Inspection
from smtpcheck.output.inspection import inspection_text
from smtpcheck.sandbox.flaws import Flaw
from smtpcheck.sandbox.scenario import AUDITOR, Registration, Scenario
from tests.bench.event_loop import delays, holds
from tests.bench.http_requests import GOAL_MS
from tests.bench.sandbox import nothing, sandbox
from tests.bench.table import Row
from tests.bench.world import World, memory_of, own_process
from tests.web.world import ok_report

MAILBOXES = 1000
CREDENTIAL = "contoso"
Ask = Callable[[Question, Subject, Inspection], Coroutine[Any, Any, Inspection]]
_INSPECTED = Registration(CREDENTIAL, inspected_by=AUDITOR)
_ONE_DEFECT_OF = 10


def inspection(world: World) -> Iterator[Row]:
    """Yield the rows, measured in a process of its own."""
    with own_process() as process:
        yield from process.submit(measured, world.folder / "inspection", MAILBOXES).result()


def measured(folder: Path, mailboxes: int) -> list[Row]:
    """Return the rows for so many mailboxes, against a sandbox in a new folder."""
    with sandbox(folder, _Scenarios(mailboxes), nothing):
        return asyncio.run(_Reading(folder / "checks.yaml", mailboxes).rows())


@dataclass(frozen=True)
class _Scenarios:
    """Makes the scenarios, in the sandbox's process."""

    count: int

    def __call__(self) -> Iterator[Scenario]:
        for number in range(self.count):
            flaw = Flaw.NO_FULL_ACCESS if number % _ONE_DEFECT_OF == 0 else None
            yield Scenario(f"mailbox-{number:04}", "A mailbox.", registration=_INSPECTED, flaw=flaw)


class _Clock:
    """The seconds that a provider's pace and a reading's spread would have been waited for."""

    paced = spread = 0.0
    requests = 0

    def monotonic(self) -> float:
        return self.paced

    async def keep_pace(self, seconds: float) -> None:
        self.paced += seconds

    async def spread_out(self, seconds: float) -> None:
        self.spread += seconds
        await asyncio.sleep(0)


class _Pace(TenantPace):
    """The pace at which a provider is asked, by that clock."""

    def __init__(self, clock: _Clock, _spacing: float, **_: Any) -> None:
        super().__init__(SPACING, monotonic=clock.monotonic, sleep=clock.keep_pace)
        self._clock = clock

    def succeeded(self) -> None:
        self._clock.requests += 1
        super().succeeded()


class _Reading:
    """One agent, and its readings of one credential."""

    def __init__(self, config: Path, mailboxes: int) -> None:
        self._load = functools.partial(load, [config])
        self._mailboxes = mailboxes
        self._clock = _Clock()
        self._answers: dict[tuple[str, str], Inspection] = {}
        """By the name of the question and the mailbox."""

    async def rows(self) -> list[Row]:
        """Read twice, for a second reading is compared with the first."""
        settings = self._load().settings
        assert settings is not None
        agent = await Agent.create(settings, self._load)
        try:
            with patch("smtpcheck.inspection.inspectors.TenantPace", functools.partial(_Pace, self._clock)):
                agent._plan()
            collector.keep_pauses_short()
            collector.settle()
            for check in settings.checks:
                agent._publisher.ran(check, ok_report(check.name, at=time.time()))
            rows = [*await self._read(agent), *await self._read_again(agent)]
            return [*rows, *self._shown(agent.inspection.found(CREDENTIAL), settings)]
        finally:
            await agent._close()

    async def _read(self, agent: Agent) -> list[Row]:
        before, seconds, clock = memory_of(os.getpid(), "VmRSS"), time.process_time(), self._clock
        ask = _inspector(agent).ask

        async def recorded(question: Question, subject: Subject, known: Inspection) -> Inspection:
            self._answers[question.name, subject.mailbox] = answer = await ask(question, subject, known)
            return answer

        held, late = await self._run(agent, recorded)
        used = time.process_time() - seconds
        return [
            Row("mailboxes inspected", self._mailboxes, ""),
            Row("reading: requests for a mailbox", clock.requests / self._mailboxes, ""),
            Row("reading: CPU of a request", 1e3 * used / clock.requests, "ms"),
            Row(
                "reading: memory of a mailbox",
                1024 * (memory_of(os.getpid(), "VmRSS") - before) / self._mailboxes,
                "KB",
            ),
            Row("reading: longest hold of the loop, CPU", 1e3 * max(held), "ms", GOAL_MS),
            Row("reading: longest delay of the loop", 1e3 * max(late), "ms"),
            Row("reading: at one request a second, as by a command", clock.paced / 3600, "h"),
            Row("reading: spread out, as by an agent", (clock.paced + clock.spread) / 3600, "h"),
        ]

    async def _read_again(self, agent: Agent) -> list[Row]:
        async def again(question: Question, subject: Subject, _: Inspection) -> Inspection:
            return self._answers[question.name, subject.mailbox]

        seconds = time.process_time()
        held, late = await self._run(agent, again)
        used = time.process_time() - seconds
        return [
            Row("second reading: CPU of a mailbox", 1e3 * used / self._mailboxes, "ms"),
            Row("second reading: longest hold of the loop, CPU", 1e3 * max(held), "ms", GOAL_MS),
            Row("second reading: longest delay of the loop", 1e3 * max(late), "ms"),
        ]

    async def _run(self, agent: Agent, ask: Ask) -> tuple[list[float], list[float]]:
        """Make one reading."""
        inspector = _inspector(agent)
        inspector.ask = ask  # type: ignore[assignment, method-assign]
        inspector.is_local = False  # so that it is spread out
        agent.inspection.readings._progress[CREDENTIAL].due_at = 0.0
        with holds() as held:
            async with delays() as late:
                await asyncio.gather(*agent.inspection.readings.due({CREDENTIAL: inspector}, self._clock.spread_out))
        assert len(agent.inspection.found(CREDENTIAL).facts) > self._mailboxes
        return held, late

    def _shown(self, found: Inspection, settings: Any) -> Iterator[Row]:
        """Yield what `smtpcheck inspect` takes to show what was read."""
        catalogue, plan = load_catalogue(), settings.inspections[CREDENTIAL]
        hints = settings.credentials[CREDENTIAL].hints(CREDENTIAL)
        begin = time.process_time()
        defects = defects_of(found, plan.mailboxes, hints, time.time())
        with Path(os.devnull).open("w") as nowhere:
            Console(file=nowhere).print(inspection_text(found, defects, catalogue))
        yield Row("what was read, shown by a command: CPU", time.process_time() - begin, "s")


def _inspector(agent: Agent) -> Inspector:
    inspectors = agent.inspection._inspectors
    inspector = inspectors.get(CREDENTIAL) if inspectors is not None else None
    assert inspector is not None
    return inspector
