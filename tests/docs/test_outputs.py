"""How what a document shows is compared with what a command prints."""

import pytest

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
