"""`make simulate`: worlds of the real agent on virtual time, each from its seed.

make simulate SEED=17      one world, with its story up to the invariant that is broken
make simulate DAYS=100     worlds, seed after seed, for so many virtual days, on all processors
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.simulate import WORLD_DAYS, Result, simulate

_COUNTED = ("runs", "faults", "kills", "reloads", "clock_steps")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seed", type=int, help="of one world, whose story is told")
    parser.add_argument("--days", type=float, default=100.0, help="how many virtual days, of worlds from --first on")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    asked = parser.parse_args()
    if asked.seed is not None:
        result = simulate(asked.seed)
        print(*result.lines, sep="\n")
        print(f"digest={result.digest}")
        results = [result]
    else:
        results = list(_worlds(range(asked.first, asked.first + max(1, round(asked.days / WORLD_DAYS)))))
    return _sum_up(results)


def _worlds(seeds: range) -> Iterator[Result]:
    """Yield what comes of the worlds, and say at once which are broken."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for result in pool.map(simulate, seeds):
            if result.broken:
                print(f"seed {result.seed}, day {result.days:.2f}: {result.broken}", flush=True)
            yield result


def _sum_up(results: list[Result]) -> int:
    total, seconds = sum((each.counts for each in results), Counter[str]()), sum(each.cpu_seconds for each in results)
    broken = sum(bool(each.broken) for each in results)
    counts = " ".join(f"{name}={total[name]}" for name in _COUNTED)
    print(f"{total['runs'] / seconds:.0f} runs a CPU second")
    print(f"seeds={len(results)} days={sum(each.days for each in results):.0f} {counts} broken={broken}")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
