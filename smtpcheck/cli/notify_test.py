"""`smtpcheck notify-test`: whether alerts arrive, tried by every notifier."""

import asyncio
import sys
import time
from typing import TYPE_CHECKING

import typer

from smtpcheck.cli.options import NOT_USABLE, ConfigFiles, files_of, settings_or_exit
from smtpcheck.cli.run import run_loop
from smtpcheck.log import LogLevel, configure

if TYPE_CHECKING:
    from smtpcheck.alerts.notification import Notification
    from smtpcheck.alerts.notifiers.notifier import Failure, Notifier
    from smtpcheck.config.alerts import AlertSettings, HeartbeatSettings

EXIT_NOT_SENT = 2
_SENT = "sent"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="notify-test")(notify_test)


def notify_test(config_file: ConfigFiles = None) -> int:
    """Send a test alert by every notifier.

    It fires and is resolved; the heartbeat is called too.

    Exit codes: 0 all accepted it, 2 one did not, 3 none is configured or the configuration is invalid.
    """
    from smtpcheck.config import load

    configure(LogLevel.INFO)
    settings = settings_or_exit(load(files_of(config_file)), NOT_USABLE)
    alerts = settings.alerts
    if alerts is None or not (alerts.notifiers or alerts.heartbeat):
        print("the configuration names no notifier under alerts.notify, and no heartbeat", file=sys.stderr)
        return NOT_USABLE
    return run_loop(_try(alerts, settings.agent.page))


async def _try(alerts: "AlertSettings", address: str) -> int:
    from rich.table import Table

    from smtpcheck.alerts.notification import trial
    from smtpcheck.alerts.notifiers.heartbeat import LABEL
    from smtpcheck.output.finding import show

    notifications = trial(time.time(), address)
    rows = list(await asyncio.gather(*(_send_test(notifier, notifications) for notifier in alerts.notifiers)))
    if alerts.heartbeat is not None:
        rows.append((LABEL, LABEL, await _call_heartbeat(alerts.heartbeat)))
    table = Table("notifier", "type", "result", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    show(table)
    return 0 if all(result == _SENT for _, _, result in rows) else EXIT_NOT_SENT


async def _send_test(notifier: "Notifier", notifications: "tuple[Notification, Notification]") -> tuple[str, str, str]:
    """Return the row of a notifier."""
    sender = notifier.sender()
    try:
        for notification in notifications:
            async with asyncio.timeout(_limit()):
                failure = await sender.send([notification])
            if failure is not None:
                return notifier.label, notifier.type, f"{notification.status} not sent: {failure.reason}"
    except TimeoutError:
        return notifier.label, notifier.type, f"did not finish within {_limit():g} s"
    finally:
        await sender.close()
    return notifier.label, notifier.type, _SENT


async def _call_heartbeat(settings: "HeartbeatSettings") -> str:
    beat = settings.heartbeat()
    try:
        failure: Failure | None = await beat.call()
    finally:
        await beat.close()
    return f"not called: {failure.reason}" if failure else _SENT


def _limit() -> float:
    from smtpcheck.alerts.dispatcher import SEND_SECONDS

    return SEND_SECONDS
