"""Type `apprise`: Slack, Teams, Telegram, ntfy and a hundred others, by Apprise (https://github.com/caronc/apprise).

Rules of this file:
- The library is imported where it is first used, and asked in a thread of its own: it blocks, and has no end in time
  for everything. While a sending hangs no further one is begun. Its requests are bounded exchanges of `http_client`.
- The address holds the keys of the place. It is read for each sending; what the library logs is kept from the log, and
  only its last line is shown, without any part of the address.
"""

import asyncio
import io
import logging
import re
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Literal, Self

from pydantic import Field

from smtpcheck.alerts.grouping import Severity
from smtpcheck.alerts.notification import Notification, Status
from smtpcheck.alerts.notifiers.notifier import Failure, Notifier, Route, SecretUrl, Sender
from smtpcheck.alerts.notifiers.recipes import INCIDENT_TOOLS, recipe_of
from smtpcheck.http_client.exchange import Limits
from smtpcheck.secrets.source import SecretSource, SecretUnreadableError

SHORTEST_KEY = 5
"""Parts of an address from this length on are taken for keys."""
LIMITS = Limits(seconds=30.0, connect_seconds=10.0, octets=1024 * 1024)
"""For each request of a plug-in, which may have a shorter time limit of its own."""
_MASK = "***"
_logger = logging.getLogger("apprise")


class Apprise(Notifier):
    """Any place that Apprise knows."""

    type: Literal["apprise"] = "apprise"
    url: SecretUrl = Field(description="An address of Apprise, as text or as {env: ...} and the like.")

    def sender(self) -> Sender:
        """Return what sends by Apprise."""
        return AppriseSender(self.url)

    def secrets(self) -> Iterable[tuple[tuple[str | int, ...], SecretSource]]:
        """Return the address."""
        yield ("url",), self.url

    def problem(self) -> str:
        """Return what is wrong with the address."""
        url = self._address()
        return "" if url is None or plugin_of(url) is not None else "is not an address that Apprise knows"

    def advice(self) -> tuple[str, str] | None:
        """Return that an incident tool would be paged again by a recovery, for Apprise sends it no resolve."""
        scheme = (self._address() or "").partition("://")[0].lower()
        if scheme not in INCIDENT_TOOLS:
            return None
        return "pages again when an alert is resolved: Apprise sends no resolve there", recipe_of(scheme)

    def routes(self) -> Iterable[Route]:
        """Return the host that mail would go by, and the domain that it would come from."""
        url = self._address()
        plugin = None if url is None else plugin_of(url)
        return () if plugin is None else _routes(plugin)

    def _address(self) -> str | None:
        """Return the address, None where it cannot be read without running a command."""
        try:
            return None if self.url.command is not None else self.url.read().reveal()
        except SecretUnreadableError:
            return None


class AppriseSender(Sender):
    """Sends by Apprise, several alerts in one message."""

    max_batch = 20

    def __init__(self, url: SecretSource) -> None:
        self._url = url
        self._is_sending = False

    async def send(self, notifications: Sequence[Notification]) -> Failure | None:
        """Send the notifications as one message."""
        if self._is_sending:
            return Failure("an earlier message is still hanging")
        self._is_sending = True
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Failure | None] = loop.create_future()

        def answer(result: Failure | None) -> None:
            if not done.done():
                done.set_result(result)

        def work() -> None:
            result = self._send(notifications)
            self._is_sending = False
            with suppress(RuntimeError):  # the loop may have ended while the place kept us waiting
                loop.call_soon_threadsafe(answer, result)

        threading.Thread(target=work, name="apprise", daemon=True).start()
        return await done

    def _send(self, notifications: Sequence[Notification]) -> Failure | None:
        """Send the message; in the thread."""
        try:
            url = self._url.read().reveal()
        except SecretUnreadableError as error:
            return Failure(str(error))
        plugin = plugin_of(url)
        if plugin is None:
            return Failure("its address is not one that Apprise knows")
        title, body = message(notifications)
        if "overflow=" not in url:
            plugin.overflow_mode = "split"  # a place that takes short messages gets several
        with _Captured() as captured:
            try:
                if plugin.notify(title=title, body=body, notify_type=notify_type(notifications)):
                    return None
            except Exception as error:  # noqa: BLE001 - a plug-in of a third party
                return Failure(f"Apprise failed with {type(error).__name__}")
        said = redacted(captured.last, url)
        return Failure(f"Apprise says: {said}" if said else "Apprise says that it could not be sent")


class _Captured(logging.Handler):
    """Takes what the library logs in this thread, and keeps it from the log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.last = record.getMessage()

    def __enter__(self) -> Self:
        _logger.propagate = False
        _logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        _logger.removeHandler(self)


def plugin_of(url: str) -> Any:
    """Return what Apprise makes of an address, None where it knows none."""
    import apprise  # noqa: PLC0415 - a tenth of a second and some megabytes

    from smtpcheck.http_client.bounded_requests import bound_requests  # noqa: PLC0415 - requests

    with _Captured():
        plugin = apprise.Apprise.instantiate(url)
    bound_requests("apprise", LIMITS)
    return plugin


def message(notifications: Sequence[Notification]) -> tuple[str, str]:
    """Return title and body for some notifications, all firing or all resolved."""
    if len(notifications) == 1:
        return notifications[0].title(), notifications[0].text()
    status = notifications[0].status
    title = f"[{status.upper()}: {len(notifications)}] smtpcheck"
    return title, "\n\n".join(f"{notification.title()}\n{notification.text()}" for notification in notifications)


def notify_type(notifications: Sequence[Notification]) -> str:
    """Return Apprise's word for how bad it is; places choose a colour by it."""
    if notifications[0].status is Status.RESOLVED:
        return "success"
    return (
        "failure"
        if any(notification.key.severity is Severity.CRITICAL for notification in notifications)
        else "warning"
    )


def redacted(text: str, url: str) -> str:
    """Return a text without any longer part of an address, its scheme left out; at most 200 characters."""
    _, _, rest = url.partition("://")
    parts = {part for part in re.split(r"[/?&=:@,#\s]", rest) if len(part) >= SHORTEST_KEY}
    for part in sorted(parts, key=len, reverse=True):
        text = text.replace(part, _MASK)
    line = io.StringIO(text).readline().strip()
    return line[:200]


def _routes(plugin: Any) -> Iterable[Route]:
    """Yield the mail host of a plug-in, and the domain of each address that it would send from or to."""
    if host := getattr(plugin, "smtp_host", ""):
        yield Route(str(host), is_mail=True)
    for name in ("from_addr", "from_email", "source", "targets", "cc", "bcc"):
        for address in _addresses(getattr(plugin, name, None)):
            yield Route(address.rpartition("@")[2], is_mail=True)


def _addresses(value: object) -> Iterable[str]:
    if isinstance(value, str):
        if re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", value):
            yield value
    elif isinstance(value, list | tuple | set):
        for inner in value:
            yield from _addresses(inner)
