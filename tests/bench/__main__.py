"""`make bench`: how much smtpcheck costs, beside others and beside its goals. Linux only; takes some four minutes."""

import argparse
import os
import platform
import ssl
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.bench.agent_run import run_agent
from tests.bench.comparison import compare
from tests.bench.rooms import rooms
from tests.bench.table import Row, markdown
from tests.bench.world import World, world

PARTS: dict[str, Callable[[World], Iterable[Row]]] = {"probes": compare, "rooms": rooms, "agent": run_agent}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="PART", help=f"of {', '.join(PARTS)}")
    chosen = parser.parse_args().parts or PARTS
    load = os.getloadavg()[0]
    print(
        f"CPython {platform.python_version()}, {ssl.OPENSSL_VERSION}, {os.cpu_count()} cores, load {load:.1f}\n",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as server:
        for part in chosen:
            print(markdown(PARTS[part](server)), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
