"""Type `log`: alerts as lines of the log."""

from collections.abc import Sequence
from typing import Literal

import structlog

from smtpcheck.alerts.notification import Notice, Status
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
    most = 100

    async def send(self, notices: Sequence[Notice]) -> Failure | None:
        """Write the lines; never fails."""
        for notice in notices:
            write = _log.error if notice.status is Status.FIRING else _log.info
            write(f"alert {notice.status}", **notice.as_json())
        return None
