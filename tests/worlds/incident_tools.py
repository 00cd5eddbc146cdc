"""PagerDuty and Jira Service Management, answering as they document it: what is open, and who was paged how often."""

import json
import re
from typing import Any, Self
from urllib.parse import unquote

from aiohttp import web
from aiohttp.test_utils import TestServer

ROUTING_KEY = "R0123456789abcdefghijklmnopqrstu"
API_KEY = "0a1b2c3d-4e5f-6a7b-8c9d-0e1f2a3b4c5d"
SEVERITIES = {"critical", "error", "warning", "info"}
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


class IncidentTool:
    """What both keep."""

    def __init__(self) -> None:
        self.open: dict[str, Any] = {}
        """Incidents by their key."""
        self.paged: list[str] = []
        """The key of each incident that was opened, for which somebody was paged."""
        self.resolved: list[str] = []
        self.problems: list[str] = []
        """Why a request was refused."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._take)
        self._server = TestServer(app)

    async def __aenter__(self) -> Self:
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    def url(self, path: str = "") -> str:
        return str(self._server.make_url(path)).rstrip("/")

    async def _take(self, request: web.Request) -> web.Response:
        raise NotImplementedError

    def _refuse(self, status: int, problem: str) -> web.Response:
        self.problems.append(problem)
        return web.json_response({"status": "invalid event", "errors": [problem]}, status=status)

    def _opened(self, key: str, content: Any) -> None:
        if key not in self.open:
            self.paged.append(key)
        self.open[key] = content

    def _closed(self, key: str) -> None:
        if self.open.pop(key, None) is not None:
            self.resolved.append(key)


class PagerDutyTwin(IncidentTool):
    """The Events API v2."""

    async def _take(self, request: web.Request) -> web.Response:
        if (request.method, request.path) != ("POST", "/v2/enqueue"):
            return self._refuse(404, f"{request.method} {request.path}")
        event = json.loads(await request.read())
        if problem := event_problem(event):
            return self._refuse(400, problem)
        if event["event_action"] == "trigger":
            self._opened(event["dedup_key"], event)
        else:
            self._closed(event["dedup_key"])
        return web.json_response({"status": "success", "dedup_key": event["dedup_key"]}, status=202)


def event_problem(event: dict[str, Any]) -> str:
    if event.get("routing_key") != ROUTING_KEY:
        return "Invalid routing key"
    if event.get("event_action") not in {"trigger", "acknowledge", "resolve"}:
        return "'event_action' is invalid"
    if not 0 < len(event.get("dedup_key", "")) <= 255:
        return "'dedup_key' is missing or too long"
    if event["event_action"] != "trigger":
        return ""
    payload = event.get("payload", {})
    if not 0 < len(payload.get("summary", "")) <= 1024:
        return "'payload.summary' is missing or too long"
    if not payload.get("source"):
        return "'payload.source' is missing or blank"
    if payload.get("severity") not in SEVERITIES:
        return "'payload.severity' is invalid"
    if not TIMESTAMP.fullmatch(payload.get("timestamp", "")):
        return "'payload.timestamp' is invalid"
    return "" if all(link.get("href") for link in event.get("links", [])) else "'links' without href"


class JiraServiceManagementTwin(IncidentTool):
    """The Integration Events API."""

    async def _take(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"GenieKey {API_KEY}":
            return self._refuse(403, "Key is not valid")
        content = json.loads(await request.read())
        closing = re.fullmatch(r"/jsm/ops/integration/v2/alerts/([^/]+)/close", request.raw_path.partition("?")[0])
        if request.method == "POST" and closing:
            if request.query.get("identifierType") == "alias":  # default: id, and no id is known to a sender
                self._closed(unquote(closing[1]))
            return web.json_response({"result": "Request will be processed", "requestId": "1"}, status=202)
        if (request.method, request.path) != ("POST", "/jsm/ops/integration/v2/alerts"):
            return self._refuse(404, request.path)
        if problem := alert_problem(content):
            return self._refuse(422, problem)
        self._opened(content["alias"], content)
        return web.json_response({"result": "Request will be processed", "requestId": "1"}, status=202)


def alert_problem(alert: dict[str, Any]) -> str:
    limits = {"message": 130, "alias": 512, "description": 15_000, "entity": 512, "source": 100}
    for name, most in limits.items():
        if len(alert.get(name, "")) > most:
            return f"{name} is longer than {most} characters"
    if not alert.get("message"):
        return "Message can not be empty."
    tags = alert.get("tags", [])
    if len(tags) > 20 or any(len(tag) > 50 for tag in tags):
        return "tags are too many or too long"
    details = alert.get("details", {})
    if sum(len(name) + len(text) for name, text in details.items()) > 8000:
        return "details are longer than 8000 characters"
    if any(not isinstance(text, str) for text in details.values()):
        return "details must be text"
    return "" if alert.get("priority") in {"P1", "P2", "P3", "P4", "P5"} else "priority is not valid"
