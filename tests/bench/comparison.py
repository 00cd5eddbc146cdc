"""CPU per probe: smtpcheck beside two libraries, blackbox_exporter and a bare dialogue, batch by batch in turn."""

import asyncio
import os
import re
import shutil
import statistics
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager

import aiohttp

from tests.bench.clients import CLIENTS, batch
from tests.bench.table import Row
from tests.bench.world import HERE, World, cpu_of, own_process

ROUNDS = 11
PROBES = 200
AT_ONCE = (1, 8)
BLACKBOX = "blackbox_exporter"
GOALS = {BLACKBOX: {1: 0.85, 8: 0.92}, "aiosmtplib": {1: 1.0, 8: 1.0}}
"""The most that smtpcheck may cost, as a part of what another client costs, with so many probes at once."""

FLOOR = "a bare dialogue"
"""The client below which none that is built alike can come."""

PROGRAM = "prometheus-blackbox-exporter"

MODULES = """
modules:
  smtp:
    prober: tcp
    tcp:
      tls_config: {server_name: 127.0.0.1}
      query_response:
        - {expect: "^220 "}
        - {send: "EHLO localhost\\r"}
        - {expect: "^250-STARTTLS"}
        - {expect: "^250 "}
        - {send: "STARTTLS\\r"}
        - {expect: "^220 "}
        - {starttls: true}
        - {send: "EHLO localhost\\r"}
        - {expect: "^250-AUTH.* XOAUTH2"}
        - {expect: "^250 "}
        - {send: "QUIT\\r"}
        - {expect: "^221 "}
"""


_Turn = Callable[[int], float]
"""Does a batch, so many probes at once, and returns the seconds of CPU of each."""


def compare(world: World) -> Iterator[Row]:
    """Yield what a probe costs each client, and the ratios: medians of those of the single rounds."""
    with ExitStack() as stack:
        turns = {client: _turn(stack.enter_context(own_process()), client, world) for client in CLIENTS}
        if shutil.which(PROGRAM):
            turns[BLACKBOX] = stack.enter_context(_blackbox(world))
        for at_once in AT_ONCE:
            yield from _race(turns, at_once)


def _race(turns: dict[str, _Turn], at_once: int) -> Iterator[Row]:
    for turn in turns.values():
        turn(at_once)
    rounds = [{client: turn(at_once) for client, turn in turns.items()} for _ in range(ROUNDS)]
    for client in turns:
        cost = statistics.median(round_[client] for round_ in rounds)
        yield Row(f"CPU of a probe, {at_once} at once: {client}", 1e3 * cost, "ms")
    for client in filter(turns.__contains__, GOALS):
        for ours, goal in (("smtpcheck", GOALS[client][at_once]), (FLOOR, None)):
            ratio = statistics.median(round_[ours] / round_[client] for round_ in rounds)
            yield Row(f"{at_once} at once: {ours} / {client}", ratio, "", goal)


def _turn(process: Executor, client: str, world: World) -> _Turn:
    return lambda at_once: process.submit(batch, client, world, PROBES, at_once).result()


@contextmanager
def _blackbox(world: World) -> Iterator[_Turn]:
    """Run blackbox_exporter on the measured core; its trusted certificates are read once, as those of the system."""
    modules = world.folder / "blackbox.yml"
    modules.write_text(MODULES)
    process = subprocess.Popen(
        [PROGRAM, f"--config.file={modules}", "--web.listen-address=127.0.0.1:0"],
        env={**os.environ, "SSL_CERT_FILE": str(world.ca_file), "SSL_CERT_DIR": "/nonexistent"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    os.sched_setaffinity(process.pid, {HERE})
    try:
        port = next(found[1] for line in process.stderr if (found := re.search(r"address=127\.0\.0\.1:(\d+)", line)))
        # Later versions log every probe, and would wait for ever for a reader.
        threading.Thread(target=process.stderr.read, daemon=True).start()

        def turn(at_once: int) -> float:
            before = cpu_of(process.pid)
            asyncio.run(_ask(int(port), world.port, at_once))
            return (cpu_of(process.pid) - before) / PROBES

        yield turn
    finally:
        process.terminate()
        process.wait()


async def _ask(port: int, target: int, at_once: int) -> None:
    """Ask blackbox_exporter for a batch."""
    numbers = iter(range(PROBES))
    parameters = {"module": "smtp", "target": f"127.0.0.1:{target}"}
    async with aiohttp.ClientSession() as session:

        async def one_after_the_other() -> None:
            for _ in numbers:
                async with session.get(f"http://127.0.0.1:{port}/probe", params=parameters) as answer:
                    assert "\nprobe_success 1\n" in await answer.text()

        await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))
