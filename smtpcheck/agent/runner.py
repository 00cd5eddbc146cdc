"""Runs checks: when they are due, at once, and for a request; each run that ends is published.

Rules of this file:
- A run begins without an await between looking up its check and `probe`: a reload never comes between, and what has
  begun depends on no settings that may go.
- Nothing outside `probe` is expected to raise. Where it does, the run is counted and logged all the same.
- Where the agent cannot store that a message was sent, none is: a check of depth `send` goes as far as the recipient.
- A check whose proof by a mail API was taken for a message is stopped until it is run on demand.
- A refusal postpones its check, whether the run was scheduled or requested, and a run that reached no login brings it
  forward (`model/retry`); nothing else flows back to the schedule.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import structlog

from smtpcheck.agent.health import Health
from smtpcheck.agent.on_demand import CHECK_NOW_SPACING, Busy, TooSoon, ran_out_of_slots
from smtpcheck.agent.publish import Publisher, log_run
from smtpcheck.agent.schedule import Schedule
from smtpcheck.check.kit import Kit
from smtpcheck.check.outcome import ended_before_login, must_stop, without_message
from smtpcheck.check.probe import probe
from smtpcheck.config import Settings
from smtpcheck.limits.api_concurrency import next_proof_at
from smtpcheck.limits.connection_limit import NoSlotError
from smtpcheck.model import retry
from smtpcheck.model.check import Check, Depth, Phase
from smtpcheck.model.expected_refusal import cools_down_until, shortest_interval
from smtpcheck.model.report import Report
from smtpcheck.model.shard import WHOLE
from smtpcheck.state.state import State

_STOPPED_SECONDS = 10 * 365 * 86400.0
"""How far off the next run is of a check that is stopped."""
Ran = Report | TooSoon | Busy
_log = structlog.get_logger(__name__)


class Runner:
    """Runs the checks of one agent."""

    def __init__(
        self, settings: Settings, kit: Kit, state: State, *, schedule: Schedule, health: Health, publisher: Publisher
    ) -> None:
        self.skipped = 0
        """Runs that were skipped because the one before had not ended."""
        self.capped = 0
        """Runs that were skipped because no further message may be sent."""
        self.running: dict[asyncio.Task[Ran], float] = {}
        """The runs under way, each with its time limit in seconds."""
        self._names: set[str] = set()
        self._requested_at: dict[str, float] = {}
        self._unreached: dict[str, int] = {}
        """How many runs in a row of each check ended before a server saw a login; without those that did not."""
        self._state = state
        self._schedule = schedule
        self._health = health
        self._publisher = publisher
        self._checks = settings.by_name
        self._planned: Mapping[str, Check] = {}
        """The checks that are in the schedule, or could be."""
        self._kit = kit

    def replace(self, settings: Settings, kit: Kit) -> None:
        """Schedule the checks of these settings; one that was refused before waits on, and what is under way ends."""
        before, self._planned = self._planned, settings.by_name
        self._checks = settings.by_name
        self._kit = kit
        self._unreached = {name: count for name, count in self._unreached.items() if name in self._checks}
        scheduled = self._scheduled()
        self._schedule.replace(scheduled, kit.monotonic())
        for check in [check for check in scheduled if before.get(check.name) is not check]:
            self.reschedule(check)

    def restore_waits(self) -> None:
        """Let checks that send, are to be refused or ask a mail API wait over a restart: frequent kills add no runs.

        Where the wall clock was set back meanwhile, it is as if the last run had just been.
        """
        now, begin = self._kit.wall(), self._kit.monotonic()
        for check in self._scheduled():
            if check.depth is Depth.SEND and (sent_at := self._state.last_sent(check.mailbox)) is not None:
                self._schedule.hold(check.name, begin + check.interval - max(now - sent_at, 0.0))
            known = self._state.checks.get(check.name)
            if known is None:
                continue
            ahead = max(known.report.started_at - now, 0.0)
            for until in (cools_down_until(check, known.report), next_proof_at(check, known.report)):
                if until is not None:
                    self._schedule.hold(check.name, begin + until - ahead - now)

    def _scheduled(self) -> list[Check]:
        return [check for check in self._checks.values() if check.scheduled]

    # -- what sets a run going ----------------------------------------------------------------------------------------

    def start_due(self) -> None:
        """Begin what is due."""
        for name, due in self._schedule.due(self._kit.monotonic()):
            if name in self._names:
                self.skipped += 1
            else:
                self._start(self._checks[name], due)

    async def check_now(self, name: str) -> Ran:
        """Run the check at once with a fresh token, whatever its breaker says. KeyError: no such check."""
        check, now = self._checks[name], self._kit.monotonic()
        wait = self._requested_at.get(name, -CHECK_NOW_SPACING) + CHECK_NOW_SPACING - now
        wait = max(wait, self._kit.proof_wait(check) if check.depth is Depth.AUTH else 0.0)
        if name in self._names or wait > 0:
            return TooSoon(max(wait, 1.0))
        self._requested_at[name] = now
        self._state.close_breaker(name)
        return await self._start(check, None, fresh=True)

    def _start(self, check: Check, due: float | None, *, fresh: bool = False) -> asyncio.Task[Ran]:
        task = asyncio.create_task(self.run(check.name, due, fresh=fresh), name=f"check {check.name}")
        self.running[task] = check.timeout + check.token_timeout
        self._names.add(check.name)
        task.add_done_callback(partial(self._ended, check.name))
        return task

    def _ended(self, name: str, task: asyncio.Task[Ran]) -> None:
        del self.running[task]
        self._names.discard(name)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._health.died()
            _log.error("internal error", check=name, exc_info=error)

    # -- runs ---------------------------------------------------------------------------------------------------------

    async def run(self, name: str, due: float | None = None, *, fresh: bool = False) -> Ran:
        """Run a check and publish what came out; `due` is when a scheduled run was (monotonic seconds)."""
        check, held = self._checks.get(name), None
        if check is not None and check.depth is Depth.SEND:
            held = await self._state.may_send(check.mailbox, self._kit.tenant(check), self._kit.wall())
            if isinstance(held, float):
                return self._capped(check, held)
            check = self._checks.get(name)
        if check is None:  # it has left the configuration
            return Busy()
        if held is not None:
            check = check.silent
        begin, issuer = self._kit.monotonic(), self._kit.issuer(check)
        own = await probe(check, self._kit, fresh=fresh, max_wait=check.interval)
        self._health.count_waiting(own, self._kit.connections.waiting)
        own = await self._health.after_run(check, own, issuer)
        if held is not None:
            own = without_message(own)
        if (current := self._checks.get(name)) is None:
            return own
        report = self._publisher.ran(current, own, lag=None if due is None else begin - due + own.waited)
        self._health.published()
        self.reschedule(current)
        self._retry_soon(current, own)
        return report

    async def run_requested(self, check: Check, until: float, waited: float) -> Report:
        """Run a check for a request: of one that the agent schedules itself, only the back-off takes the result.

        NoSlotError where it has left the configuration, or others took its time.
        """
        if (current := self._checks.get(check.name)) is None:
            raise NoSlotError
        check = replace(current, depth=min(current.depth, check.depth))
        issuer = self._kit.issuer(check)
        report = await self._health.after_run(check, await probe(check, self._kit, until=until), issuer)
        if ran_out_of_slots(report, waited):
            raise NoSlotError
        if (current := self._checks.get(check.name)) is not None and not current.scheduled:
            return self._publisher.ran(current, report)
        if current is not None:
            self._count_refusal(current, report)
        log_run(logging.DEBUG, report, self._publisher.trace(check, report))
        return report

    async def after_sending(self, check: Check, report: Report, issuer: str) -> Report:
        """Return the report of a loopback's run; what refuses its login refuses the check's: that waits as well."""
        report = await self._health.after_run(check, report, issuer)
        step, current = report.failed_step, self._checks.get(check.name)
        if current is not None and step is not None and step.phase in {Phase.TOKEN, Phase.AUTH, Phase.REQUEST}:
            self._count_refusal(current, report)
        return report

    def reschedule(self, check: Check) -> None:
        """Postpone a check while its breaker is open, and bring it back when it is not."""
        if not check.scheduled:
            return
        now, until = self._kit.monotonic(), self._state.breaker(check.name).until
        known = self._state.checks.get(check.name)
        if known is not None and must_stop(known.report):
            self._schedule.postpone(check.name, now + _STOPPED_SECONDS)
        elif until is None:
            self._schedule.resume(check.name, now)
        else:
            self._schedule.postpone(check.name, now + until - self._kit.wall())

    def _retry_soon(self, check: Check, report: Report) -> None:
        """Try a check again soon where no server saw a login; not one whose expected refusal might come too soon."""
        if not ended_before_login(report):
            self._unreached.pop(check.name, None)
            return
        failures = self._unreached[check.name] = self._unreached.get(check.name, 0) + 1
        may_come_soon = check.expect is None or shortest_interval(check) <= check.interval / 2
        if check.scheduled and may_come_soon and self._state.breaker(check.name).until is None:
            at = self._kit.monotonic() + retry.wait(failures, check.interval)
            self._schedule.bring_forward(check.name, at)

    def _count_refusal(self, check: Check, report: Report) -> None:
        self._state.update_breaker(check, report)
        self.reschedule(check)

    def _capped(self, check: Check, until: float) -> TooSoon:
        """Leave out a run that would send a message before a cap allows one (Unix seconds)."""
        seconds = until - self._kit.wall()
        self.capped += 1
        _log.warning("not run: a cap on messages is reached", check=check.name, seconds=round(seconds))
        current = self._checks.get(check.name)
        if current is not None and current.scheduled:
            self._schedule.postpone(check.name, self._kit.monotonic() + seconds)
        return TooSoon(seconds)


def log_shard(settings: Settings) -> None:
    """Log which checks are run here, where other agents run the rest."""
    sharding = settings.sharding
    if sharding.shard != WHOLE:
        others = len(sharding.other_shards)
        _log.info("one of several agents", shard=str(sharding.shard), checks=len(settings.checks), others=others)
