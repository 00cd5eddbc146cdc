"""What 1,000 checks by mail APIs cost an agent: Graph, Gmail, and APIs that take a key, at the sandbox's twins.

They run as an agent's schedule has them over its first eleven minutes, one at a time on a clock that is put forward to
when each is due; then all at once, which no agent does.
"""

import asyncio
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from smtpcheck.agent import collector
from smtpcheck.agent.schedule import Schedule
from smtpcheck.check.kit import Kit, build_kit
from smtpcheck.check.probe import probe
from smtpcheck.config import Settings, load
from smtpcheck.limits.api_concurrency import PROOF_SPACING
from smtpcheck.model.check import Check, Phase
from smtpcheck.model.report import Outcome, Report
from smtpcheck.sandbox.scenario import GMAIL, CredentialKind, Registration, Scenario
from smtpcheck.system import System
from tests.bench.event_loop import holds
from tests.bench.http_requests import GOAL_MS
from tests.bench.sandbox import nothing, sandbox
from tests.bench.table import Row
from tests.bench.world import World, memory_of, own_process

CHECKS = 1000
SECONDS = 660.0
"""How long the agent is followed: the first runs within a minute, and two intervals of five."""
_WORKSPACE = Registration("workspace", CredentialKind.GOOGLE_ACCOUNT)
_KEYS = ("sendgrid", "postmark", "resend")
_REGISTRATIONS = {api: Registration(api, CredentialKind.API_KEY, api=api) for api in _KEYS}
_APIS = ("graph", "graph", "graph", "graph", "gmail", "gmail", *_KEYS, "ses")
"""The API of each check, from the first on again and again."""


def api_checks(world: World) -> Iterator[Row]:
    """Yield the rows, measured in a process of its own."""
    with own_process() as process:
        yield from process.submit(measured, world.folder / "api-checks", CHECKS).result()


def measured(folder: Path, checks: int) -> list[Row]:
    """Return the rows for so many checks, against a sandbox in a new folder."""
    with sandbox(folder, _Scenarios(checks), nothing):
        settings = load([folder / "checks.yaml"]).settings
        assert settings is not None
        return asyncio.run(_rows(settings))


@dataclass(frozen=True)
class _Scenarios:
    """Makes the scenarios, in the sandbox's process."""

    count: int

    def __call__(self) -> Iterator[Scenario]:
        registrations = {**_REGISTRATIONS, "ses": Registration("ses", CredentialKind.AWS, api="ses")}
        for number in range(self.count):
            api = _APIS[number % len(_APIS)]
            name, check = f"{api}-{number:04}", {"via": {"api": api}, "interval": f"{PROOF_SPACING:g}s"}
            if api == "graph":
                yield Scenario(name, "A mailbox.", check=check)
            elif api == "gmail":
                yield Scenario(name, "A mailbox.", check=check, server=GMAIL, registration=_WORKSPACE)
            else:
                yield Scenario(name, "A mailbox.", check=check, registration=registrations[api])


class _Ahead(System):
    """Clocks of which the monotonic one is put forward."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@dataclass
class _Seen:
    """What the runs of some minutes came to."""

    seconds: dict[str, list[float]]
    """The CPU of each run that asked its API over a kept connection, by the API."""
    asked: list[float]
    """When an API was asked, in seconds from the start."""
    connections: Counter[str]
    """How many were opened to each API."""


async def _rows(settings: Settings) -> list[Row]:
    system = _Ahead()
    kit = await build_kit(settings, system=system)
    collector.keep_pauses_short()
    collector.settle()
    before = memory_of(os.getpid(), "VmRSS")
    try:
        with holds() as held:
            seen = await _follow(settings, kit, system)
        rows = [
            Row("checks by a mail API", len(settings.checks), ""),
            *(
                Row(f"check by {api}, kept connection: CPU", 1e3 * _median(each), "ms")
                for api, each in seen.seconds.items()
            ),
            Row("eleven minutes: requests for a mailbox", len(seen.asked) / len(settings.checks), ""),
            Row("eleven minutes: most starts in a second, after the first minute", _most_in_a_second(seen.asked), ""),
            Row("eleven minutes: connections opened", seen.connections.total(), ""),
            Row("eleven minutes: longest hold of the loop, CPU", 1e3 * max(held), "ms", GOAL_MS),
        ]
        rows += await _all_at_once(settings, kit, system)
        memory = 1024 * (memory_of(os.getpid(), "VmRSS") - before) / len(settings.checks)
        return [*rows, Row("memory of a check, its last proof included", memory, "KB")]
    finally:
        await kit.close()


async def _follow(settings: Settings, kit: Kit, system: _Ahead) -> _Seen:
    """Run each check whenever it is due."""
    schedule, checks = Schedule(), {check.name: check for check in settings.checks}
    start = system.monotonic()
    schedule.replace(settings.checks, start)
    seen = _Seen(defaultdict(list), [], Counter())
    while (due := schedule.earliest()) < start + SECONDS:
        system.ahead += max(due - system.monotonic(), 0.0)
        for name, at in schedule.due(system.monotonic()):
            begin = time.process_time()
            report = await asyncio.create_task(_run(checks[name], kit))  # each run is a task, as in an agent
            phases, api = {step.phase for step in report.steps}, _api_of(checks[name])
            if not _has_asked(report):
                continue
            seen.asked.append(at - start)
            if Phase.TLS in phases:
                seen.connections[api] += 1
            elif Phase.TOKEN not in phases:
                seen.seconds[api].append(time.process_time() - begin)
    return seen


async def _all_at_once(settings: Settings, kit: Kit, system: _Ahead) -> list[Row]:
    system.ahead += PROOF_SPACING
    begin = time.process_time()
    reports = await asyncio.gather(*(_run(check, kit) for check in settings.checks))
    used = time.process_time() - begin
    opened = sum(any(step.phase is Phase.TLS for step in report.steps) for report in reports)
    return [
        Row("all at once: CPU of a check, connections included", 1e3 * used / len(reports), "ms"),
        Row("all at once: connections opened", opened, ""),
    ]


async def _run(check: Check, kit: Kit) -> Report:
    report = await probe(check, kit)
    assert report.outcome is Outcome.OK, report
    return report


def _has_asked(report: Report) -> bool:
    """Return whether the run asked its API; of a remembered answer the request took no time."""
    return any(step.phase is Phase.REQUEST and step.seconds > 0 for step in report.steps)


def _api_of(check: Check) -> str:
    assert check.via is not None
    return check.via.api


def _most_in_a_second(times: list[float]) -> int:
    return max(Counter(int(each) for each in times if each >= 60).values(), default=0)


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
