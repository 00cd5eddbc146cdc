"""Single rooms under the load of ten thousand checks: schedule, metrics, tokens. Each runs in a process of its own."""

import asyncio
import os
import random
import ssl
import statistics
import time
import timeit
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from multiprocessing.connection import Connection
from typing import TypeVar

import uvloop
from msgspec import structs

from smtpcheck.agent.agent import Agent
from smtpcheck.check.kit import build_kit
from smtpcheck.check.probe import probe
from smtpcheck.model.report import Outcome, Report
from smtpcheck.oauth.broker import TokenBroker
from smtpcheck.oauth.microsoft import Microsoft
from smtpcheck.oauth.token_cache import AcquiredToken
from smtpcheck.output.metrics import AgentState, Metrics
from smtpcheck.sandbox.issuer import App, Issuer, Tenant
from smtpcheck.state.state import State
from smtpcheck.web.endpoints import gzipped
from tests.bench.table import Row
from tests.bench.world import CHECKS, SPAWN, THERE, World, configured, memory_of, own_process

CREDENTIALS = 500
SCHEDULED_SECONDS = 20.0
SCRAPES = 9
_T = TypeVar("_T")


def rooms(world: World) -> Iterator[Row]:
    """Yield the rows of all rooms."""
    yield from _apart(schedule, world)
    yield from _apart(scrape, world)
    yield from _apart(token_from_memory, world)
    yield from _apart(many_credentials, world)


def _apart(measure: Callable[[World], list[Row]], world: World) -> list[Row]:
    with own_process() as process:
        return process.submit(measure, world).result()


def _run(main: Coroutine[object, object, _T]) -> _T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


class _WithoutProbes:
    """Runs that end at once: what is left is the tick, APScheduler's part of it, and a task for each run."""

    fired = 0

    async def run(self, name: str, due: float | None = None, *, fresh: bool = False) -> Report:
        self.fired += 1
        return Report(name, 0.0, 0.0, Outcome.OK)


def schedule(world: World) -> list[Row]:
    """Measure the agent's own CPU for each check that it starts."""

    async def main() -> float:
        settings, again = configured(world, CHECKS)
        agent, stop, runs = await Agent.create(settings, again), asyncio.Event(), _WithoutProbes()
        agent._runner.run = runs.run  # type: ignore[method-assign]
        running = asyncio.create_task(agent.run(stop))
        await asyncio.sleep(1)
        before, fired = time.process_time(), runs.fired
        await asyncio.sleep(SCHEDULED_SECONDS)
        used = (time.process_time() - before) / (runs.fired - fired)
        stop.set()
        await running
        return used

    return [Row("scheduling: CPU of a firing", 1e6 * _run(main()), "us", 40)]


def scrape(world: World) -> list[Row]:
    """Measure the rendering of all checks' metrics, each with a whole report of a real probe."""
    settings, _ = configured(world, CHECKS)

    async def one_report() -> Report:
        kit = await build_kit(settings)
        try:
            return await probe(settings.checks[0], kit)
        finally:
            await kit.close()

    report = _run(one_report())
    metrics, state = Metrics((), expose_addresses=False), State()
    chance = random.Random(0)
    for check in settings.checks:
        own = _varied(structs.replace(report, check=check.name), chance)
        metrics.record(check, own, state.record(check, own))
    agent_state = AgentState("", CHECKS, 0, connectivity_lost=False)
    scrape = partial(metrics.pieces, openmetrics=False, credentials=(), agent=agent_state)
    raw, zipped = [], []
    for _ in range(SCRAPES):
        begin = time.perf_counter()
        body = b"".join(scrape())
        raw.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        gzipped(scrape())
        zipped.append(time.perf_counter() - begin)
    series = body.count(b'check="') / CHECKS
    return [
        Row("scrape: series of a check", series, ""),
        Row("scrape: text", len(body) / 1e6, "MB"),
        Row("scrape of 10,000 checks, raw", statistics.median(raw), "s", 0.1),
        Row("scrape of 10,000 checks, gzip", statistics.median(zipped), "s", 0.25),
    ]


def _varied(report: Report, chance: random.Random) -> Report:
    """Return the report with times of its own, for equal ones are compressed too well."""
    steps = tuple(structs.replace(step, seconds=step.seconds * chance.uniform(1, 9)) for step in report.steps)
    seconds, started_at = sum(step.seconds for step in steps), report.started_at + chance.uniform(0, 60)
    return structs.replace(report, steps=steps, seconds=seconds, started_at=started_at)


def token_from_memory(world: World) -> list[Row]:
    """Measure how long a run waits for a token that is at hand."""
    settings, _ = configured(world, 1)

    async def main() -> float:
        broker = TokenBroker(settings.credentials)
        await broker.token("ready", None, timeout=10)
        try:
            return min(timeit.repeat(lambda: broker.peek("ready", "anna@example.org"), number=100_000)) / 100_000
        finally:
            await broker.close()

    return [Row("a token from memory", 1e6 * _run(main()), "us", 2)]


def many_credentials(world: World) -> list[Row]:
    """Start ten thousand checks at once over many credentials, each of a tenant of its own, against an issuer."""
    ours, theirs = SPAWN.Pipe()
    issuer = SPAWN.Process(target=_issue, args=(str(world.folder / "server.pem"), THERE, theirs), daemon=True)
    issuer.start()
    try:
        return _run(_ask_for_all(world, ours.recv()))
    finally:
        issuer.terminate()
        issuer.join()


async def _ask_for_all(world: World, authority: str) -> list[Row]:
    names = [f"tenant-{number:03}.example.org" for number in range(CREDENTIALS)]
    credentials = {
        name: Microsoft.model_validate(
            {
                "authority": authority,
                "tenant": name,
                "client_id": name,
                "client_secret": {"value": "secret"},
                "ca_file": world.ca_file,
            }
        )
        for name in ("first.example.org", *names)
    }
    broker = TokenBroker(credentials)
    await broker.token("first.example.org", None, timeout=10)
    before, begin = memory_of(os.getpid(), "VmRSS"), time.perf_counter()
    wanted = (
        broker.token(names[number % CREDENTIALS], f"{number}@example.org", timeout=60) for number in range(CHECKS)
    )
    answers = await asyncio.gather(*wanted)
    seconds, grown = time.perf_counter() - begin, memory_of(os.getpid(), "VmRSS") - before
    requests = sum(state.requests["success"] for state in broker.states() if state.name in names)
    await broker.close()
    refused = [answer for answer in answers if not isinstance(answer, AcquiredToken)]
    assert not refused, refused[0]
    return [
        Row("requests for 10,000 checks over 500 credentials", requests, "", CREDENTIALS),
        Row("memory for their tokens and clients", grown, "MB", 60),
        Row("until all 10,000 have one", seconds, "s"),
    ]


def _issue(certificate: str, core: int, ready: Connection) -> None:
    """Be the issuer, on the other core; the one that starts it is bound to its own."""
    os.sched_setaffinity(0, {core})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    names = ("first.example.org", *(f"tenant-{number:03}.example.org" for number in range(CREDENTIALS)))

    async def forever() -> None:
        issuer = Issuer([Tenant(name, name, {name: App(name, "secret")}) for name in names])
        await issuer.start(context)
        ready.send(issuer.url)
        await asyncio.Event().wait()

    _run(forever())
