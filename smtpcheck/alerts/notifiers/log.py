"""Type `log`: alerts as lines of the log."""

from collections.abc import Sequence
from typing import Literal

import structlog

from smtpcheck.alerts.notification import Notification, Status
from smtpcheck.alerts.notifiers.notifier import Failure, Notifier, Sender

_log = structlog.get_logger("smtpcheck.alerts")


class Log(Notifier):
    """The log of the agent itself."""

    type: Literal["log"] = "log"

    def sender(self) -> Sender:
        """Return what writes the lines."""
        return LogSender()


class LogSender(Sender):
    """Writes one line for each alert."""

    is_remote = False
    max_batch = 100

    async def send(self, notifications: Sequence[Notification]) -> Failure | None:
        """Write the lines; never fails."""
        for notification in notifications:
            write = _log.error if notification.status is Status.FIRING else _log.info
            write(f"alert {notification.status}", **notification.as_json())
        return None
