"""The status page, the JSON API, and what Prometheus and an orchestrator ask over HTTP."""

from smtpcheck.web.app import create_app
from smtpcheck.web.server import ServeError, exposure_warning, serve
from smtpcheck.web.view import AgentView

__all__ = ["AgentView", "ServeError", "create_app", "exposure_warning", "serve"]
