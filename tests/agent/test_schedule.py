"""Checks come due evenly spread, never twice for one slot, and a reload leaves no gap."""

from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.agent.schedule import Schedule
from smtpcheck.model.check import Check, Depth
from tests.worlds.samples import BILLING

CHECK = replace(BILLING, credential=None, depth=Depth.CONNECT)
START = 5000.0


def named(*names: str, interval: float = 60.0) -> list[Check]:
    """Return checks of these names."""
    return [replace(CHECK, name=name, interval=interval) for name in names]


def fire(schedule: Schedule, until: float, since: float = START, tick: float = 0.25) -> dict[str, list[float]]:
    """Drain the schedule once a tick and return the due times of each check."""
    fired = defaultdict(list)
    for number in range(int((until - since) / tick) + 1):
        for name, due_at in schedule.due(since + number * tick):
            fired[name].append(due_at)
    return dict(fired)


@pytest.mark.parametrize("interval", [1.0, 60.0, 86400.0])
def test_every_first_run_comes_within_the_interval_or_a_minute(interval: float) -> None:
    checks = named(*(f"check-{number}" for number in range(500)), interval=interval)
    schedule = Schedule()
    schedule.replace(checks, START)
    first = [schedule.next_at(check.name) - START for check in checks]
    span = min(interval, 60.0)
    assert (min(first) >= 0, max(first) < span) == (True, True)
    tenths = Counter(int(10 * seconds / span) for seconds in first)
    assert {tenth: count > 25 for tenth, count in tenths.items()} == dict.fromkeys(range(10), True)


def test_the_place_of_a_name_is_the_same_in_every_process() -> None:
    schedule = Schedule()
    schedule.replace(named("billing", "orders"), START)
    assert [round(schedule.next_at(name) - START, 3) for name in ("billing", "orders")] == [2.95, 6.583]


def test_runs_are_one_interval_apart() -> None:
    schedule = Schedule()
    schedule.replace(named("billing"), START)
    first = schedule.next_at("billing")
    assert fire(schedule, START + 299) == {"billing": pytest.approx([first + 60 * number for number in range(5)])}
    assert schedule.skipped == 0


def test_a_long_interval_is_spread_over_its_whole_length_after_the_first_run() -> None:
    names = [f"check-{number}" for number in range(200)]
    schedule = Schedule(first_within=60.0)
    schedule.replace(named(*names, interval=3600.0), START)
    fired = fire(schedule, START + 4 * 3600, tick=1.0)
    gaps = [(times[1] - times[0], times[2] - times[1]) for times in (fired[name] for name in names)]
    assert all(1800 < first <= 5400 and then == pytest.approx(3600) for first, then in gaps)
    quarters = Counter(int((fired[name][2] - START) % 3600 / 900) for name in names)
    assert sorted(quarters) == [0, 1, 2, 3]
    assert min(quarters.values()) > 30


def test_due_checks_come_earliest_first() -> None:
    schedule = Schedule()
    schedule.replace(named(*(f"check-{number}" for number in range(50))), START)
    due = schedule.due(START + 60)
    assert due == sorted(due, key=lambda row: row[1])
    assert len(due) == 50


def test_a_late_tick_fires_once_and_counts_the_slots_that_passed() -> None:
    schedule = Schedule()
    schedule.replace(named("billing"), START)
    first = schedule.next_at("billing")
    assert schedule.due(first + 200) == [("billing", first)]
    assert schedule.due(first + 200) == []
    assert schedule.skipped == 3
    assert schedule.next_at("billing") == pytest.approx(first + 240)


def test_a_reload_keeps_the_slots_of_unchanged_checks() -> None:
    schedule = Schedule()
    schedule.replace(named("billing", "orders", "gone"), START)
    fire(schedule, START + 90)
    before = {name: schedule.next_at(name) for name in ("billing", "orders")}
    renewed = [replace(check, timeout=5.0) for check in named("billing", "orders", "new")]
    schedule.replace(renewed, START + 90)
    assert {name: schedule.next_at(name) for name in before} == before
    assert START + 90 <= schedule.next_at("new") < START + 150
    assert set(fire(schedule, START + 160, since=START + 90)) == {"billing", "orders", "new"}
    with pytest.raises(KeyError):
        schedule.next_at("gone")


def test_a_changed_interval_takes_effect_at_once() -> None:
    schedule = Schedule()
    schedule.replace(named("billing", interval=86400.0), START)
    fire(schedule, START + 60)
    schedule.replace(named("billing", interval=10.0), START + 60)
    assert START + 60 <= schedule.next_at("billing") < START + 70


def test_a_postponed_check_keeps_its_slots() -> None:
    schedule = Schedule()
    schedule.replace(named("billing"), START)
    first = schedule.next_at("billing")
    schedule.postpone("billing", first + 150)
    assert schedule.next_at("billing") == pytest.approx(first + 180)
    assert fire(schedule, first + 250, since=first) == {"billing": pytest.approx([first + 180, first + 240])}
    assert schedule.skipped == 0


def test_postponing_never_brings_a_run_forward() -> None:
    schedule = Schedule()
    schedule.replace(named("billing"), START)
    due_at = schedule.next_at("billing")
    schedule.postpone("billing", START - 100)
    assert schedule.next_at("billing") == due_at


def test_a_check_that_need_not_wait_any_more_comes_back_to_its_next_slot_once() -> None:
    """However often it is postponed and brought back, every slot fires it once."""
    schedule = Schedule()
    schedule.replace(named("billing", "orders"), START)
    slots = {name: [schedule.next_at(name) + 60 * number for number in range(6)] for name in ("billing", "orders")}
    now = START
    for seconds in (600, 30, 600):
        schedule.postpone("billing", START + seconds)
        schedule.resume("billing", now)
    assert schedule.next_at("billing") == pytest.approx(slots["billing"][0])
    fired = fire(schedule, START + 359)
    assert fired == {name: pytest.approx(times) for name, times in slots.items()}
    schedule.postpone("billing", START + 600)
    assert fire(schedule, START + 599, since=START + 359.25).keys() == {"orders"}


def test_a_check_that_often_waits_and_comes_back_leaves_nothing_behind() -> None:
    schedule = Schedule()
    schedule.replace(named("billing", "orders"), START)
    now = START
    for _ in range(20):
        now += 60
        schedule.postpone("billing", now + 600)
        schedule.due(now + 60)
        schedule.resume("billing", now)
    fired = fire(schedule, now + 1800, since=now)
    assert len(fired["billing"]) == len(set(fired["billing"])) == 30
    assert len(schedule._heap) == 2


def test_a_check_that_is_tried_again_soon_runs_besides_and_keeps_its_slots() -> None:
    schedule = Schedule()
    schedule.replace(named("billing", interval=3600.0), START)
    first = schedule.next_at("billing")
    fire(schedule, first + 1)
    slot = schedule.next_at("billing")
    for after in (60.0, 180.0):
        schedule.bring_forward("billing", first + after)
        schedule.bring_forward("billing", first + 4000.0)
        assert fire(schedule, first + after + 1, since=first + 1) == {"billing": [first + after]}
        assert schedule.next_at("billing") == slot
    assert fire(schedule, slot + 3601, since=first + 182) == {"billing": pytest.approx([slot, slot + 3600])}
    assert schedule.skipped == 0
    assert len(schedule._heap) == 1


def test_a_check_that_waits_after_a_refusal_is_not_tried_again_sooner() -> None:
    schedule = Schedule()
    schedule.replace(named("billing"), START)
    schedule.postpone("billing", START + 600)
    until = schedule.next_at("billing")
    schedule.bring_forward("billing", START + 60)
    assert schedule.next_at("billing") == until


def test_a_check_that_does_not_wait_is_not_brought_forward() -> None:
    schedule = Schedule(first_within=1.0)
    schedule.replace(named("billing", interval=3600.0), START)
    due_at = schedule.next_at("billing")
    schedule.resume("billing", START)
    assert schedule.next_at("billing") == due_at


@given(
    interval=st.floats(0.5, 1e6),
    ticks=st.lists(st.floats(0.0, 1e5), min_size=1, max_size=30),
    start=st.floats(0.0, 1e9),
)
def test_the_next_time_is_always_in_the_future(interval: float, ticks: list[float], start: float) -> None:
    schedule = Schedule()
    schedule.replace(named("billing", interval=interval), start)
    now = start
    for tick in ticks:
        now += tick
        due_at = schedule.next_at("billing")
        assert schedule.due(now) == ([("billing", due_at)] if due_at <= now else [])
        assert now < schedule.next_at("billing") <= max(now, due_at) + 1.5 * interval + 1e-3


def test_a_check_that_is_held_runs_as_soon_as_it_may_and_not_at_its_next_slot() -> None:
    schedule = Schedule()
    schedule.replace(named("a", interval=3600.0), START)
    schedule.hold("a", START + 1000.0)
    assert fire(schedule, START + 1010.0) == {"a": [START + 1000.0]}


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from("abcde"), st.sampled_from([10.0, 60.0]), min_size=1),
            st.floats(0.25, 70.0),
            st.sampled_from("abcde"),
        ),
        max_size=12,
    )
)
def test_after_any_reloads_exactly_the_checks_that_are_there_come_due_at_their_times(
    reloads: list[tuple[dict[str, float], float, str]],
) -> None:
    schedule, now, before = Schedule(), START, dict[str, float]()
    times: dict[str, float] = {}
    for checks, seconds, waiting in reloads:
        schedule.replace([replace(CHECK, name=name, interval=every) for name, every in checks.items()], now)
        for name, every in checks.items():
            assert before.get(name) != every or schedule.next_at(name) == times[name]
        if waiting in checks:
            schedule.postpone(waiting, now + 30.0)
        assert schedule.earliest() <= min(schedule.next_at(name) for name in checks)
        expected = {name: schedule.next_at(name) for name in checks if schedule.next_at(name) <= now + seconds}
        now += seconds
        assert dict(schedule.due(now)) == expected
        before, times = checks, {name: schedule.next_at(name) for name in checks}
        assert all(at > now for at in times.values())
        assert len(schedule._heap) <= 2 * len(checks)


def test_a_check_that_has_left_is_not_what_is_due_next() -> None:
    schedule = Schedule()
    schedule.replace(named("billing", "orders"), START)
    schedule.replace(named("orders"), START)
    assert schedule.earliest() == schedule.next_at("orders") > START + 3
