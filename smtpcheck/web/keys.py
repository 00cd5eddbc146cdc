"""Where the application keeps what its handlers share."""

from collections.abc import Callable, Collection

from aiohttp import web

from smtpcheck.web.agent_view import AgentView
from smtpcheck.web.auth import Guard

AGENT: web.AppKey[AgentView] = web.AppKey("agent")
CLOCK: web.AppKey[Callable[[], float]] = web.AppKey("clock")
HOSTS: web.AppKey[Collection[str]] = web.AppKey("hosts")
GUARD: web.AppKey[Guard] = web.AppKey("guard", Guard)
IDENTIFIED: web.RequestKey[bool] = web.RequestKey("identified", bool)
"""Of a request: whether a user's password or a client certificate has admitted it."""
