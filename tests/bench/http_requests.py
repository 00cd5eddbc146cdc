"""How long a request holds the event loop with ten thousand checks: the CPU of its longest callback."""

import asyncio

from aiohttp.test_utils import TestClient, TestServer

from smtpcheck.diagnosis.catalogue import load
from smtpcheck.state.state import State
from smtpcheck.web import create_app
from tests.bench.event_loop import holds
from tests.bench.table import Row
from tests.bench.world import CHECKS
from tests.bench.world import World as Bench
from tests.web.world import NOW, World, check, ok_report, refused_report, settings

GOAL_MS = 10.0
PATHS = {
    "the list": "/",
    "the list, filtered and sorted": "/?q=check-0&sort=-latency",
    "a check": "/checks/check-00007",
    "1,000 checks as JSON": "/api/v1/checks?per_page=1000",
    "alerts as JSON": "/api/v1/alerts",
    "shards as JSON": "/api/v1/shards",
    "health": "/-/healthy",
}


def requests(_: Bench) -> list[Row]:
    """Return a row for each kind of request."""
    return asyncio.run(_measured())


async def _measured() -> list[Row]:
    names = [f"check-{number:05d}" for number in range(CHECKS)]
    world = World(settings(*map(check, names)), load(), state=State())
    world.record(
        *(
            refused_report(name, at=NOW) if number % 50 == 0 else ok_report(name, at=NOW)
            for number, name in enumerate(names)
        )
    )
    rows = []
    async with TestClient(TestServer(create_app(world, clock=lambda: NOW))) as client:
        for what, path in PATHS.items():
            await (await client.get(path)).read()
            with holds() as held:
                answer = await client.get(path)
                await answer.read()
            assert answer.status == 200, answer.status
            rows.append(Row(f"request of {what}: longest hold of the loop", 1e3 * max(held), "ms", GOAL_MS))
    return rows
