"""Debian's Alertmanager, asked by amtool."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.real.daemon import Daemon, free_port, real_binary

_CONFIG = """
route: {receiver: nobody}
receivers: [{name: nobody}]
"""


class Alertmanager(Daemon):
    """A running Alertmanager that tells nobody."""

    def __init__(self, folder: Path, configuration: str = _CONFIG) -> None:
        config = folder / "alertmanager.yml"
        config.write_text(configuration)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(
            [
                real_binary("prometheus-alertmanager"),
                f"--config.file={config}",
                f"--storage.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
                "--log.level=warn",
            ],
            log=folder / "alertmanager.log",
            ports=[port],
        )

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that fire, as amtool shows them."""
        command = [real_binary("amtool"), "alert", "query", f"--alertmanager.url={self.url}", "--output=json"]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        found: list[dict[str, Any]] = json.loads(shown.stdout or "[]")
        return found
