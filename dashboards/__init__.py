"""Grafana's boards, written as code; `python -m dashboards` writes the JSON files that lie beside it."""

from dashboards.overview import overview

BOARDS = {"smtpcheck-overview.json": overview}
"""What makes each file."""
