"""What every part of the benchmark stands on: two cores, a server on one of them, a token, and a configuration."""

import base64
import functools
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import trustme

from smtpcheck.config import Loaded, Settings, load
from tests.bench.smtp_server import serve

CHECKS = 10_000
SPAWN = multiprocessing.get_context("spawn")
HERE, THERE = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
"""The core of what is measured, and the core of what serves it."""


@dataclass(frozen=True)
class World:
    """A server that waits for checks, and what a check needs to know of it."""

    folder: Path
    port: int

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.pem"

    @functools.cached_property
    def token(self) -> str:
        return (self.folder / "token").read_text()

    def configuration(self, checks: int) -> Path:
        """Write a configuration of this many checks a minute, all with one credential."""
        mailboxes = self.folder / f"{checks}.csv"
        rows = (f"mailbox-{number:05}@example.org" for number in range(checks))
        mailboxes.write_text("\n".join(("mailbox", *rows)))
        path = self.folder / f"{checks}.yaml"
        path.write_text(
            f"""
agent: {{listen: "127.0.0.1:0", state: {self.folder / f"state-{checks}"}}}
credentials:
  ready: {{type: token, from: {{file: token}}}}
checks:
  - name: "{{local}}"
    mailboxes: {{file: {mailboxes.name}}}
    credential: ready
    interval: 60s
    server: {{host: 127.0.0.1, port: {self.port}, security: starttls, ca_file: ca.pem}}
"""
        )
        return path


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Run the server on the other core; its certificate is a P-256 key's, for this machine."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost", key_type=trustme.KeyType.ECDSA)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    issued.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    (folder / "token").write_text(_token())
    ours, theirs = SPAWN.Pipe()
    server = SPAWN.Process(target=_serve, args=(str(folder / "server.pem"), theirs), daemon=True)
    server.start()
    try:
        yield World(folder, ours.recv())
    finally:
        server.terminate()
        server.join()


def _serve(certificate: str, ready: Connection) -> None:
    os.sched_setaffinity(0, {THERE})
    serve(certificate, ready)


def configured(world: World, checks: int) -> tuple[Settings, Callable[[], Loaded]]:
    """Return the settings of this many checks, and how to load them again."""
    again = functools.partial(load, [world.configuration(checks)])
    settings = again().settings
    assert settings is not None
    return settings, again


def _token() -> str:
    """Return a token of the form and size of Entra's; only its times mean something."""
    claims = {"aud": "https://outlook.office365.com", "exp": int(time.time()) + 86400, "filler": "x" * 800}
    return ".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=").decode()
        for part in (b'{"alg":"RS256","typ":"JWT"}', json.dumps(claims).encode(), b"\x5a" * 256)
    )


def cpu_of(pid: int) -> float:
    """Return the seconds of CPU, user and system, that a process and all its threads have used (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def waited_of(pid: int) -> float:
    """Return the seconds for which a process's main thread was ready to run and had to wait for a core."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def memory_of(pid: int, field: str) -> float:
    """Return VmRSS (now) or VmHWM (the most so far) of a process in MB (proc(5))."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) / 1024


def own_process() -> ProcessPoolExecutor:
    """Return one new process on the measured core, for `submit`."""
    return ProcessPoolExecutor(1, SPAWN, initializer=os.sched_setaffinity, initargs=(0, {HERE}))
