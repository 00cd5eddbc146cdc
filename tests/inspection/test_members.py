"""Members of a provider's JSON: read by their type, or absent."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.inspection import members

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
READERS = (
    *(members.text, members.flag, members.guid, members.texts),
    *(members.objects, members.number, members.moment),
)


@given(JSON, st.sampled_from(READERS))
def test_no_value_makes_a_reader_raise_or_keep_what_cannot_be_shown(value: Any, reader: Any) -> None:
    found = reader({"key": value}, "key")
    for text in found if isinstance(found, tuple) else (found,):
        if isinstance(text, str):
            assert text.isprintable()
            assert len(text) <= members.LONGEST


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2026-11-27T10:00:00Z", 1795773600.0),
        ("2026-11-27T10:00:00", 1795773600.0),
        ("2026-11-27T11:00:00+01:00", 1795773600.0),
        ("/Date(1795773600000)/", 1795773600.0),
        ("/Date(999999999999999)/", None),
        ("0001-01-01T00:00:00Z", None),
        ("yesterday", None),
        (1795773600, None),
        (None, None),
    ],
)
def test_a_time_is_read_in_each_form_that_microsoft_writes(value: object, seconds: float | None) -> None:
    assert members.moment({"at": value}, "at") == seconds


def test_a_time_is_shown_by_our_own_clock() -> None:
    """The provider's clock is ten minutes ahead."""
    assert members.moment({"at": "2026-11-27T10:00:00Z"}, "at", offset=600.0) == 1795773000.0


@pytest.mark.parametrize(
    ("value", "said"), [("True", True), ("False", False), (True, True), ("maybe", None), (1, None)]
)
def test_exchange_may_write_yes_and_no_as_text(value: object, said: bool | None) -> None:
    assert members.flag({"Deny": value}, "Deny") is said


@pytest.mark.parametrize(
    ("value", "said"), [("UserMailbox", "UserMailbox"), ("anna@contoso.example", "other"), ("a b", "other"), (5, "")]
)
def test_a_word_is_one_or_is_not_shown(value: object, said: str) -> None:
    assert members.word({"kind": value}, "kind") == said


@pytest.mark.parametrize("value", [["FullAccess", "ReadPermission"], "FullAccess, ReadPermission"])
def test_exchange_may_write_a_list_as_one_text(value: object) -> None:
    assert members.texts({"AccessRights": value}, "AccessRights") == ("FullAccess", "ReadPermission")


def test_a_list_is_read_as_far_as_its_limit() -> None:
    assert len(members.objects({"value": [{}] * 5000}, "value")) == members.MOST
