"""Grafana's boards and Prometheus's remedies, written as code.

`python -m dashboards` writes the files that lie beside it.
"""

from collections.abc import Callable
from functools import partial

from dashboards import operator, remedies
from dashboards.overview import overview
from dashboards.panels import as_json

BOARDS = {"smtpcheck-overview.json": overview}
"""What makes each board."""

FILES: dict[str, Callable[[], str]] = {
    **{name: partial(lambda board: as_json(board()), board) for name, board in BOARDS.items()},
    "smtpcheck.remedies.rules.yaml": remedies.rules,
    "kubernetes/prometheus-rule.yaml": operator.prometheus_rule,
}
"""What makes the text of each file."""
