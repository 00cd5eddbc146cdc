"""What a diagnosis costs: CPU of one over the real failures of the corpora, and how long `explain` takes to start."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

from smtpcheck.diagnosis.catalogue import Catalogue, load
from smtpcheck.diagnosis.events import Event, events_of, failures_of
from tests.bench.table import Row
from tests.bench.world import World
from tests.diagnosis.corpus import cases, findings, pasted

REPEATS = 5
STARTS = 5


def diagnosis(_: World) -> list[Row]:
    """Return the rows: mean and longest diagnosis, and the start of the command."""
    catalogue = load()
    costs = [_least(diagnose) for diagnose in _diagnoses(catalogue)]
    return [
        Row("CPU of a diagnosis, mean", 1e3 * statistics.mean(costs), "ms", 1),
        Row("CPU of the longest diagnosis", 1e3 * max(costs), "ms", 1),
        Row("explain: from its start to its end", _start(), "s", 0.5),
    ]


def _diagnoses(catalogue: Catalogue) -> Iterator[Callable[[], object]]:
    """Yield a call for each diagnosis; of a log, one for each of its events."""
    for case in cases("observed"):
        yield partial(findings, case, "observed", catalogue)
    for case in cases("pasted"):
        text = pasted(case)
        yield from (partial(failures_of, event.text, catalogue) for event in events_of(text) or (Event(1, text),))


def _least(diagnose: Callable[[], object]) -> float:
    """Return the least CPU that it took: what a busy machine adds is left out."""
    times = []
    for _ in range(REPEATS):
        begin = time.process_time()
        diagnose()
        times.append(time.process_time() - begin)
    return min(times)


def _start() -> float:
    command = [sys.executable, "-m", "smtpcheck", "explain", "535 5.7.3 Authentication unsuccessful"]
    times = []
    for _ in range(STARTS):
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - begin)
    return min(times)
