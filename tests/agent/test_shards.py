"""Three agents share the checks of one world, as processes of their own; one of them is killed."""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Self

import aiohttp
import structlog
from prometheus_client.parser import text_string_to_metric_families as parse

from smtpcheck.agent.agent import Agent as InProcess
from smtpcheck.agent.schedule import hash_fraction
from smtpcheck.config import load
from smtpcheck.model.shard import Shard, owner
from smtpcheck.sandbox.scenario import RECIPIENT, Scenario
from smtpcheck.sandbox.world import World
from tests.worlds.agents import edit
from tests.worlds.waiting import HANG_SECONDS, until

SHARDS = 3
INTERVAL = 900.0
SOON = 0.03
"""Of the first minute: when a check's first message comes."""
SENDING = tuple(
    Scenario(f"send-{n}", "Sends.", check={"depth": "send", "recipient": RECIPIENT, "interval": "15m"})
    for n in range(9)
)
WATCHING = tuple(Scenario(f"auth-{n}", "Logs in.", check={"interval": "1s"}) for n in range(9))


def soon_at(shard: int) -> str:
    """Return the name of a check of one shard whose first message comes soon after the start."""
    names = map("loop-{}".format, count())
    return next(name for name in names if hash_fraction(name) < SOON and owner(f"check {name}", SHARDS) == shard)


LOOPING = tuple(
    Scenario(
        soon_at(shard),
        "Sends once a day.",
        check={"loopback": {"every": "1d", "to": RECIPIENT, "find": {"via": "none"}}},
    )
    for shard in range(SHARDS)
)


class Agent:
    """One `smtpcheck run --shard I/3`, with a state folder of its own."""

    def __init__(self, world: World, number: int, session: aiohttp.ClientSession) -> None:
        self.number = number
        self._folder = world.config.parent / f"agent-{number}"
        self._config, self._session = world.config, session
        self._process: asyncio.subprocess.Process | None = None
        self._log: asyncio.Task[None] | None = None
        self.url = ""

    async def start(self) -> None:
        own = self._folder / "agent.yaml"
        own.write_text(json.dumps({"agent": {"state": str(self._folder), "listen": "127.0.0.1:0"}}))
        options = ("-c", str(self._config), "-c", str(own), "--shard", f"mail-{self.number}/{SHARDS}")
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "smtpcheck", "run", *options, "--log.format", "json"),
            stderr=asyncio.subprocess.PIPE,
        )
        assert self._process.stderr
        while line := await self._process.stderr.readline():
            entry = json.loads(line)
            if entry["event"] == "listening":
                self.url = f"http://{entry['address']}"
                break
        self._log = asyncio.create_task(self._read(self._process.stderr))

    async def _read(self, log: asyncio.StreamReader) -> None:
        while await log.readline():
            pass

    async def kill(self) -> None:
        assert self._process
        assert self._log
        self._process.kill()
        await self._process.wait()
        await self._log

    async def get(self, path: str) -> Any:
        async with self._session.get(self.url + path) as response:
            return await response.json(content_type=None)

    async def send(self, name: str) -> int:
        """Have a check run, and return the status."""
        async with self._session.post(f"{self.url}/api/v1/checks/{name}/run?send=true") as response:
            await response.read()
            return response.status

    async def samples(self, name: str) -> list[tuple[dict[str, str], float]]:
        """Return labels and value of each sample of a metric."""
        async with self._session.get(self.url + "/metrics") as response:
            text = await response.text()
        return [(each.labels, each.value) for family in parse(text) for each in family.samples if each.name == name]

    async def runs(self) -> dict[str, float]:
        return {labels["check"]: value for labels, value in await self.samples("smtpcheck_runs_total")}

    async def run_all_again(self) -> None:
        """Wait until every check that logs in has run once more."""
        before = await self.runs()
        async with asyncio.timeout(HANG_SECONDS):
            while any(name[:4] == "auth" and count <= before[name] for name, count in (await self.runs()).items()):  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def __aenter__(self) -> Self:
        self._folder.mkdir()
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()


@asynccontextmanager
async def running_agents(folder: Path) -> AsyncIterator[tuple[World, list[Agent]]]:
    """Run three agents on one world."""
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(World(folder, (*SENDING, *WATCHING, *LOOPING)))
        edit(world.config, lambda document: document.pop("agent"))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        agents = [Agent(world, number, session) for number in range(SHARDS)]
        for agent in agents:
            await stack.enter_async_context(agent)
        yield world, agents


async def test_a_new_shard_sends_on_its_first_day(tmp_path: Path) -> None:
    async with World(tmp_path, (*SENDING, *LOOPING)) as world:
        again = partial(load, [world.config], shard=Shard(0, SHARDS))
        settings = again().settings
        assert settings
        with structlog.testing.capture_logs() as logged:
            agent, stop = await InProcess.create(settings, again, first_within=0.2), asyncio.Event()
            task = asyncio.create_task(agent.run(stop))
            boxes = {check.mailbox for check in settings.checks}
            await until(lambda: {message.mailbox for message in world.exchange.messages} == boxes)
            stop.set()
            await task
    assert [(entry["event"], entry.get("shard"), entry.get("checks"), entry.get("others")) for entry in logged[:1]] == [
        ("one of several agents", "0/3", len(settings.checks), len(settings.sharding.other_shards))
    ]


async def test_one_of_three_agents_is_killed_and_nothing_else_happens(tmp_path: Path) -> None:
    """The others go on; they and Prometheus can tell what is not run; its restart sends nothing a second time."""
    async with running_agents(tmp_path) as (world, agents):
        begun_at = time.time()
        layout = (await agents[0].get("/api/v1/shards"))["checks"]
        assert sorted(name for names in layout for name in names) == sorted(world.expected)
        for number, agent in enumerate(agents):
            assert await agent.get("/api/v1/shards") == {"shard": number, "shards": SHARDS, "checks": layout}
            for name in layout[number]:
                assert not name.startswith("send") or await agent.send(name) == 200
            assert await agent.send(layout[number - 1][0]) == 404
        boxes = {f"{scenario.name}@contoso.example" for scenario in (*SENDING, *LOOPING)}
        await until(lambda: {message.mailbox for message in world.exchange.messages} == boxes)
        sent = Counter(message.mailbox for message in world.exchange.messages)
        dead, living = agents[1], [agents[0], agents[2]]
        await dead.run_all_again()
        await dead.kill()
        await asyncio.gather(*(agent.run_all_again() for agent in living))

        run = {labels["check"] for agent in living for labels, _ in await agent.samples("smtpcheck_check_info")}
        told = {
            (labels["check"], labels["shard"])
            for agent in living
            for labels, _ in await agent.samples("smtpcheck_next_shard_check_info")
        }
        assert {(name, shard) for name, shard in told if name not in run} == {(name, "1") for name in layout[1]}
        counts = {labels["shard"]: value for labels, value in await living[0].samples("smtpcheck_shard_checks")}
        alive = {labels["shard"] for agent in living for labels, _ in await agent.samples("smtpcheck_shard_info")}
        assert {shard: count for shard, count in counts.items() if shard not in alive} == {"1": len(layout[1])}

        restarted_at = time.monotonic()
        await dead.start()
        while time.monotonic() < restarted_at + 60 * SOON + 2:
            await dead.run_all_again()
        for name in layout[1]:
            if name.startswith("send"):
                known = await dead.get(f"/api/v1/checks/{name}")
                assert known["next_run"] >= begun_at + INTERVAL
        of_the_dead = {f"{name}@contoso.example" for name in layout[1]}
        after = Counter(message.mailbox for message in world.exchange.messages)
        assert {box: after[box] for box in of_the_dead} == {box: sent[box] for box in of_the_dead}
        assert max(after.values()) <= 2  # the others' own slot may have come besides
