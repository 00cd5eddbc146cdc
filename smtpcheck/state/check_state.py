"""What is remembered of one check, as a value.

Rule of this file: pure. A `CheckState` is never mutated; the next run makes a new one of it.
"""

from msgspec import Struct, structs

from smtpcheck.model import backoff
from smtpcheck.model.backoff import Breaker
from smtpcheck.model.report import Outcome, Report
from smtpcheck.state.history import Run, day_of, runs, with_hour, with_run


class CheckState(Struct, frozen=True, gc=False):
    """What is remembered of one check that has run at least once."""

    report: Report
    """The last run."""
    failure: Report | None
    """The last run that was critical; the same as `report` while it still fails."""
    runs: int
    failures: int
    """How many runs were critical."""
    last_success_at: float | None
    """When the last run that reached its depth began (Unix seconds)."""
    since: float
    """When the first run with the present outcome began (Unix seconds)."""
    packed_history: bytes
    """The last runs as packed rows, oldest first; read them by `history`."""
    packed_hours: bytes
    """The hours of the day of the last run; `history.day` reads them."""
    breaker: Breaker
    """Whether the check waits because it was refused."""

    @property
    def day(self) -> int:
        """Return the day of the last run, in days since 1970-01-01 UTC."""
        return day_of(self.report.started_at)

    def history(self) -> tuple[Run, ...]:
        """Return the last runs, oldest first."""
        return runs(self.packed_history)

    def amended(self, report: Report) -> "CheckState":
        """Return the state with another report of the last run: what came out of it is known better now."""
        return structs.replace(
            self,
            report=report,
            failure=report if report.outcome is Outcome.CRITICAL else self.failure,
            since=self.since if self.report.outcome is report.outcome else report.started_at,
        )

    def after(self, report: Report, interval: float, own: Report | None = None) -> "CheckState":
        """Return the state after one more run of a check with this interval in seconds.

        `own` is the report of the check alone, where `report` says more than that: what its server refused.
        """
        failed = report.outcome is Outcome.CRITICAL
        same_day = day_of(report.started_at) == self.day
        return CheckState(
            report=report,
            failure=report if failed else self.failure,
            runs=self.runs + 1,
            failures=self.failures + failed,
            last_success_at=report.started_at if _succeeded(report) else self.last_success_at,
            since=self.since if self.report.outcome is report.outcome else report.started_at,
            packed_history=with_run(self.packed_history, report),
            packed_hours=with_hour(self.packed_hours if same_day else b"", report),
            breaker=backoff.after(self.breaker, own or report, interval),
        )


def first(report: Report, interval: float, before: Breaker, own: Report | None = None) -> CheckState:
    """Return the state after the first run of a check with this interval in seconds, and its breaker before it.

    `own` is as for `after`.
    """
    failed = report.outcome is Outcome.CRITICAL
    return CheckState(
        report=report,
        failure=report if failed else None,
        runs=1,
        failures=int(failed),
        last_success_at=report.started_at if _succeeded(report) else None,
        since=report.started_at,
        packed_history=with_run(b"", report),
        packed_hours=with_hour(b"", report),
        breaker=backoff.after(before, own or report, interval),
    )


def _succeeded(report: Report) -> bool:
    return report.outcome in (Outcome.OK, Outcome.WARNING)
