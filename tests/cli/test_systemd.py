"""What the agent reports to a service manager: a real datagram socket, as sd_notify(3) describes it."""

import asyncio
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpcheck.cli.systemd import notify, supervised, watchdog_seconds
from tests.worlds.waiting import HANG_SECONDS

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="Unix only")


@pytest.fixture(params=["a file", "the abstract namespace"])
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Return a service manager's socket, named to the process in both forms that there are."""
    name = str(tmp_path / "notify") if request.param == "a file" else f"\0{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name)
        listener.settimeout(HANG_SECONDS)
        monkeypatch.setenv("NOTIFY_SOCKET", name.replace("\0", "@"))
        yield listener


@pytest.fixture
def _watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)


def received(manager: socket.socket) -> str:
    return manager.recv(100).decode()


def nothing_more(manager: socket.socket) -> bool:
    """Return whether no message waits."""
    manager.setblocking(False)
    try:
        manager.recv(100)
    except BlockingIOError:
        return True
    return False


async def test_the_manager_hears_of_the_start_when_the_agent_is_ready(manager: socket.socket) -> None:
    ready = threading.Event()
    async with supervised(ready.is_set, str):
        await asyncio.sleep(0)
        assert nothing_more(manager)
        manager.settimeout(HANG_SECONDS)
        ready.set()
        assert await asyncio.to_thread(received, manager) == "READY=1"
    assert nothing_more(manager), "no watchdog was asked for"


@pytest.mark.usefixtures("_watched")
async def test_the_watchdog_is_fed_only_while_the_agent_does_its_work(manager: socket.socket) -> None:
    asked = asyncio.Event()
    reason = ""

    def stuck_reason() -> str:
        asked.set()
        return reason

    async with supervised(lambda: True, stuck_reason):
        heard = [await asyncio.to_thread(received, manager) for _ in range(3)]
        assert heard == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]
        reason = "no check is started"
        while not nothing_more(manager):
            pass
        for _ in range(2):
            asked.clear()
            await asyncio.wait_for(asked.wait(), HANG_SECONDS)
        assert nothing_more(manager)


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative", "/nowhere/notify", "@nobody-listens-here"])
def test_without_a_manager_that_listens_nothing_happens(
    address: str, manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No error either; one that listens elsewhere hears nothing."""
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")
    assert nothing_more(manager)


def test_a_manager_that_does_not_read_delays_nothing(manager: socket.socket) -> None:
    """Its queue is full after some hundreds."""
    for _ in range(2000):
        notify("WATCHDOG=1")
    assert received(manager) == "WATCHDOG=1"


@pytest.mark.parametrize(
    ("microseconds", "process", "seconds"),
    [
        ("30000000", None, 30.0),
        ("30000000", "{pid}", 30.0),
        ("30000000", "1", 0.0),
        ("", None, 0.0),
        ("soon", None, 0.0),
        ("-5", None, 0.0),
        ("٣", None, 0.0),
    ],
)
def test_the_watchdog_is_for_the_process_that_it_names(
    microseconds: str, process: str | None, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that the agent starts inherits its environment."""
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    if process:
        monkeypatch.setenv("WATCHDOG_PID", process.format(pid=os.getpid()))
    assert watchdog_seconds() == seconds
