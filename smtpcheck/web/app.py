"""The application: its routes, and what surrounds every request.

Rules of this file:
- One table of routes; a method that a path does not know is 405, made by aiohttp itself.
- Answers are for their reader: a browser gets a page, everything else JSON or one line of text.
"""

import time
from collections.abc import Callable
from typing import Any

import structlog
from aiohttp import web

from smtpcheck.web import api, endpoints, history, pages, probe
from smtpcheck.web.agent_view import AgentView
from smtpcheck.web.auth import Guard
from smtpcheck.web.keys import AGENT, CLOCK, EXTERNAL_HOST, GUARD
from smtpcheck.web.security import Handler, harden, host_is_ours, same_origin_posts

_log = structlog.get_logger(__name__)


def create_app(agent: AgentView, *, clock: Callable[[], float] = time.time, external_host: str = "") -> web.Application:
    """Return the application that shows `agent`.

    `clock` returns Unix seconds. `external_host` is the name by which a reverse proxy on this machine asks for the
    page, if it passes the Host header on; without one only addresses and `localhost` are answered on loopback.
    """
    app = web.Application(middlewares=[_answers, _guarded, same_origin_posts])
    app[AGENT] = agent
    app[CLOCK] = clock
    app[EXTERNAL_HOST] = external_host.casefold()
    app[GUARD] = Guard()
    app.add_routes(
        [
            web.get("/", pages.checks),
            web.get("/checks/{name}", pages.check),
            web.get("/checks/{name}/history", history.history),
            web.get(r"/checks/{name}/failures/{second:\d{1,12}}", history.failure),
            web.get("/checks/{name}/badge.svg", history.badge),
            web.get("/static/{file}", pages.static),
            web.get("/api/v1/checks", api.checks),
            web.get("/api/v1/checks/{name}", api.check),
            web.get("/api/v1/checks/{name}/history", history.history_as_json),
            web.get(r"/api/v1/checks/{name}/failures/{second:\d{1,12}}", history.failure_as_json),
            web.post("/api/v1/checks/{name}/run", api.run),
            web.get("/api/v1/shards", api.shards),
            web.get("/api/v1/targets", probe.targets),
            web.get("/api/v1/alerts", api.alerts),
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
        response = _refusal(request, error)
    except Exception:  # noqa: BLE001
        _log.exception("internal error", path=request.path)
        response = _refusal(request, web.HTTPInternalServerError(text="internal error; the log says more\n"))
    harden(response, request.app[GUARD].headers())
    return response


@web.middleware
async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let through who may ask: by name and password where there are users, else by the host that is asked for."""
    guard = request.app[GUARD]
    if not guard.allows_certificate(_from_transport(request, "peercert") or {}):
        raise web.HTTPForbidden(text="refused: this client certificate bears no name that is allowed\n")
    if guard.authenticates:
        if not await guard.authenticate(request.headers.get("Authorization", "")):
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Basic realm="smtpcheck", charset="UTF-8"'})
    elif not host_is_ours(request.host, _local_address(request), request.app[EXTERNAL_HOST]):
        raise web.HTTPMisdirectedRequest(
            text="refused: this host name is not known to be ours; ask for the address or for localhost\n"
        )
    return await handler(request)


def _refusal(request: web.Request, error: web.HTTPException) -> web.Response:
    """Return an error as a page, as JSON or as text."""
    kept = {name: error.headers[name] for name in ("Allow", "WWW-Authenticate") if name in error.headers}
    text = (error.text or error.reason).strip()
    if request.path.startswith("/api/"):
        return web.json_response({"error": text}, status=error.status, headers=kept)
    if pages.prefers_html(request):
        return pages.refusal(request, error.status, error.reason, text, kept)
    return web.Response(status=error.status, text=f"{text}\n", headers=kept)


def _local_address(request: web.Request) -> str:
    """Return the address of ours that the connection came in at."""
    name = _from_transport(request, "sockname")
    return str(name[0]) if isinstance(name, tuple) else ""


def _from_transport(request: web.Request, name: str) -> Any:
    return request.transport.get_extra_info(name) if request.transport else None
