"""Debian's servers as child processes of the tests: found, started, waited for, stopped, their logs shown."""

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.worlds.waiting import HANG_SECONDS

_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
_STOP_SECONDS = 10.0
_PORTS_OF_A_PROCESS = 64
_FIRST_PORT = 10_000 + os.getpid() % 350 * _PORTS_OF_A_PROCESS
_PORTS = itertools.cycle(range(_FIRST_PORT, _FIRST_PORT + _PORTS_OF_A_PROCESS))
"""Below those that the system gives to connections and listeners that ask for any: none is taken before its use."""


def real_binary(name: str) -> str:
    """Return the program's path; without it the test is skipped."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def need_root(name: str) -> None:
    """Skip the test when not run as root."""
    if os.geteuid() != 0:
        pytest.skip(f"{name} can be started by root only")


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on, and that no other process of the tests is given."""
    for port in itertools.islice(_PORTS, _PORTS_OF_A_PROCESS):
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    pytest.fail("no port is free")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Return once the condition holds; fail the test when it never does."""
    end = time.monotonic() + HANG_SECONDS
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"not within {HANG_SECONDS:g} s: {what}")
        time.sleep(0.05)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


class Daemon:
    """A server in the foreground of a process group of its own."""

    def __init__(self, command: Sequence[str | Path], *, log: Path, ports: Sequence[int]) -> None:
        self.log = log
        self._output = log.with_suffix(".output")
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            wait_until(lambda: self._is_up(ports), f"{command[0]} listens on {list(ports)}")
        except BaseException:
            self.stop()
            raise

    def _is_up(self, ports: Sequence[int]) -> bool:
        if self._process.poll() is not None:
            pytest.fail(f"{self._process.args!r} ended with {self._process.returncode}\n{self.tail()}")
        return all(_answers(port) for port in ports)

    def tail(self) -> str:
        """Return the last lines of what the server printed and logged."""
        lines = [line for path in (self._output, self.log) if path.exists() for line in path.read_text().splitlines()]
        return "\n".join(lines[-40:])

    def stop(self) -> None:
        """End the server and its whole process group."""
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._signal(signal.SIGKILL)
            self._process.wait()

    @property
    def exit_code(self) -> int | None:
        """Return what the server ended with; None while it runs, negative for a signal."""
        return self._process.poll()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return
