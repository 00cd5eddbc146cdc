"""Writes every board as JSON, as Grafana imports and provisions it."""

from pathlib import Path

from dashboards import BOARDS
from dashboards.panels import as_json

for name, board in BOARDS.items():
    (Path(__file__).parent / name).write_text(as_json(board()), encoding="utf-8")
