"""Periodic jobs while the wall clock is set forward and back, by seconds and by years."""

import asyncio
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from apscheduler.schedulers import base
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.agent.periodic_jobs import STEP_SECONDS, ClockSteps, Every, PeriodicJobs

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOUR, YEAR = 3600.0, 365 * 86400.0


class SetClock(datetime):
    """The wall clock as APScheduler reads it, set by so many seconds."""

    offset = timedelta(0)

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        return datetime.now(UTC) + cls.offset


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[SetClock]]:
    monkeypatch.setattr(base, "datetime", SetClock)
    yield SetClock
    SetClock.offset = timedelta(0)


@pytest.mark.parametrize("noticed_after", [0.0, 0.25])
@pytest.mark.parametrize("step", [-YEAR, -HOUR, HOUR, 7 * 86400.0, YEAR])
async def test_a_job_goes_on_whatever_the_wall_clock_is_set_to(
    clock: type[SetClock], step: float, noticed_after: float
) -> None:
    runs = 0
    came = asyncio.Event()

    def job() -> None:
        nonlocal runs
        runs += 1
        came.set()

    jobs = PeriodicJobs(lambda: clock.now().timestamp())
    jobs.add("job", job, 0.05)
    jobs.start()
    try:
        await asyncio.wait_for(came.wait(), 10)
        clock.offset = timedelta(seconds=step)
        await asyncio.sleep(noticed_after)
        jobs.follow(step)
        before = runs
        for _ in range(3):
            came.clear()
            await asyncio.wait_for(came.wait(), 10)
        assert runs - before >= 3
    finally:
        jobs.stop()


async def test_what_a_job_raises_is_counted_and_the_job_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    jobs = PeriodicJobs(time.time)

    async def fails() -> None:
        raise ValueError

    jobs.add("job", fails, 0.02)
    jobs.start()
    try:
        async with asyncio.timeout(10):
            while jobs.internal_errors < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        jobs.stop()
    assert not [record for record in caplog.records if record.name.startswith("apscheduler")]


def test_a_clock_that_was_set_on_by_a_year_means_one_missed_run_and_no_memory() -> None:
    trigger, due, run_times = Every(0.25), NOW, []
    tracemalloc.start()
    try:
        while due <= NOW + timedelta(seconds=YEAR):  # what APScheduler does with each job that is due
            run_times.append(due)
            due = trigger.get_next_fire_time(due, NOW + timedelta(seconds=YEAR))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert run_times == [NOW]
    assert due == NOW + timedelta(seconds=YEAR + 0.25)


def test_a_run_on_time_keeps_the_rhythm() -> None:
    trigger = Every(5.0)
    assert trigger.get_next_fire_time(None, NOW) == NOW + timedelta(seconds=5)
    assert trigger.get_next_fire_time(NOW, NOW + timedelta(seconds=1)) == NOW + timedelta(seconds=5)


@given(
    steps=st.lists(st.floats(-YEAR, YEAR).filter(lambda step: step == 0 or abs(step) > 2 * STEP_SECONDS)),
    drift=st.floats(-0.01, 0.01),
)
def test_every_step_of_the_clock_is_seen_once_and_drift_is_none(steps: list[float], drift: float) -> None:
    wall, monotonic = 1_700_000_000.0, 50.0
    seen = ClockSteps(wall, monotonic)
    for step in steps:
        wall, monotonic = wall + 0.25 + step + drift, monotonic + 0.25
        found = seen.step(wall, monotonic)
        assert found == (0.0 if step == 0 else pytest.approx(step, abs=0.1))
