"""The list of checks: whatever is asked for, its page is that of the plain way, which makes and orders every row."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from smtpcheck.diagnosis import catalogue
from smtpcheck.model.check import Check, Via
from smtpcheck.model.report import Report
from smtpcheck.web.side_by_side import groups_of
from smtpcheck.web.table import Query, Row, Rows, read
from tests.web.world import (
    CONTOSO,
    FABRIKAM,
    NOW,
    World,
    check,
    cut_off_report,
    expiring_report,
    ok_report,
    refused_report,
    secret_report,
    settings,
)

RULES = catalogue.load()
NAMES = ("a", "A", "b", "B-2", "billing", "c", "Straße", "z")
WORST_FIRST = ("critical", "unknown", "warning", "waiting", "ok")
KEYS: Mapping[str, Callable[[Row], Any]] = {
    "name": lambda row: row.check.name.casefold(),
    "outcome": lambda row: WORST_FIRST.index(row.status),
    "cause": lambda row: row.causes[0] if row.causes else None,
    "since": lambda row: row.since,
    "next": lambda row: row.next_run,
    "latency": lambda row: row.seconds,
    "secret": lambda row: row.secret_expires,
}
MAKERS = (ok_report, refused_report, expiring_report, secret_report, cut_off_report)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
    checks = tuple(map(draw, map(checks_of, names)))
    world = World(settings(*checks), RULES, states=(CONTOSO, FABRIKAM))
    for each in draw(st.lists(st.sampled_from(names), max_size=12)):
        world.record(draw(reports(each)))
    return world


def checks_of(name: str) -> st.SearchStrategy[Check]:
    plain = check(name)
    return st.builds(
        lambda credential, labels, group: replace(
            plain,
            credential=credential,
            labels=labels,
            side_by_side=group,
            via=Via("graph", "https://graph.microsoft.com") if group else None,
        ),
        st.sampled_from(["contoso", "fabrikam"]),
        st.sampled_from([(), (("team", "shop"),), (("site", "x"), ("team", "finance"))]),
        st.sampled_from(["", "", "one", "two"]),
    )


def reports(name: str) -> st.SearchStrategy[Report]:
    return st.builds(
        lambda make, at, seconds: structs.replace(make(name), started_at=NOW - at, seconds=seconds),
        st.sampled_from(MAKERS),
        st.sampled_from([10.0, 20.0, 30.0]),
        st.sampled_from([0.5, 0.25]),
    )


queries = st.builds(
    Query,
    text=st.sampled_from(["", "", "B", "ss", "contoso", "disabled", "Expir", "nothing\n"]),
    outcome=st.sampled_from(["", "", *WORST_FIRST]),
    cause=st.sampled_from(["", "", "secret_expired", "certificate_expiring"]),
    label=st.sampled_from(["", "", "team", "team=shop", "site="]),
    sort=st.sampled_from(["", *KEYS, *(f"-{key}" for key in KEYS)]),
    page=st.integers(1, 4),
    per_page=st.integers(1, 9),
)


@given(worlds(), queries)
def test_a_page_is_that_of_the_plain_way(world: World, query: Query) -> None:
    rows = Rows(world, world.settings.checks, world.credentials())
    every = [rows[number] for number in range(len(rows))]
    table, plain = read(rows, query), plainly(every, query)
    begin = (table.query.page - 1) * query.per_page
    assert table.query.page == min(query.page, table.pages)
    assert [row.check.name for row in table.rows] == [row.check.name for row in plain[begin:][: query.per_page]]
    assert (table.total, table.found) == (len(every), len(plain))
    assert table.pages == max(1, -(-len(plain) // query.per_page))
    assert table.counts == Counter(row.status for row in every)
    assert table.causes == tuple(sorted({cause for row in every for cause in row.causes}))


def plainly(rows: Sequence[Row], query: Query) -> list[Row]:
    found = [row for row in rows if shows(row, query)]
    found.sort(key=lambda row: (WORST_FIRST.index(row.status), -(row.since or 0.0), row.check.name.casefold()))
    if query.sort:
        key = KEYS[query.sort.removeprefix("-")]
        known = [row for row in found if key(row) is not None]
        known.sort(key=key, reverse=query.sort.startswith("-"))
        found = known + [row for row in found if key(row) is None]
    return [row for group in groups_of(found) for row in group]


def shows(row: Row, query: Query) -> bool:
    parts = (row.check.name, row.check.mailbox, row.check.server.host, row.check.credential or "", *row.causes)
    name, equals, value = query.label.partition("=")
    return (
        query.outcome in {"", row.status}
        and (not query.cause or query.cause in row.causes)
        and query.text.casefold() in "\n".join(parts).casefold()
        and (not name or any(name == key and (not equals or value == is_) for key, is_ in row.check.labels))
    )
