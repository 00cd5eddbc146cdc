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
            write(f"alert {notification.status}", **_fields(notification))
        return None


def _fields(notification: Notification) -> dict[str, object]:
    """Return the fields of a line; lists as text, which a console and a search can read."""
    fields = {name: value for name, value in notification.as_json().items() if value not in ("", None, [], {})}
    subject = fields.pop("subject")
    fields |= {
        "subject": f"{subject['kind']} {subject['name']}",
        "checks": ", ".join(notification.checks),
        "evidence": "; ".join(notification.evidence),
        "remedy": " ".join(f"{number}. {step}" for number, step in enumerate(notification.remedy, 1)),
        "labels": ", ".join(f"{name}={value}" for name, value in notification.labels.items()),
    }
    return {name: value for name, value in fields.items() if value}
