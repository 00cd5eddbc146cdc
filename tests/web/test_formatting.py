"""The steps of a repair: what is to be typed stands apart from what is to be read."""

import re

import pytest

from smtpcheck.diagnosis.catalogue import Catalogue
from smtpcheck.web.formatting import Step, step

TYPED = re.compile(r"\b[A-Z][a-z]+-[A-Z]\w+ -\w|\b(?:openssl|curl|nc|getent|printf) [-'a-z]")
"""What only a command can be: a cmdlet or program with an argument."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Wait: it takes two hours.", Step("Wait: it takes two hours.", "")),
        ("Look: Get-Mailbox -Identity a@b.example", Step("Look:", "Get-Mailbox -Identity a@b.example")),
        (
            "Look: it may be: curl -sI https://a.example | grep -i '^date: '",
            Step("Look: it may be:", "curl -sI https://a.example | grep -i '^date: '"),
        ),
        ("The date: today", Step("The date: today", "")),
        ("Prove it: smtpcheck check a --depth auth", Step("Prove it:", "smtpcheck check a --depth auth")),
        ("Who refused it: smtpcheck or the server", Step("Who refused it: smtpcheck or the server", "")),
    ],
)
def test_a_command_that_ends_a_step_stands_apart(text: str, expected: Step) -> None:
    assert step(text) == expected


def test_every_command_of_the_catalogue_ends_its_step(catalogue: Catalogue) -> None:
    """So each can be copied; some steps name a command in passing, without an argument."""
    steps = [item.text for entry in catalogue.entries.values() for item in entry.steps]
    assert [text for text in steps if TYPED.search(step(text).prose)] == []
    assert sum(bool(step(text).command) for text in steps) > 40
