"""The agent's periodic jobs beside the checks, run by APScheduler, and how they survive a wall clock that is set.

Rules of this file:
- APScheduler computes every wake-up from the wall clock: set forward by a year it would make one datetime for each run
  that was missed, set back by an hour it would stand still for that hour. So a job never has more than one missed run
  (`Every`), and after a step of the clock each job is due when it would have been without it (`follow`).
- What starts checks and searches for mail is no job of APScheduler, but a loop on the monotonic clock.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from smtpcheck.system import System

_log = structlog.get_logger(__name__)

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


class ClockFollower:
    """Has all that waits by the wall clock follow it when it is set."""

    def __init__(self, system: System, *followers: Callable[[float], None]) -> None:
        """Begin with the present; each follower is called with the seconds by which the clock was set."""
        self._system, self._followers = system, followers
        self._steps = ClockSteps(system.wall(), system.monotonic())

    def follow(self) -> None:
        """Look whether the clock was set: before anything is decided by it."""
        if step := self._steps.step(self._system.wall(), self._system.monotonic()):
            _log.warning("the wall clock was set", seconds=round(step, 1))
            for follow in self._followers:
                follow(step)


class Every(BaseTrigger):  # type: ignore[misc] # APScheduler has no types
    """Fires at a fixed interval; of the runs that were missed it yields one."""

    def __init__(self, seconds: float) -> None:
        """Fire every `seconds`, for the first time after that long."""
        self.interval = timedelta(seconds=seconds)

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """Return the next run, later than `now` (APScheduler 3: `BaseTrigger.get_next_fire_time`)."""
        following = (previous_fire_time or now) + self.interval
        return following if following > now else now + self.interval


class PeriodicJobs:
    """Jobs that run at fixed intervals, each at most once at a time."""

    def __init__(self, wall: Callable[[], float]) -> None:
        """Begin without any; nothing runs before `start`. `wall` is the time (Unix seconds)."""
        self._wall = wall
        self.internal_errors = 0
        """Runs of jobs that ended by a fault of our own."""
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
        """Run `job`, a function or a coroutine function, every `seconds`; what it raises is logged and counted."""
        self._scheduler.add_job(self._run, Every(seconds), (name, job), id=name, name=name)

    async def _run(self, name: str, job: Callable[[], object]) -> None:
        try:
            done = job()
            if isinstance(done, Awaitable):
                await done
        except asyncio.CancelledError:  # the agent is stopping
            return
        except Exception:  # noqa: BLE001
            self.internal_errors += 1
            _log.exception("internal error", job=name)

    def start(self) -> None:
        """Begin to run the jobs, on the running event loop."""
        self._scheduler.start()

    def follow(self, step: float) -> None:
        """Move every job by the seconds by which the wall clock was set: each is due when it would have been.

        One that APScheduler has seen since then is placed by the new clock already, and none waits longer than its
        interval.
        """
        now = datetime.fromtimestamp(self._wall(), UTC)
        for job in self._scheduler.get_jobs():
            moved = job.next_run_time + timedelta(seconds=step)
            job.modify(next_run_time=min(moved, now + job.trigger.interval))

    def stop(self) -> None:
        """Start nothing any more; a job that is running goes on to its end."""
        self._scheduler.shutdown(wait=False)
