"""Ordinary text is not taken for a failure of mail: `unknown`, or at most possible."""

from smtpcheck.diagnosis.catalogue import load
from smtpcheck.diagnosis.explain import LIKELY, explain
from smtpcheck.diagnosis.observation import from_text
from tests.diagnosis import ordinary_text


def test_ordinary_text_is_unknown_or_at_most_possible() -> None:
    """At least 99.5 % of 20,000 lines, many with words that failures use too."""
    catalogue = load()
    lines = list(ordinary_text.lines())
    likely = [line for line in lines if explain(from_text(line), catalogue)[0].certainty >= LIKELY]
    assert len(lines) >= 20_000
    assert len(likely) <= len(lines) * 0.005, likely[:20]
