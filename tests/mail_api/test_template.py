"""Templates: a value stays a value, whatever it holds."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.mail_api.template import as_form, as_json, filled, filled_path, filled_text, names_in, texts_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(TEXTS)
def test_a_value_adds_nothing_to_the_json_around_it(value: str) -> None:
    body = as_json(filled({"to": [{"email": "{recipient}"}], "n": 1, "ok": True}, {"recipient": value}))
    assert json.loads(body) == {"to": [{"email": value}], "n": 1, "ok": True}


@given(TEXTS)
def test_a_value_adds_no_field_to_a_form(value: str) -> None:
    body = as_form(filled({"to": "{recipient}", "data": {"a": "{recipient}"}}, {"recipient": value}))
    read = parse_qs(body.decode(), keep_blank_values=True)
    assert set(read) == {"to", "data"}
    assert read["to"] == [value]
    assert json.loads(read["data"][0]) == {"a": value}


@given(TEXTS)
def test_a_value_is_one_segment_of_a_path(value: str) -> None:
    url = urlsplit("https://api.example.org" + filled_path("/v3/{domain}/messages", {"domain": value}))
    assert (url.path.count("/"), url.query, url.fragment) == (3, "", "")


def test_double_braces_are_braces() -> None:
    assert filled_text("{{name}} {sender}", {"sender": "a"}) == "{name} a"
    assert names_in("{{name}} {sender}") == {"sender"}


def test_a_value_is_not_filled_in_again() -> None:
    assert filled_text("{sender}", {"sender": "{recipient}", "recipient": "b"}) == "{recipient}"


def test_every_text_is_seen() -> None:
    assert list(texts_of({"{a}": ["{b}", {"c": "{d}"}], "e": 1})) == ["{a}", "{b}", "c", "{d}", "e"]


def test_an_unknown_name_is_no_silence() -> None:
    with pytest.raises(KeyError):
        filled_text("{nobody}", {})
