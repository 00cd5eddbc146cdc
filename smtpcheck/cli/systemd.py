"""What the agent reports to systemd, or to another service manager with its protocol (sd_notify(3)).

Rules of this file:
- Without `$NOTIFY_SOCKET` nothing is sent: the agent runs in the same way with and without a service manager.
- READY once the checks are being scheduled; a start with an unusable configuration fails.
- The watchdog (sd_watchdog_enabled(3)) is fed while the agent does its work, as `/-/healthy` says it. Where only a
  restart helps, or the event loop stands still, it is not.
- A message that cannot be sent is dropped: the service manager acts on the next ones that are missing.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from smtpcheck.agent.ticking import end

_START_SECONDS = 0.2
"""How often it is asked whether the agent is ready."""


@asynccontextmanager
async def supervised(ready: Callable[[], bool], stuck_reason: Callable[[], str]) -> AsyncIterator[None]:
    """Report the agent's start and its work for as long as the context lasts."""
    reports = asyncio.create_task(_report(ready, stuck_reason), name="systemd")
    try:
        yield
    finally:
        await end(reports)


async def _report(ready: Callable[[], bool], stuck_reason: Callable[[], str]) -> None:
    while not ready():  # noqa: ASYNC110 - nothing else waits for it
        await asyncio.sleep(_START_SECONDS)
    notify("READY=1")
    interval = watchdog_seconds()
    while interval:
        if not stuck_reason():
            notify("WATCHDOG=1")
        await asyncio.sleep(interval / 2)


def notify(state: str) -> None:
    """Send one message to the service manager, if there is one."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.sendto(state.encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)


def watchdog_seconds() -> float:
    """Return within which time the service manager expects a message again and again; 0: it expects none from us."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    digits = os.environ.get("WATCHDOG_USEC", "")
    return int(digits) / 1e6 if digits.isascii() and digits.isdigit() else 0.0
