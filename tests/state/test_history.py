"""The packed forms of many runs: the last ones, and the hours of a day."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome
from smtpcheck.state.history import (
    HISTORY_LENGTH,
    Day,
    Hour,
    Run,
    cause_code,
    day,
    day_of,
    merged_hours,
    runs,
    with_hour,
    with_run,
)
from tests.worlds.samples import run

NOON = 20_000 * 86400.0 + 12 * 3600.0
"""12:00 UTC of the day 20000."""
EMPTY = Hour(0, 0, 0, 0.0, 0.0)


def test_every_cause_has_a_number_of_its_own() -> None:
    assert len({cause_code(cause) for cause in (None, *Cause)}) == len(Cause) + 1


def test_the_numbers_of_causes_are_those_of_every_version() -> None:
    """They are in the files of users: whatever is added to the list, and wherever, they stay."""
    causes = (None, Cause.TIMEOUT, Cause.SECRET_EXPIRED, Cause.UNKNOWN)
    assert [cause_code(cause) for cause in causes] == [0, 30098, 23916, 42951]


def test_a_cause_of_a_later_version_is_unknown() -> None:
    code = next(number for number in range(1, 0xFFFF) if number not in {cause_code(cause) for cause in Cause})
    assert runs(struct.pack("<ddBH", 1.0, 2.0, 2, code)) == (Run(1.0, 2.0, Outcome.CRITICAL, Cause.UNKNOWN),)


@given(
    st.lists(
        st.tuples(st.floats(0, 1e10), st.floats(0, 1e6), st.sampled_from(Outcome), st.sampled_from((None, *Cause))),
        max_size=HISTORY_LENGTH + 5,
    )
)
def test_the_last_runs_come_back_as_they_were(rows: list[tuple[float, float, Outcome, Cause | None]]) -> None:
    packed = b""
    for at, seconds, outcome, cause in rows:
        packed = with_run(packed, run(at, outcome, cause, seconds))
    assert runs(packed) == tuple(Run(*row) for row in rows[-HISTORY_LENGTH:])


def test_a_day_counts_its_runs_by_the_hour_of_utc() -> None:
    packed = b""
    for report in (
        run(NOON - 0.001),
        run(NOON, seconds=2.0),
        run(NOON + 1800, Outcome.CRITICAL, seconds=0.25),
        run(NOON + 3599, Outcome.UNKNOWN),
        run(NOON + 12 * 3600 - 1, Outcome.WARNING),
    ):
        packed = with_hour(packed, report)
    hours = [EMPTY] * 24
    hours[11] = hours[23] = Hour(1, 0, 0, 0.5, 0.5)
    hours[12] = Hour(3, 1, 1, 2.75, 2.0)
    assert day(day_of(NOON), packed) == Day(20_000, tuple(hours))


def test_an_hour_of_more_runs_than_it_can_count_stays_at_the_most() -> None:
    hour = struct.pack("<HHHff", 0xFFFF, 0xFFFF, 0xFFFF, 1.0, 1.0)
    packed = with_hour(hour * 24, run(NOON, Outcome.CRITICAL))
    assert day(0, packed).hours[12] == Hour(0xFFFF, 0xFFFF, 0xFFFF, 1.5, 1.0)


DAY_OCTETS = len(with_hour(b"", run(NOON)))
RUNS = st.lists(st.tuples(st.integers(0, 23), st.sampled_from(Outcome), st.floats(0, 60, width=32)), max_size=60)


def hours_of(drawn: list[tuple[int, Outcome, float]]) -> bytes:
    hours = with_hour(b"", run(NOON))
    for hour, outcome, seconds in drawn:
        hours = with_hour(hours, run(NOON - 12 * 3600 + hour * 3600, outcome, seconds=seconds))
    return hours


@given(kept=RUNS, more=RUNS)
def test_a_day_that_is_begun_again_only_grows(
    kept: list[tuple[int, Outcome, float]], more: list[tuple[int, Outcome, float]]
) -> None:
    """Every hour keeps its runs and failures, and stays possible; what goes on from what is kept replaces it."""
    before, again = hours_of(kept), hours_of(more)
    for old, new in zip(day(1, before).hours, day(1, merged_hours(before, again)).hours, strict=True):
        assert (new.runs >= old.runs, new.failures >= old.failures) == (True, True)
        assert new.failures + new.unknown <= new.runs
    assert merged_hours(before, hours_of(kept + more)) == hours_of(kept + more)
    assert merged_hours(b"nonsense", again) == again


@given(kept=st.binary(min_size=DAY_OCTETS, max_size=DAY_OCTETS), more=RUNS)
def test_a_damaged_day_is_merged_into_a_possible_one(kept: bytes, more: list[tuple[int, Outcome, float]]) -> None:
    merged = day(1, merged_hours(kept, hours_of(more))).hours
    assert all(hour.failures + hour.unknown <= hour.runs for hour in merged)
