"""The long-lived agent: runs every check when it is due, publishes what came out, reloads, drains.

Rules of this file:
- One tick drains a heap of due checks; a timer for each check instead costs three times as much, for each wakes the
  loop alone. The tick is a loop on the monotonic clock: a wall clock that is set delays no run. APScheduler has the few
  periodic jobs beside it (token renewal, retention).
- A reload awaits all that is new and then swaps it without an await: no run begins between old and new settings. What
  is under way ends by the settings it began with, and looks up by name only what it may find gone.
- The report goes one way: probe -> health -> publish. Nothing flows back but the back-off: a check that was refused is
  postponed, and one that reached no login is tried again soon.
- Once the agent is stopping it begins nothing: no run, no reload.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

from smtpcheck.agent.agent_state import AgentParts, agent_state
from smtpcheck.agent.alerting import Alerting
from smtpcheck.agent.config_watch import ConfigWatch
from smtpcheck.agent.health import Health
from smtpcheck.agent.inspecting import READ_SECONDS, InspectionService
from smtpcheck.agent.loopback import LoopbackService
from smtpcheck.agent.on_demand import Busy, Probed, Requests
from smtpcheck.agent.opened_state import opened_state
from smtpcheck.agent.periodic_jobs import ClockFollower, PeriodicJobs
from smtpcheck.agent.publish import Publisher
from smtpcheck.agent.reload import Reloader
from smtpcheck.agent.runner import Ran, Runner, log_shard
from smtpcheck.agent.schedule import Schedule
from smtpcheck.agent.ticking import end, every, finish
from smtpcheck.check.kit import Kit, build_kit, network_of, rebuilt
from smtpcheck.config import Loaded, Problem, Settings
from smtpcheck.diagnosis.catalogue import Catalogue
from smtpcheck.limits.mailbox_lock import MailboxLocks
from smtpcheck.loopback.status import LoopbackStatus
from smtpcheck.mail.correlation_id import CorrelationIds
from smtpcheck.model.credential import CredentialState
from smtpcheck.output.metrics import Metrics
from smtpcheck.output.tracing.tracer import Tracer, tracer
from smtpcheck.state.signing_key import load_signing_key
from smtpcheck.state.state import State
from smtpcheck.system import SYSTEM, System

TICK_SECONDS = 0.25
REFRESH_SECONDS = 5.0
LOOPBACK_SECONDS = 0.5
RETENTION_SECONDS = 6 * 3600.0
DRAIN_SECONDS = 30.0
"""How long the end waits for a reload, and for messages that are being sent."""


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
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin with the settings, what `build_kit` made of them and what is remembered; `load` loads them again.

        `correlation_ids` marks the messages of the loopbacks and recognizes them.

        The first run of each check falls within min(its interval, `first_within` seconds) of the start. `settled` is
        called at the start and at each retention, when a pause may be made.
        """
        self.settings = settings
        self.state = state
        self._kit = kit
        self._tracer = tracer
        self._settled = settled
        self._first_within = first_within
        self._checks = settings.by_name
        self._schedule = Schedule(first_within)
        self._metrics = Metrics(settings.label_names, expose_addresses=settings.agent.expose_addresses)
        self._health = Health(settings, kit.network, kit.monotonic, tick_seconds=TICK_SECONDS)
        self.alerting = Alerting(settings, state, kit.catalogue, wall=kit.wall, unhealthy_reason=self.unhealthy_reason)
        self.inspection = InspectionService(state.inspections, self._inspected)
        self._publisher = Publisher(
            *(state, self._metrics, self.alerting, tracer),
            loopback_status=self.loopback,
            inspection=self.inspection,
            wall=kit.wall,
        )
        self._runner = Runner(
            settings, kit, state, schedule=self._schedule, health=self._health, publisher=self._publisher
        )
        self._loopback = LoopbackService(
            *(state, correlation_ids, kit.finders),
            changed=self._loopback_changed,
            arrived=self._metrics.observe_delivery,
            ran=self._runner.after_sending,
            traced=self._publisher.trace,
        )
        self._requests = Requests(state, self._runner.run_requested, wall=kit.wall, monotonic=kit.monotonic)
        self._stopping = False
        self._reloader = Reloader(settings.agent, load, lambda: self.settings, self._swap, kit.wall)
        self._watch: ConfigWatch | None = None
        self._jobs = PeriodicJobs(kit.wall)
        self._clock = ClockFollower(
            kit.system, self._jobs.follow, state.clock_set, self.alerting.clock_set, self._loopback.clock_set
        )

    @classmethod
    async def create(
        cls,
        settings: Settings,
        load: Callable[[], Loaded],
        *,
        first_within: float = 60.0,
        system: System = SYSTEM,
        settled: Callable[[], None] = lambda: None,
    ) -> Self:
        """Return an agent for the settings. Raises StateFolderError where another agent has its state folder.

        Where nothing can be written there, the agent checks without state and locks, and sends nothing.
        """
        folder = settings.agent.state
        kit = await build_kit(settings, MailboxLocks(folder / "locks"), claims=True, system=system)
        state = await opened_state(folder, kit)
        await state.fetch([check.name for check in settings.checks])
        correlation_ids = CorrelationIds(await asyncio.to_thread(load_signing_key, folder, system.octets))
        traces = await tracer(settings.agent.otlp)
        return cls(
            *(settings, kit, state, load, correlation_ids), first_within=first_within, tracer=traces, settled=settled
        )

    # -- what the web page and the commands ask -----------------------------------------------------------------------

    @property
    def catalogue(self) -> Catalogue:
        """Return the loaded rules of the diagnosis."""
        return self._kit.catalogue

    def ready(self) -> bool:
        """Return whether the checks are being scheduled."""
        return self._jobs.running and not self._stopping

    def unhealthy_reason(self) -> str:
        """Return why the agent is unhealthy, empty while it runs its checks, keeps what it knows and has network."""
        if not self.ready():
            return "no check is started"
        lost = "the agent has no connectivity" if self._health.has_lost_connectivity() else ""
        return self.stuck_reason() or lost or self.state.error or self._kit.tokens.error or self._kit.connections.error

    def stuck_reason(self) -> str:
        """Return why only a restart helps the agent, empty while it does its work, starts or stops."""
        if not self.ready():
            return ""
        if not self.state.is_served:
            return "the thread that keeps the state has ended"
        return self._health.stuck_reason(self._schedule.earliest())

    def next_run(self, name: str) -> float | None:
        """Return when the check is due next (Unix seconds), None for one that is unknown or not scheduled."""
        try:
            return self._schedule.next_at(name) - self._kit.monotonic() + self._kit.wall()
        except KeyError:
            return None

    def loopback(self, name: str) -> LoopbackStatus | None:
        """Return what is known of a check's loopback, None where it has none."""
        return self._loopback.loopback_status(name)

    def credentials(self) -> tuple[CredentialState, ...]:
        """Return what is known of each credential's life."""
        return self._kit.tokens.states()

    async def exposition(self, *, openmetrics: bool, join: Callable[[Iterable[bytes]], bytes] = b"".join) -> bytes:
        """Return all metrics in the text format, or in OpenMetrics; they are rendered and joined off the loop."""
        state = agent_state(
            AgentParts(
                *(self._runner, self._requests, self._schedule, self._health, self._loopback),
                *(self.inspection, self._jobs, self._reloader, self.alerting),
            ),
            checks=len(self._checks),
            unhealthy_reason=self.unhealthy_reason(),
            state_error=self.state.error,
        )
        pieces = self._metrics.pieces(openmetrics=openmetrics, credentials=self.credentials(), agent=state)
        return await asyncio.to_thread(join, pieces)

    async def check_now(self, name: str) -> Ran:
        """Run the check at once with a fresh token, whatever its breaker says; the result counts like any other.

        KeyError: no such check.
        """
        return await self._runner.check_now(name) if self.ready() else Busy()

    async def probe_now(self, name: str, seconds: float) -> Probed | Busy:
        """Run the check for a request that waits so long, as `on_demand` says. KeyError: no such check."""
        check = self._checks[name]
        return await self._requests.answer(check, seconds) if self.ready() else Busy()

    def exposition_of(self, probed: Probed, *, openmetrics: bool) -> bytes:
        """Return the metrics of that one run."""
        return self._metrics.expose_probe(
            probed.check,
            probed.report,
            probed.breaker.until,
            suppressed=probed.resumes_at is not None,
            openmetrics=openmetrics,
        )

    async def reload(self) -> tuple[Problem, ...]:
        """Load the configuration and swap it in when it is whole; return the errors that kept the old one, if any."""
        return await self._reloader.reload()

    def web_config_read(self, usable: bool) -> None:
        """Take note whether the web configuration was usable when the page read it again."""
        self._reloader.is_web_config_usable = usable

    def watch_files(self, paths: Sequence[Path], loaded: Mapping[Path, str]) -> None:
        """Have `run` reload the configuration when a file of it changes; `loaded` is what was read of each so far."""
        self._watch = ConfigWatch(paths, loaded, self._reloader, self._health)

    # -- life ---------------------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Run the checks until `stop` is set, then let the running ones end within their own time limits."""
        log_shard(self.settings)
        self._plan()
        self._runner.restore_waits()
        self._show_all()
        self._retain()
        self._jobs.add("token renewal", self._kit.tokens.refresh_due, REFRESH_SECONDS)
        self._jobs.add("silences", self.alerting.silences.tidy, REFRESH_SECONDS)
        self._jobs.add("inspection", self.inspection.read_due, READ_SECONDS)
        self._jobs.add("retention", self._retain, RETENTION_SECONDS)
        await self.alerting.start()
        self._health.start()
        self._jobs.start()
        ticking = asyncio.create_task(every(TICK_SECONDS, self._tick, self._health), name="tick")
        sending = asyncio.create_task(every(LOOPBACK_SECONDS, self._tick_loopback, self._health), name="loopback")
        watching = asyncio.create_task(self._watch.run(), name="config watch") if self._watch else None
        try:
            await stop.wait()
        finally:
            self._stopping = True
            self._jobs.stop()
            if watching is not None:
                await end(watching)
            await end(sending)
            await self._drain()
            await end(ticking)
            await self._close()

    def _tick(self) -> None:
        self._health.tick()
        self._clock.follow()
        if not self._stopping:
            self._runner.start_due()

    def _tick_loopback(self) -> None:
        self._clock.follow()
        self._loopback.tick()

    async def _drain(self) -> None:
        await self._reloader.settle(DRAIN_SECONDS)
        await finish({**self._runner.running, **self._requests.running})
        await self._loopback.drain(DRAIN_SECONDS)

    async def _close(self) -> None:
        await self.inspection.close()
        await self.alerting.close()
        await self._kit.close()
        if self._tracer is not None:
            await self._tracer.close()
        await self.state.close()

    async def _swap(self, settings: Settings) -> bool:
        """Use other settings from now on; False where the agent is stopping."""
        network = await network_of(settings)
        await self.state.fetch([name for name in settings.by_name if name not in self._checks])
        if self._stopping:
            return False
        # No await until all is swapped, so that nothing sees some settings old and others new.
        self._kit, self.settings = rebuilt(self._kit, settings, network), settings
        self._checks = settings.by_name
        self.state.only(self._checks, sending=self._loopback.sending)
        self._health.replace(settings, network)
        self._plan()
        self._show_all()
        await self.alerting.replace(settings)
        return True

    def _plan(self) -> None:
        """Schedule the checks and the messages of the settings."""
        self.state.divide(self.settings.sharding.senders, self.settings.sharding.shard)
        self._runner.replace(self.settings, self._kit)
        self.inspection.replace(self.settings, self._kit)
        self._loopback.replace(self._checks, self.settings.loopbacks, self._kit, self._first_within)

    def _show_all(self) -> None:
        self._metrics.relabel(
            self.settings.label_names,
            expose_addresses=self.settings.agent.expose_addresses,
            checks=[check for check in self.settings.checks if check.scheduled],
            states=self.state.checks,
            sharding=self.settings.sharding,
        )
        self._publisher.replace(self._checks, self.settings.loopbacks)

    def _retain(self) -> None:
        self.state.forget_old(self._kit.wall())
        self._settled()

    def _loopback_changed(self, name: str) -> None:
        if check := self._checks.get(name):
            self._publisher.loopback_changed(check)

    def _inspected(self, name: str) -> None:
        if check := self._checks.get(name):
            self._publisher.inspection_changed(check)
