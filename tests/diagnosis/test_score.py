"""The score on real failures, by area and by form: the cause first, or one that gives the identical observation."""

from collections import Counter

import pytest

from smtpcheck.diagnosis.catalogue import load
from tests.diagnosis.corpus import FORMS, area_of, cases, findings

CATALOGUE = load()
CONFIDENT = 0.6
"""From which certainty on a wrong cause misleads."""


@pytest.mark.parametrize("form", FORMS)
def test_the_score_on_real_failures(form: str) -> None:
    total, fair, wrong = Counter[str](), Counter[str](), list[str]()
    for case in cases(form):
        area, first = area_of(case), findings(case, form, CATALOGUE)[0]
        is_fair = first.cause in {case["cause"], *case["ambiguous_with"]}
        total[area] += 1
        fair[area] += is_fair
        if not is_fair and first.certainty >= CONFIDENT:
            wrong.append(case["id"])
    for area in sorted(total):
        print(f"{form:8} {area:8} {fair[area]:3} of {total[area]:3}")  # noqa: T201
    assert fair.total() / total.total() >= 0.95
    assert len(wrong) / total.total() <= 0.01, wrong
    assert [area for area in total if fair[area] / total[area] < 0.85] == []


def test_the_cause_of_the_thread_is_among_the_first_three() -> None:
    known = [case for case in cases("observed") if case["basis"] != "inferred"]
    among = [case["cause"] in [item.cause for item in findings(case, "observed", CATALOGUE)[:3]] for case in known]
    assert sum(among) / len(known) >= 0.95
