"""What enters a script for Terraform is a text there, whatever its characters."""

import re

import hcl2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.setup.hcl import comment, heredoc, quote

TEXTS = st.text(st.characters(codec=None), max_size=30) | st.text('"\\${}%\n\r\t#/*', max_size=20)


def value_of(literal: str) -> str:
    """Return the value of a literal without templates (https://developer.hashicorp.com/terraform/language/expressions/strings)."""
    assert not re.search(r"(?<!\$)\$\{|(?<!%)%\{", literal.replace("$${", "").replace("%%{", "")), literal
    text = re.sub(
        r"\\(?:u([0-9A-F]{4})|U([0-9A-F]{8})|(.))",
        lambda each: each[3] or chr(int(each[1] or each[2], 16)),
        literal[1:-1],
    )
    return text.replace("$${", "${").replace("%%{", "%{")


@given(TEXTS)
def test_a_text_comes_out_as_it_went_in(text: str) -> None:
    well_formed = "".join("\ufffd" if 0xD800 <= ord(each) <= 0xDFFF else each for each in text)
    assert value_of(quote(text)) == well_formed


@given(TEXTS)
def test_a_text_is_one_literal_in_ascii(text: str) -> None:
    closed = f"{text}}}"  # python-hcl2, unlike Terraform, wants the brace of an escaped template closed
    script = f"locals {{\n  before = {quote(closed)}\n  after = 1\n}}\n"
    assert script.isascii()
    (found,) = hcl2.loads(script)["locals"]
    assert found["after"] == 1
    assert set(found) == {"before", "after", "__is_block__"}


@given(TEXTS)
def test_a_comment_is_a_comment(text: str) -> None:
    (found,) = hcl2.loads(f"{comment(text)}\nlocals {{\n  after = 1\n}}\n")["locals"]
    assert found["after"] == 1


def test_a_script_within_expands_nothing() -> None:
    assert heredoc("${a}: %{b} $(c)\n") == "<<END_OF_SCRIPT\n$${a}: %%{b} $(c)\nEND_OF_SCRIPT"


def test_a_script_that_would_end_too_early_is_refused() -> None:
    with pytest.raises(ValueError, match="END_OF_SCRIPT"):
        heredoc("a\n  END_OF_SCRIPT\nb\n")
