"""The list of causes is one: in the data and in the enum."""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import yaml

from smtpcheck.model.cause import Cause


def _causes() -> dict[str, dict[str, Any]]:
    text = files("smtpcheck.diagnosis").joinpath("causes.yaml").read_text("utf-8")
    causes: dict[str, dict[str, Any]] = yaml.safe_load(text)["causes"]
    return causes


def test_the_enum_is_the_list_in_its_order() -> None:
    assert [cause.value for cause in Cause] == list(_causes())


def test_each_cause_is_complete() -> None:
    asked = {"stage", "definition", "remedy", "probe", "fixed_by"}
    assert [
        name
        for name, row in _causes().items()
        if asked - set(row) or set(row) - asked - {"depends_on"} or not all(row.values())
    ] == []


def test_no_cause_depends_on_itself() -> None:
    """Otherwise causes that explain each other would all be silent."""
    rows = _causes()

    def behind(name: str, seen: frozenset[str]) -> Iterator[str]:
        for cause in rows[name].get("depends_on", ()):
            yield cause
            if cause not in seen:
                yield from behind(cause, seen | {cause})

    assert [name for name in rows if name in set(behind(name, frozenset()))] == []
