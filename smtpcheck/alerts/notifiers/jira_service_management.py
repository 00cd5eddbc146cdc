"""Type `jira-service-management`: alerts by Jira Service Management's Integration Events API, Opsgenie's successor.

https://developer.atlassian.com/cloud/jira/service-desk-ops/rest/v1/api-group-integration-events/

Rules of this file:
- One alert a request, known by its `alias`: the alert's id, the same from firing to resolved and over a restart, and
  another one the next time that the alert fires. What is sent again under an alias that is open raises no second alert.
- The service takes a request (202) and works on it later; whether an alias is known when it is closed is not learned.
- Its limits on the length of texts are kept by shortening, for what is longer is refused.
"""

import asyncio
import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal
from urllib.parse import quote

from pydantic import Field

from smtpcheck.alerts.grouping import Severity
from smtpcheck.alerts.notification import Notification, Status
from smtpcheck.alerts.notifiers.http import HttpNotifier, read_headers
from smtpcheck.alerts.notifiers.notifier import Failure, Route, Sender
from smtpcheck.alerts.notifiers.service import ServiceUrl, endpoint, host_route, key_problem, shortened
from smtpcheck.secrets.source import SecretSource, SecretUnreadableError

URL = "https://api.atlassian.com/jsm/ops/integration"
PATH = "/v2/alerts"
MOST_MESSAGE, MOST_DESCRIPTION, MOST_ENTITY = 130, 15_000, 512
MOST_TAGS, MOST_TAG = 20, 50
MOST_DETAILS = 8_000
"""The names and values of `details` together, in characters."""
KEY_FORM = r"[!-~]{8,200}"
PRIORITIES = {Severity.CRITICAL: "P1", Severity.WARNING: "P3"}


class JiraServiceManagement(HttpNotifier):
    """A team's integration of type API."""

    type: Literal["jira-service-management"] = "jira-service-management"
    api_key: SecretSource = Field(description="The key of the team's API integration, from where a secret comes.")
    url: ServiceUrl = Field(default=URL, description="Where alerts are sent.")

    def sender(self) -> Sender:
        """Return what creates and closes alerts."""
        return JiraServiceManagementSender(self)

    def secrets(self) -> Iterable[tuple[tuple[str | int, ...], SecretSource]]:
        """Return key and headers."""
        yield ("api_key",), self.api_key
        yield from super().secrets()

    def problem(self) -> str:
        """Return what is wrong with the key."""
        return key_problem(self.api_key, KEY_FORM, "has an api_key that is not one line of printable characters")

    def routes(self) -> Iterable[Route]:
        """Return the host of the service."""
        return host_route(self.url)


class JiraServiceManagementSender(Sender):
    """Creates an alert for what fires, and closes it for what is resolved."""

    def __init__(self, service: JiraServiceManagement) -> None:
        self._service = service
        self._client = service.client()

    async def send(self, notifications: Sequence[Notification]) -> Failure | None:
        """Create or close one alert."""
        try:
            headers = await asyncio.to_thread(self._read)
        except SecretUnreadableError as error:
            return Failure(str(error))
        path, content = request_of(notifications[0])
        headers |= {"Content-Type": "application/json"}
        url = endpoint(self._service.url, path)
        return await self._client.request("POST", url, headers=headers, body=json.dumps(content).encode())

    async def close(self) -> None:
        """Close what is open."""
        await self._client.close()

    def _read(self) -> dict[str, str]:
        key = self._service.api_key.read().reveal()
        return {**read_headers(self._service.headers), "Authorization": f"GenieKey {key}"}


def request_of(notification: Notification) -> tuple[str, dict[str, Any]]:
    """Return the path, below the service's address, and the body that creates or closes the alert."""
    alias = f"smtpcheck-{notification.id}"
    if notification.status is Status.RESOLVED:
        path = f"{PATH}/{quote(alias, safe='')}/close?identifierType=alias"
        return path, {"source": "smtpcheck", "note": shortened(notification.title(), MOST_DESCRIPTION)}
    return PATH, {
        "message": shortened(notification.summary, MOST_MESSAGE),
        "alias": alias,
        "description": shortened(f"{notification.summary}\n{notification.text()}", MOST_DESCRIPTION),
        "tags": _tags(notification),
        "details": _details(notification),
        "entity": shortened(notification.key.name, MOST_ENTITY),
        "source": "smtpcheck",
        "priority": PRIORITIES[notification.key.severity],
    }


def _tags(notification: Notification) -> list[str]:
    tags = ["smtpcheck", notification.cause, *(f"{name}:{value}" for name, value in notification.labels.items())]
    return [shortened(tag, MOST_TAG) for tag in tags if tag][:MOST_TAGS]


def _details(notification: Notification) -> dict[str, str]:
    """Return what rules can be written for; as much as the service takes, the most useful first."""
    wanted = {
        "cause": notification.cause,
        "severity": str(notification.key.severity),
        "subject": str(notification.key.subject),
        "page": notification.page,
        "reference": notification.reference,
        "checks": ", ".join(notification.checks),
        **notification.labels,
    }
    details, room = {}, MOST_DETAILS
    for name, text in wanted.items():
        room -= len(name) + len(text)
        if text and room >= 0:
            details[name] = text
    return details
