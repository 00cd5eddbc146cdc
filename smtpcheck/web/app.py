"""The application: its routes, and what surrounds every request.

Rules of this file:
- One table of routes; a method that a path does not know is 405, made by aiohttp itself.
- Answers are for their reader: a browser gets a page, everything else JSON or one line of text.
"""

import time
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from smtpcheck.web import api, availability, endpoints, history, pages, probe, problems, silences
from smtpcheck.web.agent_view import AgentView
from smtpcheck.web.auth import Guard, TooManyAttemptsError
from smtpcheck.web.keys import AGENT, CLOCK, GUARD, HOSTS, IDENTIFIED
from smtpcheck.web.security import Handler, harden, is_allowed_host, same_origin_posts

_log = structlog.get_logger(__name__)


def create_app(
    agent: AgentView, *, clock: Callable[[], float] = time.time, hosts: Collection[str] = ()
) -> web.Application:
    """Return the application that shows `agent`.

    `clock` returns Unix seconds. `hosts` are names of this machine, by which it may be asked for besides the host of
    `agent.external_url`, addresses and private names.
    """
    app = web.Application(middlewares=[_answers, _guarded, same_origin_posts])
    app[AGENT] = agent
    app[CLOCK] = clock
    app[HOSTS] = hosts
    app[GUARD] = Guard()
    app[availability.REPORTS] = availability.Reports()
    app.add_routes(
        [
            web.get("/", pages.checks),
            web.get("/checks/{name}", pages.check),
            web.get("/checks/{name}/history", history.history),
            web.get(r"/checks/{name}/failures/{second:\d{1,12}}", history.failure),
            web.get("/checks/{name}/badge.svg", history.badge),
            web.get("/report", availability.page),
            web.get("/report.csv", availability.csv),
            web.get("/static/{file}", pages.static),
            web.get("/api/v1/checks", api.checks),
            web.get("/api/v1/checks/{name}", api.check),
            web.get("/api/v1/checks/{name}/history", history.history_as_json),
            web.get(r"/api/v1/checks/{name}/failures/{second:\d{1,12}}", history.failure_as_json),
            web.post("/api/v1/checks/{name}/run", api.run),
            web.get("/api/v1/shards", api.shards),
            web.get("/api/v1/targets", probe.targets),
            web.get("/api/v1/alerts", api.alerts),
            web.get("/api/v1/problems", problems.problems),
            web.get("/api/v1/silences", silences.silences),
            web.post("/api/v1/silences", silences.add),
            web.post(r"/api/v1/silences/{id:[0-9a-f]{12}}/end", silences.end),
            web.get("/metrics", endpoints.metrics),
            web.get("/probe", probe.probe, allow_head=False),
            web.get("/-/healthy", endpoints.healthy),
            web.get("/-/ready", endpoints.ready),
            web.post("/-/reload", endpoints.reload),
        ]
    )
    return app


@web.middleware
async def _answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Make an error an answer that its reader understands, and give every answer its headers."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        response = await _refusal(request, error)
    except Exception:  # noqa: BLE001
        _log.exception("internal error", path=request.path)
        response = await _refusal(request, web.HTTPInternalServerError(text="internal error; see the log\n"))
    harden(response, request.app[GUARD].headers())
    return response


@web.middleware
async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let through who may ask: by name and password where there are users, else by the host that is asked for."""
    guard, certificate = request.app[GUARD], _from_transport(request, "peercert") or {}
    if not guard.allows_certificate(certificate):
        raise web.HTTPForbidden(text="refused: this client certificate has no name that is allowed\n")
    if guard.authenticates:
        try:
            admitted = await guard.authenticate(request.headers.get("Authorization", ""), request.remote or "")
        except TooManyAttemptsError as error:
            raise web.HTTPTooManyRequests(text=str(error), headers={"Retry-After": str(error.seconds)}) from None
        if not admitted:
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Basic realm="smtpcheck", charset="UTF-8"'})
    elif not is_allowed_host(request.host, _hosts(request)):
        raise web.HTTPMisdirectedRequest(
            text="refused: this host name is not configured; ask for the address, or set agent.external_url\n"
        )
    request[IDENTIFIED] = guard.identifies(certificate)
    return await handler(request)


async def _refusal(request: web.Request, error: web.HTTPException) -> web.Response:
    """Return an error as a page, as JSON or as text."""
    kept = {name: error.headers[name] for name in ("Allow", "Retry-After", "WWW-Authenticate") if name in error.headers}
    text = (error.text or error.reason).strip()
    if request.path.startswith("/api/"):
        return web.json_response({"error": text}, status=error.status, headers=kept)
    if pages.prefers_html(request):
        return await pages.refusal(request, error.status, error.reason, text, kept)
    return web.Response(status=error.status, text=f"{text}\n", headers=kept)


def _hosts(request: web.Request) -> Collection[str]:
    """Return the names by which the page may be asked for."""
    external_url = request.app[AGENT].settings.agent.external_url
    return {*request.app[HOSTS], urlsplit(external_url).hostname or ""} - {""}


def _from_transport(request: web.Request, name: str) -> Any:
    return request.transport.get_extra_info(name) if request.transport else None
