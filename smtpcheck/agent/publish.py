"""The one channel: whatever changes a check's report goes to all who use it through `publish`.

Rules of this file:
- A scheduled run, a run on demand, the news of a loopback and of an inspection all end here, and in one order: state,
  metrics, alerts, trace.
- Nothing is awaited: each sink takes the report into memory and works by itself, so that neither a reload nor another
  run comes between two sinks. That is why `publish` is a plain function.
- Nothing flows back: what a refusal means for the schedule is read from the state by the agent.
- The news of a loopback or an inspection says more of the last run and is no run: it counts in alerts only for what it
  changes.
"""

import logging
from collections.abc import Callable, Iterable, Mapping

import structlog

from smtpcheck.agent.alerting import Alerting
from smtpcheck.agent.inspecting import InspectionService
from smtpcheck.loopback.status import LoopbackStatus, merged
from smtpcheck.model.check import Check
from smtpcheck.model.report import Report
from smtpcheck.output.log_fields import facts_of
from smtpcheck.output.metrics import Metrics
from smtpcheck.output.tracing.tracer import Tracer
from smtpcheck.state.state import State

_log = structlog.get_logger(__name__)
_threshold = logging.getLogger(__name__)


class Publisher:
    """Brings the reports of all checks to state, metrics, alerts and traces."""

    def __init__(
        self,
        state: State,
        metrics: Metrics,
        alerting: Alerting,
        tracer: Tracer | None,
        *,
        loopback_status: Callable[[str], LoopbackStatus | None],
        inspection: InspectionService,
        wall: Callable[[], float],
    ) -> None:
        self._state = state
        self._metrics = metrics
        self._alerting = alerting
        self._tracer = tracer
        self._loopback_status = loopback_status
        self._inspection = inspection
        self._wall = wall
        self._own: dict[str, Report] = {}
        """The last run of each check with a loopback or an inspector, without what those say."""

    def ran(self, check: Check, own: Report, *, lag: float | None = None) -> Report:
        """Publish a run that has ended, with what its loopback says, and return that report.

        `lag` is how many seconds after it was due it began, for a scheduled one.
        """
        trace_id = self._new_trace_id()
        if lag is not None:
            self._metrics.observe_lag(lag, trace_id)
        report = self._merged(check, own)
        self.publish(check, report, own, trace_id)
        self._inspection.ran(check, report)
        return report

    def loopback_changed(self, check: Check) -> None:
        """Publish what has become known of a check's loopback, or that it has none any more."""
        status = self._loopback_status(check.name)
        if status is not None:
            self._metrics.record_loopback(check, status)
        if (report := self.inspection_changed(check)) is not None:
            self._inspection.ran(check, report)

    def inspection_changed(self, check: Check) -> Report | None:
        """Publish what has become known of a check besides its last run; return its report, None where none has run."""
        state, own = self._state.checks.get(check.name), self._own.get(check.name)
        if state is None or own is None:
            return None
        report = self._merged(check, own)
        if _gist(report) != _gist(state.report):
            self.publish(check, report)
        return report

    def publish(self, check: Check, report: Report, own: Report | None = None, trace_id: str = "") -> None:
        """Bring the report of a check to all who use it.

        `own` is the run that has just ended, of which `report` may say more; without, `report` replaces that of the
        last run, and no run is counted.
        """
        before = self._state.checks.get(check.name)
        if own is not None:
            after = self._state.record(check, report, own)
            if check.scheduled:
                self._metrics.record(check, report, after, trace_id)
        elif (amended := self._state.amend(check.name, report)) is not None:
            self._metrics.show(check, amended)
        else:
            return
        self._alerting.observe(check, report, amends=None if own is not None or before is None else before.report)
        if own is not None:
            self._record_trace(check, own, trace_id)
        changed = before is None or _result(before.report) != _result(report)
        log_run(logging.INFO if changed or own is None else logging.DEBUG, report, trace_id)

    def trace(self, check: Check, report: Report) -> str:
        """Have a run traced that changes no report, and return the id of its trace; empty where none are traced."""
        trace_id = self._new_trace_id()
        self._record_trace(check, report, trace_id)
        return trace_id

    def replace(self, checks: Mapping[str, Check], with_loopback: Iterable[str]) -> None:
        """Publish what a reload has changed in the loopbacks of these checks; what is known of others is dropped."""
        self._own = {name: own for name, own in self._own.items() if name in checks}
        for check in [checks[name] for name in dict.fromkeys((*self._own, *with_loopback))]:
            self.loopback_changed(check)
            if self._loopback_status(check.name) is None and not self._inspection.inspects(check):
                self._own.pop(check.name, None)

    def _merged(self, check: Check, own: Report) -> Report:
        status = self._loopback_status(check.name)
        if status is not None or self._inspection.inspects(check):
            self._own[check.name] = own
        report = own if status is None else merged(own, status, self._wall())
        return self._inspection.merged(check, report)

    def _new_trace_id(self) -> str:
        return self._tracer.new_id() if self._tracer else ""

    def _record_trace(self, check: Check, report: Report, trace_id: str) -> None:
        if self._tracer is not None:
            self._tracer.record(check, report, trace_id)


def log_run(level: int, report: Report, trace_id: str = "") -> None:
    """Log one run; what is not shown is not put together."""
    if _threshold.isEnabledFor(level):
        _log.log(level, "run", check=report.check, **facts_of(report, trace_id))


def _result(report: Report) -> tuple[object, ...]:
    return report.outcome, report.cause


def _gist(report: Report) -> tuple[object, ...]:
    """Return what must differ for one report to say something else than another."""
    best = [(finding.rule, finding.certainty) for finding in report.findings[:1]]
    return *_result(report), [finding.cause for finding in (*report.findings, *report.warnings)], best
