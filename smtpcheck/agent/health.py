"""Whether the agent itself is healthy: it starts its checks, has connectivity, and its event loop does not stand still.

Rules of this file:
- Every run that ends passes `after_run`, scheduled or requested: its hosts count for the connectivity, a fault of
  our own is counted, and what the agent's own standstill did to it is no fault of the server. Nor is a
  failure of its issuer that is remembered from a time without connectivity.
- Times are monotonic seconds.
"""

import asyncio
import math
from collections.abc import Callable

import structlog

from smtpcheck.agent import witnesses
from smtpcheck.agent.loop_watch import EXCUSING_SECONDS, EXCUSING_SHARE, LoopWatch
from smtpcheck.check.connectivity import Connectivity
from smtpcheck.check.outcome import (
    age_of_token_error,
    failed_to_reach,
    hosts_tried,
    kept_waiting,
    stalled,
    without_connectivity,
    without_stall,
)
from smtpcheck.config import Settings
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check
from smtpcheck.model.report import Outcome, Report
from smtpcheck.network.network import Network

STALLED_SECONDS = 10.0
"""How long after its last tick, or after a check was due that is not started, an agent is unhealthy."""
MOST_UNPUBLISHED = 3
"""How many runs in a row may end without that their results are published."""
REMIND_SECONDS = 600.0
"""How often the log repeats that runs have no slot in time."""
WITNESSED_SECONDS = 10.0
"""How long the answer of the witnesses holds."""
_log = structlog.get_logger(__name__)


class Health:
    """What the agent knows of itself."""

    def __init__(
        self, settings: Settings, network: Network, monotonic: Callable[[], float], *, tick_seconds: float
    ) -> None:
        self.internal_errors = 0
        """Runs in which smtpcheck itself failed."""
        self._unpublished = 0
        self._remind_at = -math.inf
        self._monotonic = monotonic
        self._tick_seconds = tick_seconds
        self._witnesses_asked: asyncio.Task[None] | None = None
        self._ask_again_at = 0.0
        self._lost_at = -math.inf
        """When the agent was last without connectivity."""
        self.start()
        self.replace(settings, network)

    def replace(self, settings: Settings, network: Network) -> None:
        """Judge connectivity by these checks: the latest try of each host counts for their longest interval."""
        self._witnesses = settings.agent.connectivity
        self._network = network
        window = max((check.interval for check in settings.checks), default=60.0)
        self._connectivity = Connectivity(window)

    def start(self) -> None:
        """Expect ticks from now on."""
        self._loop = LoopWatch(self._tick_seconds, self._monotonic())

    def tick(self) -> None:
        """Note that checks are being started."""
        late = self._loop.tick(self._monotonic())
        if late > STALLED_SECONDS / 10:
            _log.warning("the event loop stood still: the agent was paused or got no CPU", seconds=round(late, 1))

    def published(self) -> None:
        """Note that the result of a run went to all who use it."""
        self._unpublished = 0

    def died(self) -> None:
        """Note that a run ended by a fault of our own, and that its result went to nobody."""
        self.internal_errors += 1
        self._unpublished += 1

    def count_waiting(self, report: Report, waiting: int) -> None:
        """Log how many runs wait for their slot, where this one had none in time."""
        now = self._monotonic()
        if report.cause is Cause.AGENT_OVERLOADED and now >= self._remind_at:
            self._remind_at = now + REMIND_SECONDS
            evidence = report.findings[0].evidence
            _log.error("overloaded: runs have no slot within their interval", waiting=waiting, evidence=evidence)

    @property
    def loop_stalled_seconds(self) -> float:
        """Return for how long the event loop has stood still since the start."""
        return self._loop.total

    async def after_run(self, check: Check, report: Report, issuer: str) -> Report:
        """Count a run that has just ended, and return its report: unknown where the agent itself was the fault.

        `issuer` is the host of the check's issuer, empty where there is none.
        """
        self.internal_errors += report.cause is Cause.INTERNAL
        now = self._monotonic()
        stood_still = self._loop.stalled_within(report.seconds + report.waited, now)
        if stood_still >= max(EXCUSING_SECONDS, EXCUSING_SHARE * min(check.timeout, check.token_timeout)):
            if report.outcome is Outcome.CRITICAL and kept_waiting(report):
                return stalled(report, stood_still)
            report = without_stall(check, report, stood_still)
        for tried in hosts_tried(check, report, issuer):
            self._connectivity.record(tried, now)
        if report.outcome is not Outcome.CRITICAL or not failed_to_reach(report):
            return report
        await self._ask_witnesses(now)
        if self.has_lost_connectivity():
            self._lost_at = now
            return without_connectivity(report)
        age = age_of_token_error(report)
        was_seen_then = age > 0 and now - report.seconds - report.waited - age <= self._lost_at
        return without_connectivity(report) if was_seen_then else report

    async def _ask_witnesses(self, now: float) -> None:
        """Ask the witnesses where no host answers, unless they were asked lately."""
        if not self._witnesses or not self._connectivity.is_suspect(now):
            return
        if self._witnesses_asked is None or (self._witnesses_asked.done() and now >= self._ask_again_at):
            self._ask_again_at = now + WITNESSED_SECONDS
            self._witnesses_asked = asyncio.create_task(self._record_witnesses(), name="witnesses")
        await asyncio.shield(self._witnesses_asked)

    async def _record_witnesses(self) -> None:
        for tried in await witnesses.ask(self._witnesses, self._network):
            self._connectivity.record(tried, self._monotonic())

    def has_lost_connectivity(self) -> bool:
        """Return whether the agent itself has no way to the network."""
        now = self._monotonic()
        if not self._connectivity.is_suspect(now):
            return False
        return self._connectivity.is_lost(now, has_route=witnesses.has_default_route())

    def stuck_reason(self, next_due: float) -> str:
        """Return why the agent does not do its work and only a restart helps; empty while it does it.

        `next_due` is when the check is due that is due next (monotonic seconds).
        """
        now = self._monotonic()
        if now - self._loop.ticked_at > STALLED_SECONDS:
            return "no check is started"
        if now - next_due > STALLED_SECONDS:
            return "a check is due and is not started; the log has the error"
        if self._unpublished >= MOST_UNPUBLISHED:
            return "no result is published; the log has the error"
        return ""
