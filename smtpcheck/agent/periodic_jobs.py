"""The agent's periodic jobs beside the checks, run by APScheduler, and how they survive a wall clock that is set.

Rules of this file:
- APScheduler computes every wake-up from the wall clock: set forward by a year it would make one datetime for each run
  that was missed, set back by an hour it would stand still for that hour. So a job never has more than one missed run
  (`Every`), and after a step of the clock each job is due when it would have been without it (`follow`).
- What starts checks and searches for mail is no job of APScheduler, but a loop on the monotonic clock.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

STEP_SECONDS = 2.0
"""A clock that is slewed, or read a moment late, moves less than this between two looks."""


class ClockSteps:
    """Sees when the wall clock is set: wall and monotonic time then no longer advance alike."""

    def __init__(self, wall: float, monotonic: float) -> None:
        """Begin with the present, by both clocks."""
        self._offset = wall - monotonic

    def step(self, wall: float, monotonic: float) -> float:
        """Return by how many seconds the wall clock was set since the last call, forward or back; 0 if it was not."""
        moved = wall - monotonic - self._offset
        self._offset += moved
        return moved if abs(moved) > STEP_SECONDS else 0.0


class Every(BaseTrigger):  # type: ignore[misc] # APScheduler has no types
    """Fires at a fixed interval; of the runs that were missed it yields one."""

    def __init__(self, seconds: float) -> None:
        """Fire every `seconds`, for the first time after that long."""
        self._interval = timedelta(seconds=seconds)

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """Return the next run, later than `now` (APScheduler 3: `BaseTrigger.get_next_fire_time`)."""
        following = (previous_fire_time or now) + self._interval
        return following if following > now else now + self._interval


class PeriodicJobs:
    """Jobs that run at fixed intervals, each at most once at a time."""

    def __init__(self) -> None:
        """Begin without any; nothing runs before `start`."""
        # A run that is still busy when the next is due is no news: the agent reports what is late itself.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )

    @property
    def running(self) -> bool:
        """Return whether the jobs are being run."""
        return bool(self._scheduler.running)

    def add(self, name: str, job: Callable[[], object], seconds: float) -> None:
        """Run `job`, a function or a coroutine function, every `seconds`."""
        self._scheduler.add_job(job, Every(seconds), id=name, name=name)

    def start(self) -> None:
        """Begin to run the jobs, on the running event loop."""
        self._scheduler.start()

    def follow(self, step: float) -> None:
        """Move every job by the seconds by which the wall clock was set: each is due when it would have been."""
        for job in self._scheduler.get_jobs():
            job.modify(next_run_time=job.next_run_time + timedelta(seconds=step))

    def stop(self) -> None:
        """Start nothing any more; a job that is running goes on to its end."""
        self._scheduler.shutdown(wait=False)
