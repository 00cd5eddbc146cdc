"""Whether the agent itself is healthy: it starts its checks, has connectivity, and keeps what it knows.

Rules of this file:
- Every run that ends passes `after_run`, scheduled or requested: its hosts count for the agent's connectivity, and a
  fault of our own is counted.
- Times are monotonic seconds.
"""

from collections.abc import Callable, Iterable

from smtpcheck.check.connectivity import Connectivity
from smtpcheck.check.outcome import failed_to_reach, hosts_tried, without_connectivity
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check
from smtpcheck.model.report import Outcome, Report

STALLED_SECONDS = 10.0
"""How long after its last tick an agent is unhealthy."""


class Health:
    """What the agent knows of itself."""

    def __init__(self, checks: Iterable[Check], monotonic: Callable[[], float]) -> None:
        self.internal_errors = 0
        """Runs in which smtpcheck itself failed."""
        self._monotonic = monotonic
        self._ticked_at = monotonic()
        self.replace(checks)

    def replace(self, checks: Iterable[Check]) -> None:
        """Determine connectivity by these checks: the latest try of each host counts for their longest interval."""
        self._connectivity = Connectivity(max((check.interval for check in checks), default=60.0))

    def tick(self) -> None:
        """Note that checks are being started."""
        self._ticked_at = self._monotonic()

    def after_run(self, check: Check, report: Report, issuer: str) -> Report:
        """Count a run that has ended, and return its report: unknown where the agent itself has no connectivity.

        `issuer` is the host of the check's issuer, empty where there is none.
        """
        self.internal_errors += report.cause is Cause.INTERNAL
        now = self._monotonic()
        for host, reached in hosts_tried(check, report, issuer):
            self._connectivity.record(host, reached, now)
        if report.outcome is Outcome.CRITICAL and failed_to_reach(report) and self._connectivity.is_lost(now):
            return without_connectivity(report)
        return report

    def has_lost_connectivity(self) -> bool:
        """Return whether the agent itself has no way to the network."""
        return self._connectivity.is_lost(self._monotonic())

    def unhealthy_reason(self) -> str:
        """Return why the agent is unhealthy, empty while it is healthy."""
        if self._monotonic() - self._ticked_at > STALLED_SECONDS:
            return "no check is started"
        return "the agent has no connectivity" if self.has_lost_connectivity() else ""
