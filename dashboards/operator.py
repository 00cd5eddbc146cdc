"""The Prometheus rules as a resource of the Prometheus Operator.

Rule of this file: the rules are those of the `*.rules.yaml` beside it; nothing is written twice.
"""

from pathlib import Path
from typing import Any

import yaml

_HEAD = "# All *.rules.yaml of dashboards/, written by `python -m dashboards`.\n"


class _Dumper(yaml.SafeDumper):
    """Writes out what several places share, in each of them."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def prometheus_rule() -> str:
    """Return the PrometheusRule."""
    files = sorted(Path(__file__).parent.glob("*.rules.yaml"))
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "smtpcheck"},
        "spec": {
            "groups": [group for file in files for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]]
        },
    }
    return _HEAD + yaml.dump(resource, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
