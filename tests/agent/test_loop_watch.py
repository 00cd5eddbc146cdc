"""The standstills of the event loop: how long, when, and what is forgotten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.agent.loop_watch import KEPT_SECONDS, NOTICEABLE_SECONDS, LoopWatch


def test_ticks_on_time_are_no_standstill() -> None:
    watch = LoopWatch(0.25, 0.0)
    assert [watch.tick(0.25 * number) for number in range(1, 9)] == [0.0] * 8
    assert (watch.total, watch.stalled_within(60.0, 2.0)) == (0.0, 0.0)


def test_a_tick_that_comes_late_was_held_up() -> None:
    watch = LoopWatch(0.25, 0.0)
    assert watch.tick(12.25) == 12.0
    assert watch.stalled_within(60.0, 12.5) == 12.0
    assert watch.stalled_within(5.0, 12.5) == 5.0
    assert watch.stalled_within(0.2, 12.5) == 0.0
    assert watch.total == 12.0


def test_a_tick_that_is_overdue_counts_before_it_comes() -> None:
    watch = LoopWatch(0.25, 0.0)
    assert watch.stalled_within(60.0, 5.25) == pytest.approx(5.0)


def test_what_was_long_ago_is_forgotten() -> None:
    watch = LoopWatch(0.25, 0.0)
    watch.tick(5.25)
    now = 5.25
    while now < KEPT_SECONDS + 6:
        now += 0.25
        watch.tick(now)
    assert watch.stalled_within(2 * KEPT_SECONDS, now) == 0.0
    assert watch.total == 5.0


@given(gaps=st.lists(st.floats(0.2, 30.0), max_size=200), seconds=st.floats(0, 1000))
def test_no_more_is_excused_than_the_time_that_passed(gaps: list[float], seconds: float) -> None:
    watch, now = LoopWatch(0.25, 0.0), 0.0
    for gap in gaps:
        now += gap
        watch.tick(now)
    assert 0.0 <= watch.stalled_within(seconds, now) <= min(seconds, watch.total) + 1e-6
    assert watch.total <= sum(gap for gap in gaps if gap > NOTICEABLE_SECONDS + 0.25 - 1e-6) + 1e-6
