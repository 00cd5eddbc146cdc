"""Grafana's boards, written as code; `python -m dashboards` writes the JSON files that lie beside it."""
