"""CPU per probe: smtpcheck beside two libraries and blackbox_exporter, batch by batch in turn."""

import asyncio
import os
import re
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import aiohttp

from tests.bench.clients import AT_ONCE, CLIENTS, batch
from tests.bench.table import Row
from tests.bench.world import HERE, World, cpu_of, own_process

ROUNDS = 11
PROBES = 200
BLACKBOX = "blackbox_exporter"
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


def compare(world: World) -> list[Row]:
    """Return a row for each client; a ratio is the median of those of the single rounds."""
    with ExitStack() as stack:
        turns: dict[str, Callable[[int], float]] = {}
        for client in CLIENTS:
            process = stack.enter_context(own_process())
            turns[client] = lambda count, client=client, process=process: process.submit(  # type: ignore[misc]
                batch, client, world, count
            ).result()
        if shutil.which(PROGRAM):
            turns[BLACKBOX] = stack.enter_context(_blackbox(world))
        for turn in turns.values():
            turn(PROBES)
        rounds = [{client: turn(PROBES) for client, turn in turns.items()} for _ in range(ROUNDS)]
    costs = {client: 1e3 * statistics.median(round_[client] for round_ in rounds) for client in turns}
    rows = [Row(f"CPU of a probe: {client}", cost, "ms") for client, cost in costs.items()]
    for client, goal in ((BLACKBOX, 0.75), ("aiosmtplib", 1.0), ("smtplib in threads", None)):
        if client in turns:
            ratio = statistics.median(round_["smtpcheck"] / round_[client] for round_ in rounds)
            rows.append(Row(f"smtpcheck / {client}", ratio, "", goal))
    return rows


@contextmanager
def _blackbox(world: World) -> Iterator[Callable[[int], float]]:
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

        def turn(count: int) -> float:
            before = cpu_of(process.pid)
            asyncio.run(_ask(int(port), world.port, count))
            return (cpu_of(process.pid) - before) / count

        yield turn
    finally:
        process.terminate()
        process.communicate()


async def _ask(port: int, target: int, count: int) -> None:
    """Ask blackbox_exporter for `count` probes, as many at a time as the other clients do."""
    numbers = iter(range(count))
    parameters = {"module": "smtp", "target": f"127.0.0.1:{target}"}
    async with aiohttp.ClientSession() as session:

        async def one_after_the_other() -> None:
            for _ in numbers:
                async with session.get(f"http://127.0.0.1:{port}/probe", params=parameters) as answer:
                    assert "\nprobe_success 1\n" in await answer.text()

        await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))
