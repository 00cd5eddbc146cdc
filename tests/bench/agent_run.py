"""A real agent with ten thousand checks a minute: `smtpcheck run` in a process of its own, asked over HTTP.

What single probes did is read from the agent's own metrics: when each check began last, and how long it took.
"""

import gzip
import math
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tests.bench.table import Row
from tests.bench.world import CHECKS, HERE, World, cpu_of, memory_of, waited_of

SETTLE, QUIET, SCRAPED, AFTER = 10.0, 50.0, 30.0, 15.0
"""Seconds: the start, the stretch that is measured, the scrapes, and what follows the reload."""
SCRAPE_EVERY = 2.0

_LISTENING = re.compile(r'"address": "([^"]+)", "event": "listening"')
_SAMPLE = re.compile(r'^(smtpcheck_\w+)\{check="([^"]+)"\} (\S+)$', re.MULTILINE)
_LAG = re.compile(r'^smtpcheck_schedule_lag_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)
_SKIPPED = re.compile(r"^smtpcheck_runs_skipped_total\{[^}]*\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class RunningAgent:
    """A running agent."""

    pid: int
    url: str
    pauses_file: Path
    scrapes: list[tuple[float, float]] = field(default_factory=list)
    """When each scrape began and ended, as Unix time."""

    def scrape(self) -> str:
        """Return the metrics, fetched with gzip as Prometheus does."""
        begin = time.time()
        request = urllib.request.Request(f"{self.url}/metrics", headers={"Accept-Encoding": "gzip"})
        with urllib.request.urlopen(request) as answer:
            body = answer.read()
        self.scrapes.append((begin, time.time()))
        return gzip.decompress(body).decode()

    def pauses(self) -> list[float]:
        """Return how long each pause of the collector was that was not short, in seconds."""
        return [float(line) for line in self.pauses_file.read_text().splitlines()]


def run_agent(world: World) -> Iterator[Row]:
    """Yield what the agent needed, how late its checks began, and what scrapes and a reload did to them."""
    with agent(world, CHECKS) as running:
        time.sleep(SETTLE)
        before, cpu, begin = running.scrape(), cpu_of(running.pid), time.time()
        waiting, paused = waited_of(running.pid), len(running.pauses())
        time.sleep(QUIET)
        used = (cpu_of(running.pid) - cpu) / (time.time() - begin)
        waited = (waited_of(running.pid) - waiting) / (time.time() - begin)
        after = running.scrape()
        count = runs(after) - runs(before)
        yield Row("agent, 10,000 checks a minute: cores", used * (CHECKS / 60) / (count / QUIET), "", 0.5)
        yield Row("agent: part of the time that others held its core", 100 * waited, "%")
        yield from _pauses(running, paused)
        yield Row("agent: memory", memory_of(running.pid, "VmRSS"), "MB", 150)
        yield Row("agent: schedule lag, p99 at most", p99(lags(after, before)), "s", 1.0)
        running.scrapes.clear()
        scraping = time.time()
        while time.time() < scraping + SCRAPED:
            running.scrape()
            time.sleep(SCRAPE_EVERY)
        yield from _reload(running, world)
        yield from _during_scrapes(running, scraping)


def _pauses(running: RunningAgent, before: int) -> Iterator[Row]:
    """Yield what the collector did to the event loop since there were so many pauses."""
    pauses = running.pauses()[before:]
    yield Row("agent: longest pause of the garbage collector, CPU", 1e3 * max(pauses, default=0.0), "ms", 20)
    yield Row("agent: its pauses above 20 ms in a minute", 60 * sum(each > 0.02 for each in pauses) / QUIET, "", 0)


def _reload(running: RunningAgent, world: World) -> Iterator[Row]:
    before, paused = running.scrape(), len(running.pauses())
    world.configuration(CHECKS)
    begin = time.time()
    with urllib.request.urlopen(urllib.request.Request(f"{running.url}/-/reload", method="POST")):
        end = time.time()
    time.sleep(AFTER)
    after = running.scrape()
    starts = [start for start, _ in _last_runs(after).values() if begin - 1 <= start <= end + 1]
    yield Row("reload: how long it took", end - begin, "s")
    yield Row(
        "reload: longest time without a check's start",
        max(later - start for start, later in pairwise(sorted((begin, *starts, end)))),
        "s",
        1.0,
    )
    longest = max(running.pauses()[paused:], default=0.0)
    yield Row("reload: longest pause of the garbage collector, CPU", 1e3 * longest, "ms", 20)
    yield Row("reload: schedule lag, p99 at most", p99(lags(after, before)), "s", 1.0)
    yield Row("reload: runs left out", _skipped(after) - _skipped(before), "", 0)
    yield Row("agent: most memory, reload included", memory_of(running.pid, "VmHWM"), "MB", 200)


def _during_scrapes(running: RunningAgent, since: float) -> Iterator[Row]:
    windows = running.scrapes[:]
    scraped: list[float] = []
    quiet: list[float] = []
    for start, seconds in _last_runs(running.scrape()).values():
        if since <= start <= since + SCRAPED:
            met = any(start < end and begin < start + seconds for begin, end in windows)
            (scraped if met else quiet).append(seconds)
    between = _percentile(quiet)
    ratio = _percentile(scraped) / between if between else math.nan  # an overloaded agent's runs take no time at all
    yield Row("a scrape by HTTP, gzip, of the busy agent", sorted(e - b for b, e in windows)[len(windows) // 2], "s")
    yield Row("p99 of the probes beside a scrape", 1e3 * _percentile(scraped), "ms")
    yield Row("p99 of the probes between scrapes", 1e3 * between, "ms")
    yield Row("probes beside a scrape / between scrapes, p99", ratio, "", 3.0)


@contextmanager
def agent(world: World, checks: int, program: str = "tests.bench.watched") -> Iterator[RunningAgent]:
    """Run an agent on the measured core until the block ends; `program` is how `smtpcheck` is begun."""
    log = world.folder / "agent.log"
    pauses = world.folder / "pauses"
    command = [sys.executable, "-m", program, str(pauses)]
    command += ["run", "-c", str(world.configuration(checks)), "--log.format", "json"]
    with log.open("w") as file:
        process = subprocess.Popen(command, stderr=file)
    os.sched_setaffinity(process.pid, {HERE})
    try:
        while (found := _LISTENING.search(log.read_text())) is None:
            if process.poll() is not None:
                raise RuntimeError(log.read_text())
            time.sleep(0.1)
        yield RunningAgent(process.pid, f"http://{found[1]}", pauses)
    finally:
        process.terminate()
        process.wait()


def _last_runs(metrics: str) -> dict[str, tuple[float, float]]:
    """Return when each check's last run began (Unix time) and how many seconds it took."""
    starts, seconds = _by_check(metrics, "last_run_timestamp_seconds"), _by_check(metrics, "duration_seconds")
    return {check: (start, seconds[check]) for check, start in starts.items()}


def _by_check(metrics: str, name: str) -> dict[str, float]:
    return {check: float(value) for found, check, value in _SAMPLE.findall(metrics) if found == f"smtpcheck_{name}"}


def runs(metrics: str) -> float:
    """Return how many runs there have been."""
    return sum(_by_check(metrics, "runs_total").values())


def _skipped(metrics: str) -> float:
    return sum(map(float, _SKIPPED.findall(metrics)))


def lags(after: str, before: str) -> dict[float, float]:
    """Return how many runs between two scrapes began at most so late, by the histogram's bounds."""
    earlier = {bound: float(count) for bound, count in _LAG.findall(before)}
    return {float(bound): float(count) - earlier[bound] for bound, count in _LAG.findall(after)}


def p99(counts: dict[float, float]) -> float:
    """Return the bound below which 99 % lie."""
    return next(bound for bound, count in sorted(counts.items()) if count >= 0.99 * max(counts.values()))


def _percentile(values: list[float]) -> float:
    """Return the p99; not a number where nothing ran."""
    return sorted(values)[int(0.99 * len(values))] if values else math.nan
