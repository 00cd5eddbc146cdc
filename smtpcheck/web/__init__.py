"""The status page, the JSON API, and what Prometheus and an orchestrator ask over HTTP, and how it is served.

It reads the agent through `agent_view` and decides nothing about checks; JSON and metrics of a report are in `output/`.
"""

from smtpcheck.web.agent_view import AgentView
from smtpcheck.web.app import create_app
from smtpcheck.web.server import ServeError, exposure_warning, serve

__all__ = ["AgentView", "ServeError", "create_app", "exposure_warning", "serve"]
