"""Outages: when one begins and ends, what a restart and an upgrade make of it, and what is kept of it."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome, Report
from smtpcheck.state import schema
from smtpcheck.state.archive import KEPT_FIRST, KEPT_LAST, KEPT_OUTAGES
from smtpcheck.state.history import DAY_SECONDS
from smtpcheck.state.outage import Outage
from smtpcheck.state.state import FILE_NAME, KEEP_DAYS, State
from tests.state.test_state_file import NOON, damaged, kept, overwrite, rows
from tests.worlds.samples import BILLING as CHECK
from tests.worlds.samples import full_report, run
from tests.worlds.waiting import until

OK, WARNING, CRITICAL, UNKNOWN = Outcome
SIGNS = {"o": OK, "w": WARNING, "c": CRITICAL, "u": UNKNOWN}


def report(number: int, outcome: Outcome, cause: Cause = Cause.TIMEOUT) -> Report:
    """Return the run of that number, one a minute."""
    return run(NOON + 60 * number, outcome, cause if outcome is CRITICAL else None)


def outages(outcomes: Sequence[Outcome]) -> list[tuple[int, int | None]]:
    """Return begin and end of every outage after these runs, by the runs' numbers."""
    state, found = State(), dict[int, Outage]()
    for number, outcome in enumerate(outcomes):
        state.record(CHECK, report(number, outcome))
        found |= {latest.number: latest for latest in state.archive._latest.values()}
    assert list(found) == list(range(1, len(found) + 1))
    return [(_run_at(each.began), None if each.ended is None else _run_at(each.ended)) for each in found.values()]


def _run_at(timestamp: float) -> int:
    return round((timestamp - NOON) / 60)


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ("ooo", []),
        ("occo", [(1, 3)]),
        ("cc", [(0, None)]),
        ("ocuco", [(1, 4)]),
        ("ocuo", [(1, 3)]),
        ("ocuu", [(1, None)]),
        ("ouu", []),
        ("ocwcwo", [(1, 2), (3, 4)]),
    ],
)
def test_an_outage_lasts_from_the_first_failure_to_the_first_success(
    runs: str, expected: list[tuple[int, int | None]]
) -> None:
    assert outages([SIGNS[sign] for sign in runs]) == expected


async def test_a_clock_that_was_set_back_ends_no_outage_before_it_began(tmp_path: Path) -> None:
    """How long it really was is not known."""
    async with kept(tmp_path) as state:
        for number, outcome in ((0, CRITICAL), (-600, OK)):
            state.record(CHECK, report(number, outcome))
        assert [(each.began, each.ended) for each in await state.archive.outages("billing")] == [(NOON, NOON)]
        state.forget_old(NOON - 10 * DAY_SECONDS)
    assert rows(tmp_path, "SELECT count(*) FROM outages") == [(1,)]
    assert rows(tmp_path, "SELECT name FROM checks") == [("billing",)]


@given(st.lists(st.sampled_from(list(Outcome)), max_size=12))
def test_failures_lie_in_outages_and_successes_outside(outcomes: list[Outcome]) -> None:
    spans = outages(outcomes)
    for number, outcome in enumerate(outcomes):
        inside = any(began <= number and (ended is None or number < ended) for began, ended in spans)
        assert outcome is UNKNOWN or inside is (outcome is CRITICAL)


async def test_a_restart_goes_on_with_the_outage(tmp_path: Path) -> None:
    """It is neither ended nor begun by it, and its cause is that of the first failure."""
    async with kept(tmp_path) as state:
        state.record(CHECK, report(0, OK))
        state.record(CHECK, report(1, CRITICAL, Cause.SECRET_EXPIRED))
    async with kept(tmp_path) as state:
        state.record(CHECK, report(2, CRITICAL))
        assert await state.archive.outages("billing") == (Outage(1, NOON + 60, None, "secret_expired"),)
    async with kept(tmp_path) as state:
        state.record(CHECK, report(3, OK))
        state.record(CHECK, report(4, CRITICAL))
    async with kept(tmp_path) as state:
        assert await state.archive.outages("billing") == (
            Outage(2, NOON + 240, None, "timeout"),
            Outage(1, NOON + 60, NOON + 180, "secret_expired"),
        )


@pytest.mark.parametrize("next_outcome", [CRITICAL, OK])
async def test_the_file_of_an_earlier_version_keeps_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, next_outcome: Outcome
) -> None:
    """A check that was failing when smtpcheck was upgraded has been failing since then."""
    with monkeypatch.context() as patch:
        before = next(place for place, step in enumerate(schema.STEPS) if "CREATE TABLE outages" in step)
        patch.setattr(schema, "STEPS", schema.STEPS[:before])
        patch.setattr("smtpcheck.state.archive.Archive.record", lambda *_: None)
        patch.setattr("smtpcheck.state.archive.Archive.fetch", _nothing)
        async with kept(tmp_path) as state:
            for number, outcome in enumerate([OK, CRITICAL, CRITICAL]):
                expected = state.record(CHECK, report(number, outcome))
    async with kept(tmp_path) as state:
        assert dict(state.checks) == {"billing": expected}
        assert await state.archive.outages("billing") == ()
        assert [each.day for each in await state.days("billing")] == [20_000]
        state.record(CHECK, report(3, next_outcome))
        ended = None if next_outcome is CRITICAL else NOON + 180
        assert await state.archive.outages("billing") == (Outage(1, NOON + 60, ended, "timeout"),)


async def _nothing(*_: object) -> None:
    """Be the archive that an earlier version did not have."""


FAILURE = structs.replace(full_report("billing"), started_at=NOON + 60)


async def test_the_report_of_a_failure_can_be_read_later(tmp_path: Path) -> None:
    async with kept(tmp_path) as state:
        state.record(CHECK, report(0, OK))
        state.record(CHECK, FAILURE)
        state.record(CHECK, report(2, OK))
    async with kept(tmp_path) as state:
        (failure,) = await state.archive.failures("billing")
        assert (failure.at, failure.outage, failure.cause) == (FAILURE.started_at, 1, FAILURE.cause)
        assert await state.archive.report("billing", int(failure.at)) == FAILURE
        assert await state.archive.report("billing", int(failure.at) + 1) is None
        assert await state.archive.report("other", int(failure.at)) is None


async def test_what_is_kept_of_a_check_is_bounded(tmp_path: Path) -> None:
    """However often it fails: the last outages, the first report of the last ones, and the last reports."""
    async with kept(tmp_path) as state:
        for number in range(2 * KEPT_OUTAGES):
            for place, outcome in enumerate([CRITICAL, CRITICAL, OK]):
                state.record(CHECK, report(3 * number + place, outcome))
    assert rows(tmp_path, "SELECT count(*), min(number), max(number) FROM outages") == [
        (KEPT_OUTAGES, KEPT_OUTAGES + 1, 2 * KEPT_OUTAGES)
    ]
    assert rows(tmp_path, "SELECT count(*) FROM failed") == [(KEPT_FIRST + KEPT_LAST,)]
    async with kept(tmp_path) as state:
        reports = {failure.at for failure in await state.archive.failures("billing")}
        outages = await state.archive.outages("billing")
    assert {outage.began for outage in outages[:KEPT_FIRST]} <= reports
    last = [NOON + 60 * (3 * number + place) for number in range(2 * KEPT_OUTAGES) for place in (0, 1)]
    assert set(last[-KEPT_LAST:]) <= reports


async def test_a_long_outage_keeps_its_first_report(tmp_path: Path) -> None:
    async with kept(tmp_path) as state:
        for number in range(5 * KEPT_LAST):
            state.record(CHECK, report(number, CRITICAL))
    async with kept(tmp_path) as state:
        assert await state.archive.report("billing", int(NOON)) == report(0, CRITICAL)


async def test_the_old_is_forgotten_and_what_goes_on_is_not(tmp_path: Path) -> None:
    async with kept(tmp_path) as state:
        for number, outcome in enumerate([CRITICAL, OK, CRITICAL]):
            state.record(CHECK, report(number, outcome))
        state.forget_old(NOON + (KEEP_DAYS + 1) * DAY_SECONDS)
    assert rows(tmp_path, "SELECT number FROM outages") == [(2,)]
    assert rows(tmp_path, "SELECT count(*) FROM failed") == [(0,)]


async def test_a_new_file_has_the_outage_that_goes_on(tmp_path: Path) -> None:
    """When a damaged file is kept aside, what memory knows of outages is in the one that takes its place."""
    async with kept(tmp_path) as state:
        state.record(CHECK, report(0, CRITICAL))
    overwrite(tmp_path / FILE_NAME)
    async with kept(tmp_path) as state:
        state.record(CHECK, report(0, CRITICAL))
        state.record(CHECK, report(1, CRITICAL))
        assert await state.archive.outages("billing") == (Outage(1, NOON, None, "timeout"),)
        await until(lambda: bool(damaged(tmp_path)))
    assert rows(tmp_path, "SELECT name, number, ended FROM outages") == [("billing", 1, None)]
