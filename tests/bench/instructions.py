"""Instructions per probe, counted by valgrind: what a busy machine cannot blur. Takes some five minutes; only by name.

Counted in user space, in the thread that probes; the kernel's part is the same for all. Go does not run under valgrind.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bench.clients import batch
from tests.bench.table import Row
from tests.bench.world import World

PROBES = 80
AT_ONCE = 8
COUNTED = ("smtpcheck", "aiosmtplib")
GOAL = 1.0
"""The most that smtpcheck may take, as a part of what aiosmtplib takes."""

_TOTAL = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)


def instructions(world: World) -> Iterator[Row]:
    """Yield the instructions of each client, and their ratio; nothing where valgrind is not installed."""
    if shutil.which("valgrind") is None:
        return
    counts = {client: (_count(client, world, PROBES) - _count(client, world, 0)) / PROBES for client in COUNTED}
    for client, count in counts.items():
        yield Row(f"instructions of a probe: {client}", count / 1e6, "million")
    ours, theirs = (counts[client] for client in COUNTED)
    yield Row("instructions: smtpcheck / aiosmtplib", ours / theirs, "", GOAL)


def _count(client: str, world: World, probes: int) -> int:
    """Return the instructions of a process that starts, warms up, and does so many probes."""
    out = world.folder / f"callgrind.{client}.{probes}"
    command = ["valgrind", "--quiet", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={out}"]
    arguments = [str(world.folder), str(world.port), client, str(probes)]
    subprocess.run([*command, sys.executable, "-m", __name__, *arguments], check=True)
    found = _TOTAL.search(Path(f"{out}-01").read_text())
    assert found is not None
    return int(found[1])


if __name__ == "__main__":
    _folder, _port, _client, _probes = sys.argv[1:]
    _world = World(Path(_folder), int(_port))
    for _number in (3 * AT_ONCE, int(_probes)):
        if _number:
            batch(_client, _world, _number, AT_ONCE)
