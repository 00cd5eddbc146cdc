"""The remedy of each cause as Prometheus series, so that an alert's text can say what to do.

Rule of this file: the texts are those of `smtpcheck/diagnosis/causes.yaml`; nothing is written twice.
"""

import json
from importlib.resources import files

import yaml

_HEAD = """\
# What to do for each cause: smtpcheck/diagnosis/causes.yaml as series, written by `python -m dashboards`.
# A failing check joins it by `* on (cause) group_left (remedy) topk by (cause) (1, smtpcheck:remedy:info)`.
groups:
  - name: smtpcheck-remedies
    interval: 2m
    rules:
"""


def remedies() -> dict[str, str]:
    """Return the remedy of each cause in one line, in the order of the list."""
    causes = yaml.safe_load(files("smtpcheck.diagnosis").joinpath("causes.yaml").read_text(encoding="utf-8"))["causes"]
    return {cause: row["remedy"] for cause, row in causes.items()}


def rules() -> str:
    """Return the rules file: one recorded series `smtpcheck:remedy:info` with the value 1 for each cause."""
    return _HEAD + "".join(
        "      - {record: 'smtpcheck:remedy:info', expr: vector(1), "
        f"labels: {{cause: {cause}, remedy: {json.dumps(remedy)}}}}}\n"
        for cause, remedy in remedies().items()
    )
