"""What enters a PowerShell script means there what it meant here, whatever its characters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.setup.powershell import Value, comment, literal, quote
from tests.worlds.powershell import commands, nodes, syntax_errors, value_of, variables

TEXTS = st.text(st.characters(codec=None), max_size=40) | st.text(
    "'\"`$(){};|&#@\\\n\r\0 \u2018\u2019\u201b\u201c\ud800", max_size=20
)


@given(TEXTS)
def test_a_text_comes_out_as_it_went_in(text: str) -> None:
    assert value_of(quote(text)) == text


@given(TEXTS)
def test_a_text_is_one_literal_in_ascii_that_runs_and_expands_nothing(text: str) -> None:
    script = f"Write-Host {quote(text)}; $after = {quote(text)}"
    assert script.isascii() and "\n" not in script
    assert syntax_errors(script) == []
    assert [(each.name, each.arguments) for each in commands(script)] == [("Write-Host", (quote(text),))]
    assert variables(script) == {"$after"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("o'brien@contoso.com", "'o''brien@contoso.com'"),
        ("$(Get-Mailbox)`n", "'$(Get-Mailbox)`n'"),
        ("Überwachung", "([regex]::Unescape('\\u00DCberwachung'))"),
        ("a\\b", "'a\\b'"),
        ("ü\\'", "([regex]::Unescape('\\u00FC\\u005C\\u0027'))"),
        ("\u2019 + x", "([regex]::Unescape('\\u2019 + x'))"),
    ],
)
def test_the_form_of_a_text(text: str, expected: str) -> None:
    assert quote(text) == expected


VALUES: st.SearchStrategy[Value] = st.recursive(
    st.none() | st.booleans() | st.integers(0, 99) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["Name", "Role"]), inner, max_size=2),
    max_leaves=12,
)


@given(VALUES)
def test_a_value_of_any_form_is_one_expression(value: Value) -> None:
    script = f"$value = {literal(value)}"
    assert syntax_errors(script) == []
    assert commands(script) == []
    assert variables(script) <= {"$value", "$true", "$false", "$null"}
    assert sum(node.type == "assignment_expression" for node in nodes(script)) >= 1


@given(TEXTS)
def test_a_comment_is_a_comment(text: str) -> None:
    script = f"{comment(text)}\nWrite-Host 'after'"
    assert script.isascii()
    assert [each.name for each in commands(script)] == ["Write-Host"]
    assert len(script.splitlines()) == 2
