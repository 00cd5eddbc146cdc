"""How cost grows with the number of checks, from a hundred to fifty thousand: `smtpcheck run`, asked over HTTP.

The checks run once a minute and are made without a conversation (`growing`). Every figure may grow as fast as the
number of checks, and no faster.
"""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.bench.agent_run import RunningAgent, agent, lags, p99, runs
from tests.bench.table import figure, grid
from tests.bench.world import World, cpu_of, memory_of

SIZES = (100, 1_000, 10_000, 50_000)
FIRST_RUNS, MEASURED = 70.0, 30.0
"""Seconds: until each check has run once, and the stretch that is measured."""
ALLOWED = 1.15
"""The most that a figure of 50,000 checks may be, as a part of five times that of 10,000: linear, and what a
measurement varies by."""
LONGEST_ANSWER = 0.5
"""Seconds: the limit of a page, whatever the number of checks."""
_PAGES = {
    "first page": "/",
    "search": "/?q=0042&sort=-latency",
    "problems": "/api/v1/problems",
}
_TIMES = 5


@dataclass(frozen=True)
class Figure:
    """One figure of an agent of one size."""

    value: float
    unit: str
    most: float | None = None
    """The limit at any size."""


def growth(world: World) -> str:
    """Return the table: a line for each figure, a column for each number of checks."""
    by_size = [dict(_of_size(world, size)) for size in SIZES]
    lines = [("what", *(f"{size:,}" for size in SIZES), "50,000 / (5 x 10,000)", "at most", "")]
    lines.append(("---", *("---:" for _ in SIZES), "---:", "---:", "---"))
    for what, last in by_size[-1].items():
        values = [figures[what] for figures in by_size]
        ratio = last.value / (SIZES[-1] / SIZES[-2] * values[-2].value) if values[-2].value else 0.0
        met = ratio <= ALLOWED and (last.most is None or last.value <= last.most)
        limit = "linear" if last.most is None else f"linear, {figure(last.most, last.unit)}"
        cells = (figure(each.value, each.unit) for each in values)
        lines.append((what, *cells, f"{ratio:.2f}", limit, "met" if met else "missed"))
    return grid(lines)


def _of_size(world: World, size: int) -> list[tuple[str, Figure]]:
    config = world.configuration(size)
    figures = [("validate, CPU", Figure(_cpu_of_command("validate", "-c", str(config)), "s"))]
    begin = time.perf_counter()
    with agent(world, size, "tests.bench.growing") as running:
        figures += [
            ("start, until it listens", Figure(time.perf_counter() - begin, "s")),
            ("start, CPU", Figure(cpu_of(running.pid), "s")),
        ]
        time.sleep(FIRST_RUNS)
        figures += _steady(running, size)
        figures += _asked(running)
        figures += _reloaded(running)
    return figures


def _steady(running: RunningAgent, size: int) -> list[tuple[str, Figure]]:
    before, cpu = running.scrape(), cpu_of(running.pid)
    time.sleep(MEASURED)
    used, after = cpu_of(running.pid) - cpu, running.scrape()
    count = runs(after) - runs(before)
    return [
        ("a minute of all checks, CPU", Figure(used * size / count, "s")),
        ("memory", Figure(memory_of(running.pid, "VmRSS"), "MB")),
        ("schedule lag, p99 at most", Figure(p99(lags(after, before)), "s", 1.0)),
        ("scrape, text", Figure(len(after) / 1e6, "MB")),
    ]


def _asked(running: RunningAgent) -> list[tuple[str, Figure]]:
    asks: dict[str, Callable[[], object]] = {"scrape, gzip": running.scrape}
    asks |= {what: partial(_get, running.url + path) for what, path in _PAGES.items()}
    figures = []
    for what, ask in asks.items():
        seconds = sorted(_seconds_of(ask) for _ in range(_TIMES))[_TIMES // 2]
        figures.append((what, Figure(seconds, "s", LONGEST_ANSWER if what in _PAGES else None)))
    return figures


def _reloaded(running: RunningAgent) -> list[tuple[str, Figure]]:
    cpu = cpu_of(running.pid)
    seconds = _seconds_of(lambda: _get(f"{running.url}/-/reload", "POST"))
    return [
        ("reload", Figure(seconds, "s")),
        ("reload, CPU of all meanwhile", Figure(cpu_of(running.pid) - cpu, "s")),
        ("most memory, reload included", Figure(memory_of(running.pid, "VmHWM"), "MB")),
    ]


def _get(url: str, method: str = "GET") -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, method=method)) as answer:
        return bytes(answer.read())


def _seconds_of(ask: Callable[[], object]) -> float:
    begin = time.perf_counter()
    ask()
    return time.perf_counter() - begin


def _cpu_of_command(*arguments: str) -> float:
    """Return the seconds of CPU that a command takes, its start included."""
    process = subprocess.Popen([sys.executable, "-m", "smtpcheck", *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{arguments[0]} exits {process.returncode}")
    return usage.ru_utime + usage.ru_stime
