"""Type `pagerduty`: incidents by PagerDuty's Events API v2 (https://developer.pagerduty.com/docs/events-api-v2/overview/).

Rules of this file:
- One event a request, known to PagerDuty by its `dedup_key`: the alert's id, the same from firing to resolved and over
  a restart, and another one the next time that the alert fires. A reminder updates the incident and pages nobody again.
- What is sent always has the documented form, so a 400 means that the key is wrong. It is tried again like any other
  failure, for the key can be replaced; nothing is lost meanwhile.
- The key is in the body and never in what is said of a failure.
"""

import asyncio
import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pydantic import Field

from smtpcheck.alerts.notification import Notification, Status
from smtpcheck.alerts.notifiers.http import HttpNotifier, read_headers
from smtpcheck.alerts.notifiers.notifier import Failure, Route, Sender
from smtpcheck.alerts.notifiers.service import ServiceUrl, endpoint, host_route, kept_for_retry, key_problem, shortened
from smtpcheck.model.timestamp import rfc3339_milliseconds
from smtpcheck.secrets.source import SecretSource, SecretUnreadableError

URL = "https://events.pagerduty.com"
PATH = "/v2/enqueue"
MOST_SUMMARY = 1024
KEY_FORM = r"[A-Za-z0-9]{32}"


class PagerDuty(HttpNotifier):
    """A service of PagerDuty, by the integration key of "Events API v2"."""

    type: Literal["pagerduty"] = "pagerduty"
    routing_key: SecretSource = Field(description="The integration key of the service, from where a secret comes.")
    url: ServiceUrl = Field(
        default=URL, description="Where events are sent; https://events.eu.pagerduty.com in the EU region."
    )

    def sender(self) -> Sender:
        """Return what sends events."""
        return PagerDutySender(self)

    def secrets(self) -> Iterable[tuple[tuple[str | int, ...], SecretSource]]:
        """Return key and headers."""
        yield ("routing_key",), self.routing_key
        yield from super().secrets()

    def problem(self) -> str:
        """Return what is wrong with the key."""
        return key_problem(self.routing_key, KEY_FORM, "has a routing_key that is not 32 letters and digits")

    def routes(self) -> Iterable[Route]:
        """Return the host of the service."""
        return host_route(self.url)


class PagerDutySender(Sender):
    """Sends each alert as an event of its own."""

    def __init__(self, pagerduty: PagerDuty) -> None:
        self._pagerduty = pagerduty
        self._client = pagerduty.client()

    async def send(self, notifications: Sequence[Notification]) -> Failure | None:
        """Send one event."""
        try:
            key, headers = await asyncio.to_thread(self._read)
        except SecretUnreadableError as error:
            return Failure(str(error))
        body = json.dumps(event(notifications[0], key)).encode()
        headers |= {"Content-Type": "application/json"}
        url = endpoint(self._pagerduty.url, PATH)
        failure = await self._client.request("POST", url, headers=headers, body=body)
        return kept_for_retry(failure, "is the routing_key that of an Events API v2 integration?")

    async def close(self) -> None:
        """Close what is open."""
        await self._client.close()

    def _read(self) -> tuple[str, dict[str, str]]:
        return self._pagerduty.routing_key.read().reveal(), read_headers(self._pagerduty.headers)


def event(notification: Notification, routing_key: str) -> dict[str, Any]:
    """Return an alert as the Events API takes it."""
    identity = {"routing_key": routing_key, "dedup_key": f"smtpcheck-{notification.id}"}
    if notification.status is Status.RESOLVED:
        return {**identity, "event_action": "resolve"}
    reference = notification.reference
    links = [{"href": notification.page, "text": "The page of smtpcheck"}]
    if reference.startswith("https://"):
        links.append({"href": reference, "text": "What the vendor says"})
    return {
        **identity,
        "event_action": "trigger",
        "payload": {
            "summary": shortened(notification.summary, MOST_SUMMARY),
            "source": notification.key.name,
            "severity": str(notification.key.severity),
            "timestamp": rfc3339_milliseconds(notification.started_at),
            "component": str(notification.key.subject),
            "class": notification.cause or "smtpcheck",
            "custom_details": details(notification),
        },
        "client": "smtpcheck",
        "client_url": notification.page,
        "links": links,
    }


def details(notification: Notification) -> dict[str, Any]:
    """Return what else is known: evidence, fix, checks and labels."""
    return {
        "evidence": list(notification.evidence),
        "fix": [f"{number}. {step}" for number, step in enumerate(notification.remedy, 1)],
        "checks": list(notification.checks),
        "count": f"{notification.count} of {notification.total}",
        "labels": dict(notification.labels),
    }
