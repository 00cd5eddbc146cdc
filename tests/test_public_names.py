"""What 0.1.0 named in public is still named so: metrics with their labels, causes, commands with their options.

`public-names-0.1.0.txt` has what that version had; nothing in it is ever changed. Rules, dashboards and scripts of
users depend on each of them.
"""

from pathlib import Path

import pytest
import typer

from smtpcheck.cli import app
from smtpcheck.model.cause import Cause
from smtpcheck.output.metrics.families import TABLE

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
