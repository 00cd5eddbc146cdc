"""The list of causes is one: in the data and in the enum."""

from importlib.resources import files

import yaml

from smtpcheck.model.cause import Cause


def _causes() -> dict[str, dict[str, str]]:
    text = files("smtpcheck.diagnosis").joinpath("causes.yaml").read_text("utf-8")
    causes: dict[str, dict[str, str]] = yaml.safe_load(text)["causes"]
    return causes


def test_the_enum_is_the_list_in_its_order() -> None:
    assert [cause.value for cause in Cause] == list(_causes())


def test_each_cause_is_complete() -> None:
    assert [
        name
        for name, row in _causes().items()
        if set(row) != {"stage", "definition", "remedy", "probe"} or not all(row.values())
    ] == []
