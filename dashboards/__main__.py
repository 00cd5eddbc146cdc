"""Writes every board as JSON, as Grafana imports and provisions it."""

from pathlib import Path

from dashboards.overview import overview
from dashboards.panels import as_json

BOARDS = {"smtpcheck-overview.json": overview}

if __name__ == "__main__":
    for name, board in BOARDS.items():
        (Path(__file__).parent / name).write_text(as_json(board()), encoding="utf-8")
