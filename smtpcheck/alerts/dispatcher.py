"""Sends one notifier the notifications that its log has due, one request after the other.

Rules of this file:
- A notifier has a task of its own: one that hangs or fails delays no other, and no check.
- A failed request is retried with back-off, from seconds to minutes, and never before the time that the other side asks
  for. What it will refuse again, and what ended more than a day ago, is dropped: logged and counted.
- Alerts that begin together go out together, as many in one request as the notifier takes: after the first one there is
  a short wait for more.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from smtpcheck.alerts.notification import Notification
from smtpcheck.alerts.notification_log import DueNotification, NotificationLog, Reason
from smtpcheck.alerts.notifiers.notifier import Failure, Sender

BATCH_SECONDS = 1.0
"""How long to wait for alerts that begin together with the first one."""
POLL_SECONDS = 5.0
"""How often to look for a reminder that is due."""
SEND_SECONDS = 30.0
"""How long one request may take."""
CLOSE_SECONDS = 5.0
"""How long a stop waits for what is due; what is not sent by then is sent after the next start."""
FIRST_RETRY = 5.0
LONGEST_RETRY = 300.0
_log = structlog.get_logger(__name__)


class Dispatcher:
    """Serves one notifier."""

    def __init__(
        self,
        name: str,
        sender: Sender,
        notification_log: NotificationLog,
        *,
        render: Callable[[DueNotification], Notification],
        persist: Callable[[], Awaitable[object]],
        is_withheld: Callable[[DueNotification], bool],
        wall: Callable[[], float],
    ) -> None:
        """Serve a notifier by its notification log.

        `render` puts what is due into words, `persist` writes the log's changes to the state file, before and after
        each request, `is_withheld` says what is not sent for now, and `wall` is the time (Unix seconds).
        """
        self.name = name
        self.notification_log = notification_log
        self.counts: Counter[str] = Counter(success=0, error=0, dropped=0)
        self.failure = ""
        """Why the last request failed; empty when it did not."""
        self.failing_since: float | None = None
        """When the first of the requests in a row that failed did (Unix seconds)."""
        self._sender = sender
        self._render, self._persist, self._is_withheld, self._wall = render, persist, is_withheld, wall
        self._woken, self._end = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failures = 0

    @property
    def is_remote(self) -> bool:
        """Return whether the notifier leaves the agent."""
        return self._sender.is_remote

    @property
    def refresh_every(self) -> float | None:
        """Return after how many seconds the notifier forgets an alert that is not sent again."""
        return self._sender.refresh_every

    def wake(self) -> None:
        """Look soon for what is due."""
        self._woken.set()

    def start(self) -> None:
        """Begin to send what is due."""
        self._task = asyncio.create_task(self._run(), name=f"notifier {self.name}")

    async def stop(self, *, flush: bool) -> None:
        """End once the present request has ended; with `flush` send also what else is due, within `CLOSE_SECONDS`."""
        self._end.set()
        self._woken.set()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                if self._task is not None:
                    await self._task
                while flush and await self.send_due() == 0.0:
                    pass
        except TimeoutError:
            _log.warning("not every notification could be sent before the shutdown", notifier=self.name)
        finally:
            await self._sender.close()

    async def _run(self) -> None:
        while not self._end.is_set():
            try:
                wait = await self.send_due()
            except Exception:  # noqa: BLE001 - a bug of ours ends no notifier
                _log.exception("internal error", notifier=self.name)
                wait = LONGEST_RETRY
            if wait is None and await _within(self._woken, POLL_SECONDS):
                self._woken.clear()
                await _within(self._end, BATCH_SECONDS)
            elif wait:
                await _within(self._end, wait)

    async def send_due(self) -> float | None:
        """Send one request, if one is due; return how many seconds to wait for the next, None: nothing is due."""
        if stale := self.notification_log.drop_stale(self._wall()):
            await self._persist()
            self._drop(stale, "they ended more than a day ago")
        batch = self._batch()
        if not batch:
            return None
        for due in batch:
            self.notification_log.mark_started(due)
        await self._persist()
        failure = await self._send(batch)
        if failure is None or failure.permanent:
            for due in batch:
                self.notification_log.mark_sent(due, self._wall())
            await self._persist()
        if failure is None:
            self._record_success(batch)
            return 0.0
        self._record_failure(failure, batch)
        return 0.0 if failure.permanent else self._backoff(failure)

    def _batch(self) -> list[DueNotification]:
        """Return what goes into the next request: all firing or all resolved, and no more than the sender takes."""
        due = self.notification_log.due(self._wall(), self._is_withheld)
        resolved = bool(due) and due[0].reason is Reason.RESOLVED
        same = [each for each in due if (each.reason is Reason.RESOLVED) == resolved]
        return same[: self._sender.max_batch]

    async def _send(self, batch: list[DueNotification]) -> Failure | None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                return await self._sender.send([self._render(due) for due in batch])
        except TimeoutError:
            return Failure(f"did not finish within {SEND_SECONDS:g} s")
        except Exception as error:  # noqa: BLE001 - what is wrong with one notifier stops no other
            _log.exception("internal error", notifier=self.name)
            return Failure(f"{type(error).__name__} inside smtpcheck; the log has the traceback")

    def _record_success(self, batch: list[DueNotification]) -> None:
        self.counts["success"] += len(batch)
        if self.failure:
            _log.info("the notifier works again", notifier=self.name)
        self.failure, self.failing_since, self._failures = "", None, 0

    def _record_failure(self, failure: Failure, batch: list[DueNotification]) -> None:
        self.counts["error"] += len(batch)
        if self.failure != failure.reason:
            _log.error("the notifier fails", notifier=self.name, error=failure.reason, waiting=len(batch))
        if self.failing_since is None:
            self.failing_since = self._wall()
        self.failure = failure.reason
        if failure.permanent:
            self._drop(len(batch), failure.reason)
            return
        for due in batch:
            self.notification_log.mark_failed(due)

    def _backoff(self, failure: Failure) -> float:
        self._failures += 1
        pause = min(FIRST_RETRY * 2.0 ** min(self._failures - 1, 16), LONGEST_RETRY)
        return max(pause, failure.retry_after or 0.0)

    def _drop(self, count: int, reason: str) -> None:
        self.counts["dropped"] += count
        _log.error("notifications dropped", notifier=self.name, count=count, reason=reason)


async def _within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, and return whether it came within the time."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()
