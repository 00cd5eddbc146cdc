"""How what a document shows is compared with what a command prints."""

import pytest

from smtpcheck.sandbox.scenarios import SCENARIOS
from tests.docs.documents import read
from tests.docs.outputs import matches


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a\nb\n", "a  \nb\n\n", True),
        ("a\n", "a\nb\n", False),
        ("took … s\n", "took 1.5 s\n", True),
        ("took … s\n", "took 1.5 ms\n", False),
        ("took … s\n", "took 1\n5 s\n", False),
        ("a\n…\nd\n", "a\nb\nc\nd\n", True),
        ("a\n…\n", "a\n", True),
        ("…\nd\n", "a\nb\n", False),
        ("a.c\n", "abc\n", False),
    ],
)
def test_what_is_left_out_is_all_that_may_differ(shown: str, printed: str, *, same: bool) -> None:
    assert matches(shown, printed) is same


def test_the_table_of_the_demo_is_that_of_its_scenarios() -> None:
    """Each line of it has a scenario's name, outcome and cause; the demo itself is run by tests/test_packaging.py."""
    (shown,) = [block.text for block in read("README.md").blocks if block.shows and "demo --once" in block.shows.text]
    rows = [line.split() for line in shown.splitlines() if line.startswith(("✓", "!", "✗"))]
    expected = {each.name: {str(each.outcome), *([str(each.cause)] if each.cause else [])} for each in SCENARIOS}
    assert len(rows) > 5
    assert [name for _, name, *said in rows if not expected[name] <= set(said)] == []
