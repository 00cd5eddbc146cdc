"""The metrics of credentials, providers and the agent itself, by prometheus_client.

Rules of this file:
- They are few, so they are collected at every scrape: from plain values that other rooms count, or from the
  histograms and counters here.
- Recording and collecting may happen in different threads: prometheus_client locks its values.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import Counter, ProcessCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check
from smtpcheck.model.credential import CredentialState
from smtpcheck.model.inspection import Incident
from smtpcheck.model.report import Outcome, Report
from smtpcheck.output.metrics import families
from smtpcheck.output.metrics.check import failed_cause, failed_phase
from smtpcheck.output.metrics.families import Family
from smtpcheck.output.metrics.histogram import Histogram


@dataclass(frozen=True, slots=True)
class AgentState:
    """What the metrics and the page say of the agent; plain values, read at scrape."""

    version: str
    checks: int
    """Checks that are configured."""
    in_flight: int
    """Runs in flight."""
    connectivity_lost: bool
    healthy: bool = True
    state_kept: bool = True
    loop_stalled_seconds: float = 0.0
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Runs that were skipped, by reason (a closed list of the agent's)."""
    internal_errors: int = 0
    config_last_reload_successful: bool = True
    config_last_reload_success_timestamp: float = 0.0
    """Unix seconds."""
    notifications: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Notifications, by notifier and result."""
    notifiers_failing: Mapping[str, bool] = field(default_factory=dict)
    inspections: Mapping[str, bool] = field(default_factory=dict)
    """Whether the last reading brought anything, by the credential that is inspected."""
    inspection_findings: Mapping[str, frozenset[Cause]] = field(default_factory=dict)
    """What the readings warn of, by credential."""
    incidents: tuple[Incident, ...] = ()
    """Open incidents of providers."""
    alerts_firing: Mapping[str, int] = field(default_factory=dict)
    """Alerts that fire, by severity; empty where no alerts are configured."""
    silences: int = 0
    """Silences in force."""


class Measurements:
    """What is counted and measured over all runs, by provider."""

    def __init__(self) -> None:
        self._lag = Histogram(families.SCHEDULE_LAG)
        self._phases = Histogram(families.PHASE_SECONDS)
        self._deliveries = Histogram(families.LOOPBACK_SECONDS)
        family = families.FAILURES_BY_CAUSE
        self._failures = Counter(family.name, family.help, family.labels, registry=None)
        self._process = ProcessCollector(registry=None)

    def observe_lag(self, seconds: float, trace_id: str) -> None:
        """Count how long after it was due a run began."""
        self._lag.observe(seconds, trace_id=trace_id)

    def observe_delivery(self, check: Check, seconds: float, trace_id: str) -> None:
        """Count how long a message took from its acceptance to its mailbox; the trace is that of its sending."""
        self._deliveries.observe(seconds, (check.provider,), trace_id)

    def observe(self, check: Check, report: Report, trace_id: str) -> None:
        """Count a run's phases and its failure."""
        for step in report.steps:
            self._phases.observe(step.seconds, (check.provider, step.phase), trace_id)
        if report.outcome is Outcome.CRITICAL:
            self._failures.labels(check.provider, failed_phase(report), failed_cause(report)).inc()

    def collect(self) -> Iterator[Metric]:
        """Yield what was measured, and the process's own metrics where the system reports them."""
        yield self._phases.collect()
        yield self._deliveries.collect()
        for metric in self._failures.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric
        yield self._lag.collect()
        yield from self._process.collect()


class Scrape(Collector):
    """Everything that is collected for one scrape."""

    def __init__(self, measurements: Measurements, credentials: Iterable[CredentialState], agent: AgentState) -> None:
        self._measurements = measurements
        self._credentials = tuple(credentials)
        self._agent = agent

    def collect(self) -> Iterator[Metric]:
        """Yield every metric that has a sample."""
        metrics: dict[Family, Metric] = {}
        for family, values, number in (*_samples_of_credentials(self._credentials), *_samples_of_agent(self._agent)):
            metric = metrics.setdefault(family, _metric(family))
            metric.add_sample(family.name, dict(zip(family.labels, values, strict=True)), number)
        yield from metrics.values()
        yield from (metric for metric in self._measurements.collect() if metric.samples)


_Samples = Iterator[tuple[Family, tuple[str, ...], float]]


def _samples_of_credentials(credentials: Iterable[CredentialState]) -> _Samples:
    for credential in credentials:
        known = (
            (families.TOKEN_SUCCESS, credential.success),
            (families.TOKEN_EXPIRY, credential.expires_at),
            (families.TOKEN_ACQUISITION, credential.acquisition_seconds),
            (families.FRESH_TOKEN_SUCCESS, credential.fresh_success),
            (families.CLIENT_SECRET_EXPIRY, credential.client_secret_expires_at),
            (families.CLIENT_CERTIFICATE_EXPIRY, credential.client_certificate_expires_at),
            (families.REFRESH_TOKEN_LAST_REFRESH, credential.refresh_token_last_refresh_at),
            (families.REFRESH_TOKEN_EXPIRY, credential.refresh_token_expires_at),
        )
        for family, value in known:
            if value is not None:
                yield family, (credential.name,), float(value)
        for result, count in credential.requests.items():
            yield families.TOKEN_REQUESTS, (credential.name, result), count


def _samples_of_agent(agent: AgentState) -> _Samples:
    yield families.BUILD_INFO, (agent.version,), 1
    yield families.CHECKS, (), agent.checks
    yield families.CHECKS_IN_FLIGHT, (), agent.in_flight
    yield families.CUT_OFF, (), agent.connectivity_lost
    yield families.HEALTHY, (), agent.healthy
    yield families.STATE_KEPT, (), agent.state_kept
    yield families.LOOP_STALLED, (), agent.loop_stalled_seconds
    for reason, count in agent.skipped.items():
        yield families.RUNS_SKIPPED, (reason,), count
    yield families.INTERNAL_ERRORS, (), agent.internal_errors
    yield families.LAST_RELOAD_SUCCESSFUL, (), agent.config_last_reload_successful
    yield families.LAST_RELOAD_SUCCESS, (), agent.config_last_reload_success_timestamp
    for labels, count in agent.notifications.items():
        yield families.NOTIFICATIONS, labels, count
    for notifier, failing in agent.notifiers_failing.items():
        yield families.NOTIFIER_FAILING, (notifier,), failing
    yield families.SILENCES, (), agent.silences
    for credential, success in agent.inspections.items():
        yield families.INSPECTION_SUCCESS, (credential,), success
    for credential, causes in agent.inspection_findings.items():
        for cause in sorted(causes):
            yield families.INSPECTION_FINDING, (credential, cause), 1
    for each in agent.incidents:
        yield families.PROVIDER_INCIDENT, (each.provider, each.service, each.id, each.status), 1
    for severity, count in agent.alerts_firing.items():
        yield families.ALERTS_FIRING, (severity,), count


def _metric(family: Family) -> Metric:
    """Return the metric of a family without samples; prometheus_client names it without the sample's suffix."""
    return Metric(family.name.removesuffix("_total").removesuffix("_info"), family.help, family.kind)
