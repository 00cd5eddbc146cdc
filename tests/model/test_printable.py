"""Text from outside is fit for terminals, logs and pages once it is in."""

import json

import pytest

from smtpcheck.model.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Übermut 日本", "Übermut 日本"),
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        (json.loads('"\\ud800"'), "\\ud800"),
        ("\u202eevil", "\\u202eevil"),
        ("", ""),
    ],
)
def test_what_is_not_printable_is_escaped(text: str, shown: str) -> None:
    """Terminals, files and pages take the result whatever came."""
    assert printable(text) == shown
    assert printable(text).encode().decode() == shown


def test_line_ends_stay_where_they_are_wanted() -> None:
    """Only those that are named."""
    assert printable("a\nb\rc", keep="\n") == "a\nb\\rc"


def test_the_result_is_bounded_even_where_escapes_make_it_longer() -> None:
    """A megabyte of control characters is no four megabytes of escapes."""
    assert printable("\x00" * 1000, limit=10) == "\\x00\\x00\\x"
    assert printable("a" * 1000, limit=10) == "a" * 10
