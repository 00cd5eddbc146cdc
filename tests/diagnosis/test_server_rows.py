"""What each server, issuer and mail API answers, row by row in `corpus/replies.yaml`: the cause comes first."""

from typing import Any

import pytest

from smtpcheck.diagnosis.catalogue import RULE_FILES, load
from smtpcheck.diagnosis.explain import explain
from smtpcheck.diagnosis.observation import Observation, from_text
from smtpcheck.model.cause import Cause
from tests.diagnosis.corpus import replies

CATALOGUE = load()
ROWS = replies()
ELSEWHERE = {"mail"}
"""Files whose rows are whole messages: `test_mail_reading.py`."""


def _observation(row: dict[str, Any]) -> Observation:
    if "text" in row:
        return from_text(row["text"])
    seen: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in row["seen"].items()
    }
    return Observation(**seen)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['file']}-{row['cause']}")
def test_an_answer_has_its_cause_first(row: dict[str, Any]) -> None:
    assert explain(_observation(row), CATALOGUE)[0].cause == Cause(row["cause"])


def test_every_file_of_rules_has_a_row() -> None:
    assert set(RULE_FILES) - {row["file"] for row in ROWS} == ELSEWHERE
