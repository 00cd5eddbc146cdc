"""The long-lived agent: runs every check when it is due, keeps what came out, reloads, drains.

Rules of this file:
- One tick job drains a heap of due checks; APScheduler holds only the few standing jobs (tick, refresh ahead). A timer
  for each check instead costs three times as much, for each wakes the loop alone.
- Settings are never mutated: a reload builds all that is new off the loop, and swaps it when it is complete. A bad file
  keeps the old settings. What the agent has opened or built for good (its port, its folder, its limits) waits for the
  next start, and the log says so.
- The report goes one way: probe -> judgement of the whole (cut off) -> state -> metrics. Nothing flows back but
  the breaker: a check that was refused is postponed.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from datetime import UTC
from typing import Self

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from smtpcheck import __version__
from smtpcheck.agent.alerting import Alerting
from smtpcheck.agent.loopback import Service
from smtpcheck.agent.on_demand import Busy, Probed, Requests, crowded_out
from smtpcheck.agent.schedule import Schedule
from smtpcheck.check.connectivity import Connectivity
from smtpcheck.check.kit import Kit, build_kit, rebuilt
from smtpcheck.check.outcome import failed_to_reach, hosts_tried, without_connectivity
from smtpcheck.check.probe import probe
from smtpcheck.config import AgentSettings, Loaded, Problem, Settings
from smtpcheck.diagnosis import catalogue
from smtpcheck.limits.connection_limit import NoSlotError
from smtpcheck.limits.mailbox_lock import MailboxLocks
from smtpcheck.loopback.status import LoopbackStatus, merged
from smtpcheck.mail.correlation_id import CorrelationIds
from smtpcheck.model.backoff import Breaker
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check, Depth, Phase
from smtpcheck.model.credential import CredentialState
from smtpcheck.model.expected_refusal import cools_down_until
from smtpcheck.model.report import Outcome, Report
from smtpcheck.model.shard import WHOLE
from smtpcheck.output.log_fields import facts_of
from smtpcheck.output.metrics import AgentState, Metrics
from smtpcheck.output.tracing.tracer import Tracer, tracer
from smtpcheck.state.signing_key import load_signing_key
from smtpcheck.state.state import State

TICK_SECONDS = 0.25
STALLED_SECONDS = 10.0
"""How long after its last tick an agent is not well."""
REFRESH_SECONDS = 5.0
LOOPBACK_SECONDS = 0.5
RETENTION_SECONDS = 6 * 3600.0
DRAIN_SECONDS = 30.0
"""How long the end waits for messages that are being sent."""
CHECK_NOW_SPACING = 10.0
"""Seconds between two runs of one check that somebody asked for."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TooSoon:
    """A run that was asked for too shortly after another one of the same check."""

    seconds: float
    """How long to wait before it may be asked for again."""


class StateFolderError(Exception):
    """The state folder cannot be used; the message says which, why, and what to do."""


class Agent:
    """Runs the checks of one configuration until it is stopped."""

    def __init__(
        self,
        settings: Settings,
        kit: Kit,
        state: State,
        load: Callable[[], Loaded],
        correlation_ids: CorrelationIds,
        *,
        first_within: float = 60.0,
        tracer: Tracer | None = None,
    ) -> None:
        """Take the settings, what `build_kit` made of them, what is remembered, and how to load the settings anew.

        `marks` makes and knows the messages of the loopbacks.

        The first run of each check falls within min(its interval, `first_within` seconds) of the start.
        """
        self.settings = settings
        self.state = state
        self._kit = kit
        self._load = load
        self._tracer = tracer
        self._started_with = settings.agent
        self._checks = {check.name: check for check in settings.checks}
        self._schedule = Schedule(first_within)
        self._metrics = Metrics(settings.label_names, expose_addresses=settings.agent.expose_addresses)
        self._first_within = first_within
        self._loopback = Service(
            *(state, correlation_ids, kit.finders),
            changed=self._loopback_changed,
            arrived=self._metrics.observe_delivery,
            judged=self._after_sending,
            traced=self._trace,
        )
        self._own_reports: dict[str, Report] = {}
        self._connectivity = Connectivity(_window(settings.checks))
        self._requests = Requests(state, self._run_requested, wall=kit.wall, monotonic=kit.monotonic)
        self._running: dict[str, asyncio.Task[Report | TooSoon]] = {}
        self._asked_at: dict[str, float] = {}
        self._skipped = self._capped = 0
        self._internal_errors = 0
        self._ticked_at = kit.monotonic()
        self.alerting = Alerting(settings, state, kit.catalogue, wall=kit.wall, unhealthy_reason=self.unhealthy_reason)
        self._reload = asyncio.Lock()
        self._reloaded_at = kit.wall()
        self._reload_successful = True
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )

    @classmethod
    async def create(cls, settings: Settings, load: Callable[[], Loaded], *, first_within: float = 60.0) -> Self:
        """Return an agent for the settings. Raises StateFolderError where its state folder cannot be used."""
        folder = settings.agent.state
        try:
            locks = MailboxLocks(folder / "locks")
        except OSError as error:
            raise StateFolderError(
                f"the state folder {folder} cannot be used: {error.strerror}. "
                f"Make it writable for this user, or name another one in agent.state"
            ) from error
        kit = await build_kit(settings, locks, claims=True)
        state = await State.kept(folder)
        await state.join(settings.sharding.shard, kit.wall())
        await state.fetch([check.name for check in settings.checks])
        correlation_ids = CorrelationIds(await asyncio.to_thread(load_signing_key, folder))
        traces = await tracer(settings.agent.otlp)
        return cls(settings, kit, state, load, correlation_ids, first_within=first_within, tracer=traces)

    # -- what the web page and the commands ask -----------------------------------------------------------------------

    @property
    def catalogue(self) -> catalogue.Catalogue:
        """Return the loaded rules of the diagnosis."""
        return self._kit.catalogue

    def ready(self) -> bool:
        """Return whether the checks are being scheduled."""
        return bool(self._scheduler.running)

    def unhealthy_reason(self) -> str:
        """Return why the agent is not well, empty while it is: it runs its checks, keeps them, and has network."""
        now = self._kit.monotonic()
        if not self.ready() or now - self._ticked_at > STALLED_SECONDS:
            return "no check is started"
        if self._connectivity.is_lost(now):
            return "the agent is cut off from the network"
        return self.state.error

    def next_run(self, name: str) -> float | None:
        """Return when the check is due next (Unix seconds), None for one that is unknown or not scheduled."""
        if name not in self._checks or not self._checks[name].scheduled:
            return None
        return self._kit.wall() + self._schedule.next_at(name) - self._kit.monotonic()

    def loopback(self, name: str) -> LoopbackStatus | None:
        """Return what is known of a check's loopback, None where it has none."""
        return self._loopback.loopback_status(name)

    def credentials(self) -> tuple[CredentialState, ...]:
        """Return what is known of each credential's life."""
        return self._kit.tokens.states()

    async def exposition(self, *, openmetrics: bool) -> bytes:
        """Return all metrics in the text format, or in OpenMetrics; they are rendered off the loop."""
        notifiers = self.alerting.notifiers()
        state = AgentState(
            version=__version__,
            checks=len(self._checks),
            in_flight=len(self._running) + len(self._requests.running),
            connectivity_lost=self._connectivity.is_lost(self._kit.monotonic()),
            skipped={
                "running": self._skipped,
                "late": self._schedule.skipped,
                "cap": self._capped + self._loopback.capped,
            },
            internal_errors=self._internal_errors,
            config_last_reload_successful=self._reload_successful,
            config_last_reload_success_timestamp=self._reloaded_at,
            notifications={(each.name, result): count for each in notifiers for result, count in each.counts.items()},
            notifiers_failing={each.name: bool(each.failure) for each in notifiers},
            alerts_firing=self.alerting.counts(),
        )
        return await asyncio.to_thread(
            self._metrics.expose, openmetrics=openmetrics, credentials=self.credentials(), agent=state
        )

    async def check_now(self, name: str) -> Report | TooSoon:
        """Run the check at once with a fresh token, whatever its breaker says; the result counts like any other.

        KeyError: no such check.
        """
        check, now = self._checks[name], self._kit.monotonic()
        wait = self._asked_at.get(name, -CHECK_NOW_SPACING) + CHECK_NOW_SPACING - now
        if name in self._running or wait > 0:
            return TooSoon(max(wait, 1.0))
        self._asked_at[name] = now
        self.state.close_breaker(name)
        return await self._start(check, due=None, fresh=True)

    async def probe_now(self, name: str, seconds: float) -> Probed | Busy:
        """Run the check for a request that waits so long, as `on_request` says. KeyError: no such check."""
        if not self.ready():
            return Busy()
        return await self._requests.answer(self._checks[name], seconds)

    def exposition_of(self, probed: Probed, *, openmetrics: bool) -> bytes:
        """Return the metrics of that one run."""
        until = probed.breaker.until
        return self._metrics.expose_probe(probed.check, probed.report, until, openmetrics=openmetrics)

    async def reload(self) -> tuple[Problem, ...]:
        """Load the configuration and swap it in when it is whole; return the errors that kept the old one, if any."""
        async with self._reload:
            loaded = await asyncio.to_thread(self._load)
            if loaded.settings is None:
                self._reload_successful = False
                errors = tuple(problem for problem in loaded.problems if problem.severity == "error")
                _log.error("configuration not loaded, the old one stays", problems=[str(problem) for problem in errors])
                return errors
            await self._swap(loaded.settings)
            self._reload_successful, self._reloaded_at = True, self._kit.wall()
            if waiting := _for_the_next_start(self._started_with, loaded.settings.agent):
                _log.warning("these settings take effect at the next start", settings=waiting)
            _log.info("configuration loaded", checks=len(self._checks))
            return ()

    # -- life ---------------------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Run the checks until `stop` is set, then let the running ones end within their own time limits."""
        self._say_which_part()
        self._plan()
        self._go_on_waiting()
        self._show_all()
        self._retain()
        self._scheduler.add_job(self._tick, "interval", seconds=TICK_SECONDS, id="tick")
        self._scheduler.add_job(self._loopback.tick, "interval", seconds=LOOPBACK_SECONDS, id="loopback")
        self._scheduler.add_job(self._kit.tokens.refresh_due, "interval", seconds=REFRESH_SECONDS, id="refresh ahead")
        self._scheduler.add_job(self._retain, "interval", seconds=RETENTION_SECONDS, id="retention")
        await self.alerting.start()
        self._ticked_at = self._kit.monotonic()
        self._scheduler.start()
        try:
            await stop.wait()
        finally:
            self._scheduler.shutdown(wait=False)
            await self._drain()

    async def _tick(self) -> None:
        self._ticked_at = self._kit.monotonic()
        for name, due in self._schedule.due(self._kit.monotonic()):
            if name in self._running:
                self._skipped += 1
            else:
                self._start(self._checks[name], due=due, fresh=False)

    def _start(self, check: Check, *, due: float | None, fresh: bool) -> asyncio.Task[Report | TooSoon]:
        task = asyncio.create_task(self._begin(check, due, fresh=fresh), name=f"check {check.name}")
        self._running[check.name] = task
        task.add_done_callback(lambda _: self._running.pop(check.name, None))
        return task

    async def _begin(self, check: Check, due: float | None, *, fresh: bool) -> Report | TooSoon:
        if check.depth is Depth.SEND and (seconds := await self._until_it_may_send(check)) > 0:
            return TooSoon(seconds)
        return await self._run(check, due, fresh=fresh)

    async def _run(self, check: Check, due: float | None, *, fresh: bool) -> Report:
        # Asked before the run, for a reload during it may drop the credential.
        begin, issuer = self._kit.monotonic(), self._kit.issuer(check)
        own = self._with_connectivity(check, await probe(check, self._kit, fresh=fresh), issuer)
        loopback_status = self._loopback.loopback_status(check.name)
        report = own if loopback_status is None else merged(own, loopback_status, self._kit.wall())
        trace_id = self._trace(check, own)
        if due is not None:
            self._metrics.observe_lag(begin - due + report.waited, trace_id)
        if current := self._checks.get(check.name):
            if loopback_status is not None:
                self._own_reports[check.name] = own
            self._keep(current, report, own, trace_id)
        return report

    async def _run_requested(self, check: Check, until: float, waited: float) -> Report:
        """Run a check for a request: of one that the agent schedules itself, only the breaker hears what came out."""
        issuer = self._kit.issuer(check)
        report = self._with_connectivity(check, await probe(check, self._kit, until=until), issuer)
        if crowded_out(report, waited):
            raise NoSlotError
        trace_id = self._trace(check, report)
        if current := self._checks.get(check.name):
            if current.scheduled:
                self._pace(current, self.state.update_breaker(current, report))
                _log_run(logging.DEBUG, report, trace_id)
            else:
                self._keep(current, report, report, trace_id)
        return report

    def _loopback_changed(self, name: str) -> None:
        """Show what is known anew of a check's loopback, and lay it over the check's last run."""
        check, loopback_status = self._checks.get(name), self._loopback.loopback_status(name)
        if check is None or loopback_status is None:
            return
        self._metrics.record_loopback(check, loopback_status)
        state, own = self.state.checks.get(name), self._own_reports.get(name)
        if state is None or own is None:
            return
        report = merged(own, loopback_status, self._kit.wall())
        if _gist(report) != _gist(state.report) and (amended := self.state.amend(name, report)) is not None:
            self._metrics.show(check, amended)
            _log_run(logging.INFO, report)

    async def _until_it_may_send(self, check: Check) -> float:
        """Return how many seconds a check must wait to send another message, 0 if it may do so now; then it counts."""
        now = self._kit.wall()
        until = await self.state.may_send(check.mailbox, self._kit.tenant(check), now)
        if until is None:
            return 0.0
        self._capped += 1
        _log.warning("not run: no further message may be sent", check=check.name, seconds=round(until - now))
        if check.name in self._checks and check.scheduled:
            self._schedule.postpone(check.name, self._kit.monotonic() + until - now)
        return until - now

    def _with_connectivity(self, check: Check, report: Report, issuer: str) -> Report:
        now = self._kit.monotonic()
        for host, reached in hosts_tried(check, report, issuer):
            self._connectivity.record(host, reached, now)
        if report.outcome is Outcome.CRITICAL and failed_to_reach(report) and self._connectivity.is_lost(now):
            return without_connectivity(report)
        return report

    def _after_sending(self, check: Check, report: Report) -> Report:
        """Judge the run of a loopback; what refuses its login, refuses the check's: it waits as well."""
        report = self._with_connectivity(check, report, self._kit.issuer(check))
        step, current = report.failed_step, self._checks.get(check.name)
        if current is not None and step is not None and step.phase in {Phase.TOKEN, Phase.AUTH}:
            self._pace(current, self.state.update_breaker(current, report))
        return report

    def _keep(self, check: Check, report: Report, own: Report, trace_id: str) -> None:
        """Remember a run; `own` is the report of the check alone, without its loopback."""
        before = self.state.checks.get(check.name)
        changed = before is None or (before.report.outcome, before.report.cause) != (report.outcome, report.cause)
        self._internal_errors += report.cause is Cause.INTERNAL
        state = self.state.record(check, report, own)
        if check.scheduled:
            self._metrics.record(check, report, state, trace_id)
        self.alerting.observe(check, report)
        self._pace(check, state.breaker)
        _log_run(logging.INFO if changed else logging.DEBUG, report, trace_id)

    def _trace(self, check: Check, report: Report) -> str:
        """Have a run traced, and return the id of its trace; empty where runs are not traced."""
        return self._tracer.record(check, report) if self._tracer else ""

    def _pace(self, check: Check, breaker: Breaker) -> None:
        """Postpone a check while its breaker is open, and bring it back when it is not."""
        now = self._kit.monotonic()
        if not check.scheduled:
            return
        if breaker.until is None:
            self._schedule.resume(check.name, now)
        else:
            self._schedule.postpone(check.name, now + breaker.until - self._kit.wall())

    def _plan(self) -> None:
        """Schedule the checks of the settings; one that was refused before waits on."""
        self.state.divide(self.settings.sharding.senders)
        self._schedule.replace(self._scheduled(), self._kit.monotonic())
        for check in self._scheduled():
            self._pace(check, self.state.breaker(check.name))
        self._loopback.replace(self.settings.checks, self.settings.loopbacks, self._kit, self._first_within)
        self._own_reports = {name: own for name, own in self._own_reports.items() if name in self.settings.loopbacks}

    def _scheduled(self) -> list[Check]:
        return [check for check in self.settings.checks if check.scheduled]

    def _say_which_part(self) -> None:
        """Say in the log which checks are run here, where others run the rest."""
        sharding = self.settings.sharding
        if sharding.shard == WHOLE:
            return
        _log.info(
            "one of several agents",
            shard=str(sharding.shard),
            checks=len(self._checks),
            others=len(sharding.other_shards),
        )
        if sharding.senders and (seconds := self.state.new_for(self._kit.wall())):
            _log.warning("new among several agents: no message is sent yet", seconds=round(seconds))

    def _go_on_waiting(self) -> None:
        """Let a check that sends, or that is to be refused, wait over a restart: who is killed often must not do so."""
        ahead = self._kit.monotonic() - self._kit.wall()
        for check in self._scheduled():
            if check.depth is Depth.SEND and (sent_at := self.state.last_sent(check.mailbox)) is not None:
                self._schedule.postpone(check.name, sent_at + check.interval + ahead)
            known = self.state.checks.get(check.name)
            if known is not None and (until := cools_down_until(check, known.report)) is not None:
                self._schedule.postpone(check.name, until + ahead)

    def _retain(self) -> None:
        self.state.forget_old(self._kit.wall())

    async def _drain(self) -> None:
        tasks = (*self._running.values(), *self._requests.running)
        if tasks:
            limit = max(check.timeout + check.token_timeout for check in self._checks.values())
            _log.info("draining", running=len(tasks), seconds=limit)
            _, late = await asyncio.wait(tasks, timeout=limit)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._loopback.drain(DRAIN_SECONDS)
        await self.alerting.close()
        await self._kit.close()
        if self._tracer is not None:
            await self._tracer.close()
        await self.state.close()

    # -- reload -------------------------------------------------------------------------------------------------------

    async def _swap(self, settings: Settings) -> None:
        kit = await rebuilt(self._kit, settings)
        await self.state.fetch([check.name for check in settings.checks])
        self._kit, self.settings = kit, settings
        self._checks = {check.name: check for check in settings.checks}
        self.state.only(self._checks)
        self._connectivity = Connectivity(_window(settings.checks))
        self._plan()
        self._show_all()
        await self.alerting.replace(settings)

    def _show_all(self) -> None:
        self._metrics.relabel(
            self.settings.label_names,
            expose_addresses=self.settings.agent.expose_addresses,
            checks=self._scheduled(),
            states=self.state.checks,
            sharding=self.settings.sharding,
        )
        for name in self.settings.loopbacks:
            self._loopback_changed(name)


def _window(checks: Iterable[Check]) -> float:
    """Return the longest interval, so that every check's last run counts in the judgement whether we are cut off."""
    return max((check.interval for check in checks), default=60.0)


def _for_the_next_start(used: AgentSettings, wanted: AgentSettings) -> list[str]:
    """Return the settings of the agent that a reload does not change, and that are wanted otherwise."""
    names = (each.name for each in fields(used) if each.name != "expose_addresses")
    return [f"agent.{name}" for name in names if getattr(used, name) != getattr(wanted, name)]


def _log_run(level: int, report: Report, trace_id: str = "") -> None:
    """Log one run; what is not shown is not put together."""
    if logging.getLogger(__name__).isEnabledFor(level):
        _log.log(level, "run", check=report.check, **facts_of(report, trace_id))


def _gist(report: Report) -> tuple[object, ...]:
    """Return what tells whether a report says something else than another one."""
    return report.outcome, report.cause, [finding.cause for finding in report.warnings]
