"""What is done again and again on the monotonic clock, which no setting of the wall clock delays."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from smtpcheck.agent.health import Health

_log = structlog.get_logger(__name__)


async def every(seconds: float, job: Callable[[], None], health: Health) -> None:
    """Do the job every `seconds` until cancelled; what it raises is logged and counted, and ends nothing."""
    while True:
        try:
            job()
        except Exception:  # noqa: BLE001
            health.internal_errors += 1
            _log.exception("internal error")
        await asyncio.sleep(seconds)


async def finish(running: Mapping[asyncio.Task[Any], float]) -> None:
    """Wait for tasks, each with its time limit in seconds; what is late then is cancelled."""
    if not running:
        return
    limit = max(running.values())
    _log.info("draining", running=len(running), seconds=limit)
    _, late = await asyncio.wait(running, timeout=limit)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task, and return when it has ended."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
