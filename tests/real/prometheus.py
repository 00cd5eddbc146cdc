"""Debian's Prometheus, scraping one target each second."""

import json
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

from tests.real.daemon import Daemon, free_port, real_binary, wait_until

_CONFIG = """
global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
scrape_configs:
  - job_name: smtpcheck
    static_configs:
      - targets: [{targets}]
"""

Sample = tuple[dict[str, str], float]


class Prometheus(Daemon):
    """A running Prometheus."""

    def __init__(
        self, folder: Path, *targets: str, rules: Sequence[Path] = (), jobs: str = "", history: str = ""
    ) -> None:
        """Start it; rules are evaluated each second, whatever interval their groups have.

        `jobs` are further members of `scrape_configs`.
        `history` is OpenMetrics text with the timestamps of what the database holds from the beginning.
        """
        binary = real_binary("prometheus")
        if history:
            _backfill(folder, history)
        config = folder / "prometheus.yml"
        quoted = ", ".join(f'"{target}"' for target in targets)
        config.write_text(_CONFIG.format(targets=quoted) + jobs + 'rule_files: ["*.rules.yaml"]\n')
        for path in rules:
            (folder / path.name).write_text(re.sub(r"(?m)^    interval: .*\n", "", path.read_text()))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(
            [
                binary,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                "--storage.tsdb.retention.time=60d",
                f"--web.listen-address=127.0.0.1:{port}",
                "--enable-feature=exemplar-storage",
                "--log.level=warn",
            ],
            log=folder / "prometheus.log",
            ports=[port],
        )
        wait_until(self._is_ready, "Prometheus has opened its database")

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=10) as response:
                return bool(response.status == HTTPStatus.OK)
        except urllib.error.HTTPError as error:
            error.close()
            return False

    def query(self, expression: str) -> list[Sample]:
        """Return labels (without `instance` and `job`) and value of each series, in the order of its labels."""
        url = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        with urllib.request.urlopen(url, timeout=10) as response:
            answer = json.load(response)
        samples = [
            (
                {name: text for name, text in entry["metric"].items() if name not in {"instance", "job"}},
                float(entry["value"][1]),
            )
            for entry in answer["data"]["result"]
        ]
        return sorted(samples, key=lambda sample: sorted(sample[0].items()))

    def exemplars(self, expression: str) -> list[dict[str, str]]:
        """Return the labels of each exemplar that the series of an expression have had in the last hour."""
        now = time.time()
        asked = urllib.parse.urlencode({"query": expression, "start": now - 3600, "end": now + 60})
        with urllib.request.urlopen(f"{self.url}/api/v1/query_exemplars?{asked}", timeout=10) as response:
            answer = json.load(response)
        return [exemplar["labels"] for series in answer["data"] for exemplar in series["exemplars"]]

    def wait_for(self, expression: str) -> list[Sample]:
        """Return the series of an expression once it has any; fail the test when it never has."""
        found: list[Sample] = []

        def is_there() -> bool:
            found[:] = self.query(expression)
            return bool(found)

        wait_until(is_there, f"Prometheus has {expression}")
        return found


def _backfill(folder: Path, history: str) -> None:
    """Make the database of a text with timestamps; of few long blocks, for promtool reads all of it for each."""
    source = folder / "history.om"
    source.write_text(history)
    make = [real_binary("promtool"), "tsdb", "create-blocks-from", "--max-block-duration=1000h", "openmetrics"]
    subprocess.run([*make, str(source), str(folder / "data")], check=True, capture_output=True)
