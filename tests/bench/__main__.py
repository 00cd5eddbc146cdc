"""`make bench`: how much smtpcheck costs, beside others and beside its goals. Linux only; takes some twenty minutes.

make bench ARGS=instructions counts what valgrind sees instead, which is the same on a busy machine. credentials,
api-checks and inspection are of a thousand each: tokens that are renewed, checks by mail APIs, mailboxes that a
provider is asked about.
"""

import argparse
import os
import platform
import ssl
import tempfile
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path

from tests.bench.agent_run import run_agent
from tests.bench.api_checks import api_checks
from tests.bench.comparison import compare
from tests.bench.credentials import credentials
from tests.bench.diagnosis import diagnosis
from tests.bench.growth import growth
from tests.bench.handshake import handshake
from tests.bench.http_requests import requests
from tests.bench.inspection import inspection
from tests.bench.instructions import instructions
from tests.bench.mail_api import mail_apis
from tests.bench.rooms import rooms
from tests.bench.table import Row, markdown
from tests.bench.world import World, world

ROWS: dict[str, Callable[[World], Iterable[Row]]] = {
    "probes": lambda world: chain(compare(world), handshake(world)),
    "rooms": rooms,
    "agent": run_agent,
    "requests": requests,
    "diagnosis": diagnosis,
    "mail-apis": mail_apis,
    "api-checks": api_checks,
    "credentials": credentials,
    "inspection": inspection,
    "instructions": instructions,
}
TABLES: dict[str, Callable[[World], str]] = {"growth": growth}
"""Parts that are a table of their own."""
PARTS = (*ROWS, *TABLES)
DEFAULT = (*(part for part in ROWS if part != "instructions"), *TABLES)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="PART", help=f"of {', '.join(PARTS)}")
    chosen = parser.parse_args().parts or DEFAULT
    print(
        f"CPython {platform.python_version()}, {ssl.OPENSSL_VERSION}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}\n",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as server:
        for part in chosen:
            print(TABLES[part](server) if part in TABLES else markdown(ROWS[part](server)), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
