"""What 90 days of 10,000 checks take: the size of the state file, and the time of a page of history.

Every place of the file is filled, as if each check had had a hundred outages: 90 days of hours, the first and the last
reports of failures, the outages. A page is timed over HTTP while rows wait to be written, as they do in an agent that
runs each check once a minute: a day's of every check, and all of those that ran in the last two seconds.

Run it by `python -m tests.bench.past [CHECKS]`.
"""

import asyncio
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from aiohttp.test_utils import TestClient, TestServer
from msgspec import structs

from smtpcheck.diagnosis.catalogue import load
from smtpcheck.state.archive import _FAILED, _OUTAGE, KEPT_FIRST, KEPT_LAST, KEPT_OUTAGES
from smtpcheck.state.check_state import CheckState
from smtpcheck.state.history import day_of, with_hour
from smtpcheck.state.serialization import pack
from smtpcheck.state.state import _CHECK, _DAY, FILE_NAME, KEEP_DAYS, State, _check_row, _day_row
from smtpcheck.web import create_app
from tests.web.world import DAY, NOW, World, check, ok_report, refused_report, settings

PAGES = 60


def filled(names: list[str], path: Path) -> None:
    """Fill a new state file, in an order of the rows like an agent's: day by day, each day's checks in any order."""
    connection = sqlite3.connect(path)
    chance = random.Random(1)
    hours = b""
    for hour in range(24):
        for run in range(3):
            hours = with_hour(hours, structs.replace(ok_report("x", at=hour * 3600.0 + run), seconds=0.7 + run / 10))
    with connection:
        for number in range(KEEP_DAYS):
            day = day_of(NOW) - number
            connection.executemany(_DAY.statement, ((day, name, hours) for name in chance.sample(names, len(names))))
    with connection:
        connection.executemany(_OUTAGE.statement, _outages(names))
        for place in range(KEPT_FIRST + KEPT_LAST):
            connection.executemany(_FAILED.statement, _failures(chance.sample(names, len(names)), place))
    state = State()
    with connection:
        for name in names:
            for age in range(60):
                known: CheckState = state.record(check(name), refused_report(name, at=NOW - 60.0 * (60 - age)))
            connection.execute(_CHECK.statement, _check_row(name, known))
    connection.close()


def _outages(names: list[str]) -> Iterator[tuple[object, ...]]:
    for number in range(1, KEPT_OUTAGES + 1):
        began = NOW - (KEPT_OUTAGES + 1 - number) * 0.8 * DAY
        for name in names:
            yield name, number % KEPT_OUTAGES, number, began, began + 3600, "smtp_auth_disabled_tenant"


def _failures(names: list[str], place: int) -> Iterator[tuple[object, ...]]:
    at = NOW - (place + 1) * 0.8 * DAY
    for name in names:
        report = refused_report(name, at=at)
        yield name, place, KEPT_OUTAGES - place, at, report.cause, pack(report)


async def timed(names: list[str], folder: Path) -> list[float]:
    """Return the seconds of each of some pages, each of another check."""
    state = await State.kept(folder)
    await state.fetch(names)
    world = World(settings(*map(check, names)), load(), state=state)
    seconds, chance, file = [], random.Random(2), state._file
    assert file
    async with TestClient(TestServer(create_app(world, clock=lambda: NOW))) as client:
        for name in chance.sample(names, PAGES):
            for each in names:
                file.put((_DAY, (0, each), partial(_day_row, each, state.checks[each])))
            world.record(*(ok_report(each, at=NOW) for each in chance.sample(names, len(names) // 30)))
            begin = time.perf_counter()
            answer = await client.get(f"/checks/{name}/history")
            await answer.read()
            seconds.append(time.perf_counter() - begin)
            assert answer.status == 200, answer.status
    await state.close()
    return sorted(seconds)


async def main(checks: int) -> None:
    """Print what was measured."""
    names = [f"check-{number:05d}" for number in range(checks)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE_NAME
        state = await State.kept(Path(folder))
        await state.close()
        filled(names, path)
        print(f"state file of {checks} checks, every place filled: {path.stat().st_size / 1e6:.0f} MB")
        connection = sqlite3.connect(path)
        for name, size in connection.execute(
            "SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC LIMIT 8"
        ):
            print(f"  {name:32} {size / 1e6:8.1f} MB")
        connection.close()
        seconds = await timed(names, Path(folder))
        median, most, longest = (seconds[place] * 1e3 for place in (PAGES // 2, PAGES * 9 // 10, -1))
        print(
            f"page of history, of {PAGES} checks: median {median:.0f} ms, p90 {most:.0f} ms, longest {longest:.0f} ms"
        )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
