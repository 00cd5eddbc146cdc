"""Writes every board as JSON, as Grafana imports and provisions it, and the remedies as Prometheus loads them."""

from pathlib import Path

from dashboards import FILES

for name, text in FILES.items():
    (Path(__file__).parent / name).write_text(text(), encoding="utf-8")
