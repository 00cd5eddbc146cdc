"""Type `alertmanager`: alerts by Alertmanager's API v2 (https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml).

Rules of this file:
- Alertmanager knows an alert by its labels, so only what stays the same while it fires is a label: `alertname`,
  `severity`, what it is about, its group's cause, `instance` and `shard` of the agent that sends it, and the labels
  that all its checks have in common.
- An alert is sent again each minute to every instance, and ends by itself four minutes after the last time, as
  Prometheus does it (https://prometheus.io/docs/alerting/latest/clients/): what the agent can no longer send does not
  fire for ever. Its end is sent as `endsAt`.
- It is sent to each instance; one that takes it is enough, for they share what they have notified.
"""

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import structlog
from pydantic import Field

from smtpcheck.alerts.grouping import Severity, Subject
from smtpcheck.alerts.notification import Notification, Status
from smtpcheck.alerts.notifiers.http import HttpNotifier, read_headers
from smtpcheck.alerts.notifiers.notifier import Failure, Route, SecretUrl, Sender
from smtpcheck.alerts.notifiers.webhook import address_problem, routes_of
from smtpcheck.model.timestamp import rfc3339_milliseconds
from smtpcheck.secrets.source import SecretSource, SecretUnreadableError

REFRESH_SECONDS = 60.0
LIFETIME_SECONDS = 4 * REFRESH_SECONDS
PATH = "/api/v2/alerts"
_log = structlog.get_logger(__name__)


class Alertmanager(HttpNotifier):
    """Prometheus' Alertmanager, one or several instances."""

    type: Literal["alertmanager"] = "alertmanager"
    urls: tuple[SecretUrl, ...] = Field(min_length=1, description="The instances, such as http://am-1:9093.")

    def sender(self) -> Sender:
        """Return what posts to the instances."""
        return AlertmanagerSender(self)

    def secrets(self) -> Iterable[tuple[tuple[str | int, ...], SecretSource]]:
        """Return addresses and headers."""
        yield from ((("urls", index), source) for index, source in enumerate(self.urls))
        yield from super().secrets()

    def problem(self) -> str:
        """Return what is wrong with an address."""
        return next((problem for source in self.urls if (problem := address_problem(source))), "")

    def routes(self) -> Iterable[Route]:
        """Return the hosts of the instances."""
        for source in self.urls:
            yield from routes_of(source)


class AlertmanagerSender(Sender):
    """Posts alerts to every instance."""

    max_batch = 500
    refresh_every = REFRESH_SECONDS

    def __init__(self, alertmanager: Alertmanager) -> None:
        self._alertmanager = alertmanager
        self._client = alertmanager.client()
        self._failing: set[int] = set()

    async def send(self, notifications: Sequence[Notification]) -> Failure | None:
        """Post the notices to every instance; fails when none takes them."""
        try:
            urls, headers = await asyncio.to_thread(self._read)
        except SecretUnreadableError as error:
            return Failure(str(error))
        body = json.dumps([as_alert(notification, time.time()) for notification in notifications]).encode()
        headers |= {"Content-Type": "application/json"}
        post = self._client.request
        answers = await asyncio.gather(
            *(post("POST", url.rstrip("/") + PATH, headers=headers, body=body) for url in urls)
        )
        failures = [answer for answer in answers if answer is not None]
        if len(failures) == len(answers):
            return failures[0]
        for number, answer in enumerate(answers, 1):
            self._log_instance(number, answer)
        return None

    async def close(self) -> None:
        """Close what is open."""
        await self._client.close()

    def _log_instance(self, number: int, failure: Failure | None) -> None:
        """Log once that one of several instances cannot be reached."""
        if failure is None:
            self._failing.discard(number)
        elif number not in self._failing:
            self._failing.add(number)
            _log.warning("an Alertmanager does not accept alerts; another does", instance=number, error=failure.reason)

    def _read(self) -> tuple[list[str], dict[str, str]]:
        urls = [source.read().reveal() for source in self._alertmanager.urls]
        return urls, read_headers(self._alertmanager.headers)


def as_alert(notification: Notification, now: float) -> dict[str, Any]:
    """Return an alert as Alertmanager takes it, at Unix time `now`."""
    # A clock that was set back: Alertmanager refuses what ends before it starts, and lets fire what ends in the future.
    ended = now + LIFETIME_SECONDS if notification.ended_at is None else min(notification.ended_at, now)
    started = min(notification.started_at, ended, now)
    annotations = {
        "summary": notification.summary,
        "description": _description(notification),
        "runbook": "\n".join(f"{number}. {step}" for number, step in enumerate(notification.remedy, 1)),
        "runbook_url": notification.reference if notification.reference.startswith("https://") else "",
        "page": notification.page,
    }
    return {
        "labels": labels(notification),
        "annotations": {name: text for name, text in annotations.items() if text},
        "startsAt": rfc3339_milliseconds(started),
        "endsAt": rfc3339_milliseconds(ended),
        "generatorURL": notification.page,
    }


def labels(notification: Notification) -> dict[str, str]:
    """Return what makes the alert the same alert to Alertmanager."""
    key = notification.key
    own = {"alertname": _NAMES[key.severity], "severity": str(key.severity), str(key.subject): key.name}
    if key.subject is Subject.AGENT:
        own = {"alertname": "SmtpcheckAgent", "severity": str(key.severity)}
    if key.cause is not None:
        own["cause"] = str(key.cause)
    if notification.shard:
        own["shard"] = notification.shard
    return (
        {name: text for name, text in notification.labels.items() if text} | own | {"instance": _instance(notification)}
    )


def _instance(notification: Notification) -> str:
    """Return what Prometheus would call the agent: host and port of its page."""
    return urlsplit(notification.address).netloc


_NAMES = {Severity.CRITICAL: "SmtpcheckFailing", Severity.WARNING: "SmtpcheckWarning"}


def _description(notification: Notification) -> str:
    lines = list(notification.evidence)
    if notification.key.subject is not Subject.CHECK and notification.checks and notification.status is Status.FIRING:
        more = notification.count - len(notification.checks)
        lines.insert(0, f"Checks: {', '.join(notification.checks)}{f' and {more} more' if more > 0 else ''}")
    return "\n".join(lines)
