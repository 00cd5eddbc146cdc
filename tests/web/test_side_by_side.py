"""Checks that go to one mailbox in several ways: together on the page, with one sentence that compares them."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.model.check import Check, Via
from smtpcheck.web.side_by_side import comparison, groups_of
from tests.worlds.samples import check

GRAPH = Via("graph", "https://graph.microsoft.com")


@dataclass(frozen=True)
class Row:
    check: Check
    status: str = "ok"
    seconds: float | None = 0.5


def row(name: str, group: str = "", via: Via | None = None, status: str = "ok", seconds: float | None = 0.5) -> Row:
    return Row(check(name, side_by_side=group, via=via), status, seconds)


def names(rows: list[Row]) -> list[list[str]]:
    return [[each.check.name for each in group] for group in groups_of(rows)]


def test_a_group_is_where_its_first_row_is() -> None:
    rows = [row("a"), row("b", "b"), row("c"), row("d"), row("e", "b", GRAPH), row("f")]
    assert names(rows) == [["a"], ["b", "e"], ["c", "d", "f"]]


def test_rows_without_company_are_one_group() -> None:
    assert names([row("a"), row("b", "b"), row("c")]) == [["a", "b", "c"]]
    assert names([]) == []


@given(st.lists(st.sampled_from(["", "x", "y"]), max_size=12))
def test_no_row_is_lost_or_shown_twice(groups: list[str]) -> None:
    rows = [row(f"n{number}", group) for number, group in enumerate(groups)]
    shown = [each for group in names(rows) for each in group]
    assert sorted(shown) == sorted(each.check.name for each in rows)


@pytest.mark.parametrize(
    ("smtp", "graph", "said"),
    [
        (("critical", 0.2), ("ok", 0.1), "By Graph it works, by SMTP it does not."),
        (("warning", 0.2), ("critical", 0.1), "By SMTP it works, by Graph it does not."),
        (("critical", 0.2), ("critical", 0.1), "It works by none of SMTP and Graph."),
        (("ok", 0.52), ("ok", 0.11), "All ways work; Graph took 0.11 s, SMTP 0.52 s."),
        (("ok", 0.52), ("unknown", 0.11), ""),
        (("waiting", None), ("waiting", None), ""),
        (("critical", 0.5), ("waiting", None), ""),
    ],
)
def test_what_works_and_what_is_faster_is_one_sentence(
    smtp: tuple[str, float | None], graph: tuple[str, float | None], said: str
) -> None:
    rows = [row("a", "a", None, *smtp), row("b", "a", GRAPH, *graph)]
    assert comparison(rows) == said
