"""What a check by a mail API costs beside one by SMTP: the CPU of `probe`, in turns, against the sandbox elsewhere.

An agent keeps a connection for ten minutes and asks every five: every second of its runs has a kept one.
"""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

from smtpcheck.check.kit import Kit, build_kit
from smtpcheck.check.probe import probe
from smtpcheck.config import load
from smtpcheck.model.check import Check
from smtpcheck.model.report import Outcome
from smtpcheck.sandbox.scenario import Scenario
from smtpcheck.sandbox.scenarios import SCENARIOS
from tests.bench.sandbox import nothing, sandbox
from tests.bench.table import Row
from tests.bench.world import HERE, World

_RUNS, _ROUNDS = 40, 9


def mail_apis(world: World) -> list[Row]:
    """Return what a check costs by SMTP, by Graph over a new connection, and by Graph over a kept one."""
    folder = world.folder / "sandbox"
    os.sched_setaffinity(0, {HERE})
    with sandbox(folder, _scenarios, nothing), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        smtp, new, kept = runner.run(_measured(folder / "checks.yaml"))
    return [
        Row("CPU of a probe by SMTP", 1e3 * smtp, "ms"),
        Row("CPU of a probe by Graph, new connection", 1e3 * new, "ms"),
        Row("CPU of a probe by Graph, kept connection", 1e3 * kept, "ms"),
        Row("by Graph, new connection / by SMTP", new / smtp, ""),
        Row("by Graph, every second run over a kept connection / by SMTP", (new + kept) / 2 / smtp, "", 1.0),
    ]


async def _measured(config: Path) -> tuple[float, float, float]:
    settings = load([config]).settings
    assert settings is not None
    kit = await build_kit(settings)
    by_smtp, by_graph = settings.checks

    def nothing() -> None:
        kit.apis._proofs.clear()

    def anew() -> None:
        nothing()
        kit.api_connections.close()

    ways: tuple[tuple[Check, Callable[[], None]], ...] = ((by_smtp, nothing), (by_graph, anew), (by_graph, nothing))
    found: list[list[float]] = [[], [], []]
    try:
        for number in range(_ROUNDS + 1):
            for way, (check, before) in enumerate(ways):
                seconds = await _cpu_of(check, kit, before)
                if number:  # the first round only warms up
                    found[way].append(seconds)
    finally:
        await kit.close()
    smtp, new, kept = (sorted(seconds)[len(seconds) // 2] for seconds in found)
    return smtp, new, kept


async def _cpu_of(check: Check, kit: Kit, before: Callable[[], None]) -> float:
    begin = time.process_time()
    for _ in range(_RUNS):
        before()
        report = await probe(check, kit)
        assert report.outcome is Outcome.OK, report
    return (time.process_time() - begin) / _RUNS


def _scenarios() -> list[Scenario]:
    return [each for each in SCENARIOS if each.name in {"healthy", "graph-healthy"}]
