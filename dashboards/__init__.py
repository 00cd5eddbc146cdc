"""Grafana's boards and Prometheus's remedies, written as code.

`python -m dashboards` writes the files beside it.
"""

from collections.abc import Callable
from functools import partial

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards import operator, remedies
from dashboards.agent_board import agents
from dashboards.check_board import one_check
from dashboards.credential_board import credentials
from dashboards.overview_board import overview
from dashboards.panels import as_json

BOARDS: dict[str, Callable[[], Dashboard]] = {
    "smtpcheck-overview.json": overview,
    "smtpcheck-check.json": one_check,
    "smtpcheck-credentials.json": credentials,
    "smtpcheck-agents.json": agents,
}
"""What makes each board."""


def _text(board: Callable[[], Dashboard]) -> str:
    return as_json(board())


FILES: dict[str, Callable[[], str]] = {
    **{name: partial(_text, board) for name, board in BOARDS.items()},
    "smtpcheck.remedies.rules.yaml": remedies.rules,
    "kubernetes/prometheus-operator/prometheus-rule.yaml": operator.prometheus_rule,
}
"""What makes the text of each file."""
