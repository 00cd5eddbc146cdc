"""What is done again and again on the monotonic clock, which no setting of the wall clock delays."""

import asyncio
from collections.abc import Callable

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


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task, and return when it has ended."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
