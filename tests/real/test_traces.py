"""A real Prometheus keeps the traces of runs as exemplars."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.real.daemon import free_port, wait_until
from tests.real.prometheus import Prometheus
from tests.real.test_agent import Agent


def test_prometheus_keeps_the_trace_of_a_run(tmp_path: Path, prometheus: Callable[[str], Prometheus]) -> None:
    """Also where nobody takes the traces themselves: here it is a port where nothing listens."""
    port, nobody = free_port(), f"http://127.0.0.1:{free_port()}"
    agent = {"listen": f"127.0.0.1:{port}", "state": str(tmp_path / "state"), "otlp": {"endpoint": nobody}}
    check = {"name": "refused", "depth": "connect", "interval": "1s", "server": {"host": "127.0.0.1", "port": 9}}
    config = tmp_path / "checks.yaml"
    config.write_text(json.dumps({"agent": agent, "checks": [check]}))
    running = Agent(config, port)
    try:
        database = prometheus(running.target)
        found: list[dict[str, str]] = []

        def is_there() -> bool:
            found[:] = database.exemplars("smtpcheck_phase_seconds_bucket")
            return bool(found)

        wait_until(is_there, "Prometheus has an exemplar")
    finally:
        running.stop()
    assert {len(labels["trace_id"]) for labels in found} == {32}
    assert [labels.keys() for labels in found] == [{"trace_id"}] * len(found)
