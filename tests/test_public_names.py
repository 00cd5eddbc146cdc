"""What 0.1.0 named in public is still named so: metrics with their labels, causes, commands with their options, paths,
the fields of a report in JSON, and Prometheus' rules.

`public-names-0.1.0.txt` has what that version had; nothing in it is ever changed. Rules, dashboards and scripts of
users depend on each of them.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml

from smtpcheck.cli import app
from smtpcheck.diagnosis import catalogue
from smtpcheck.model.cause import Cause
from smtpcheck.output.metrics.families import TABLE
from smtpcheck.output.report_json import report_as_json
from tests.state.test_upgrade import FAILED, NO_TOKEN, WARNED

ROOT = Path(__file__).parent.parent

LINES = [line.split() for line in (Path(__file__).parent / "public-names-0.1.0.txt").read_text().splitlines()]


def named(kind: str) -> list[list[str]]:
    """Return what one kind of line says."""
    return [line[1:] for line in LINES if line[0] == kind]


def test_every_metric_is_there_with_its_labels() -> None:
    labels = {family.name: set(family.labels) for family in TABLE}
    before = {name: set("".join(rest).split(",")) - {""} for name, *rest in named("metric")}
    assert len(before) > 50
    assert {name for name, had in before.items() if name not in labels or not had <= labels[name]} == set()


def test_every_cause_is_there() -> None:
    before = {cause for (cause,) in named("cause")}
    assert len(before) > 50
    assert before <= {cause.value for cause in Cause}


@pytest.mark.parametrize("command", sorted({command for command, _ in named("option")}))
def test_every_option_is_there(command: str) -> None:
    options = {
        option
        for parameter in typer.main.get_command(app).commands[command].params  # type: ignore[attr-defined]
        for option in parameter.opts
    }
    assert {option for name, option in named("option") if name == command} <= options


def test_every_path_is_served() -> None:
    served = re.findall(r'web\.(get|post)\(r?"([^"]+)"', (ROOT / "smtpcheck" / "web" / "app.py").read_text())
    before = {(method.lower(), path) for method, path in named("path")}
    assert len(before) > 15
    assert before - set(served) == set()


def test_every_field_of_a_report_is_where_it_was() -> None:
    """In what `check --format json` prints and the API returns."""
    texts = catalogue.load()
    have = {
        place
        for report in (FAILED, NO_TOKEN, WARNED)
        for place in places(json.loads(json.dumps(report_as_json(report, texts), default=str)))
    }
    before = {place for (place,) in named("field")}
    assert len(before) > 50
    assert before - have == set()


def places(value: object, at: str = "") -> Iterator[str]:
    """Yield where each value of a document of JSON is."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield f"{at}.{key}".lstrip(".")
            yield from places(each, f"{at}.{key}")
    elif isinstance(value, list):
        for each in value:
            yield from places(each, f"{at}[]")


@pytest.mark.parametrize("kind", ["alert", "record"])
def test_every_rule_of_prometheus_is_there(kind: str) -> None:
    files = [yaml.safe_load(file.read_text()) for file in (ROOT / "dashboards").glob("*.rules.yaml")]
    have = {rule.get(kind) for file in files for group in file["groups"] for rule in group["rules"]}
    before = {name for (name,) in named(kind)}
    assert len(before) > 10
    assert before - have == set()
