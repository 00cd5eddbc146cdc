"""The status page, the JSON API, and what Prometheus and an orchestrator ask over HTTP."""

from smtpcheck.web.agent_view import AgentView
from smtpcheck.web.app import create_app
from smtpcheck.web.server import ServeError, exposure_warning, serve

__all__ = ["AgentView", "ServeError", "create_app", "exposure_warning", "serve"]
