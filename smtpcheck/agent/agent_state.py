"""What the metrics say of the agent itself, gathered from its parts for one scrape."""

from dataclasses import dataclass

from smtpcheck import __version__
from smtpcheck.agent.alerting import Alerting
from smtpcheck.agent.health import Health
from smtpcheck.agent.inspecting import InspectionService
from smtpcheck.agent.loopback import LoopbackService
from smtpcheck.agent.on_demand import Requests
from smtpcheck.agent.periodic_jobs import PeriodicJobs
from smtpcheck.agent.reload import Reloader
from smtpcheck.agent.runner import Runner
from smtpcheck.agent.schedule import Schedule
from smtpcheck.output.metrics import AgentState


@dataclass(frozen=True, slots=True)
class AgentParts:
    """The parts of an agent that count or know something."""

    runner: Runner
    requests: Requests
    schedule: Schedule
    health: Health
    loopback: LoopbackService
    inspection: InspectionService
    jobs: PeriodicJobs
    reloader: Reloader
    alerting: Alerting


def agent_state(parts: AgentParts, *, checks: int, unhealthy_reason: str, state_error: str) -> AgentState:
    """Return the state of an agent that has so many checks."""
    notifiers = parts.alerting.notifiers()
    return AgentState(
        version=__version__,
        checks=checks,
        in_flight=len(parts.runner.running) + len(parts.requests.running),
        connectivity_lost=parts.health.has_lost_connectivity(),
        healthy=not unhealthy_reason,
        state_kept=not state_error,
        loop_stalled_seconds=parts.health.loop_stalled_seconds,
        skipped={
            "running": parts.runner.skipped,
            "late": parts.schedule.skipped,
            "cap": parts.runner.capped + parts.loopback.capped,
        },
        internal_errors=parts.health.internal_errors
        + parts.loopback.internal_errors
        + parts.inspection.internal_errors
        + parts.jobs.internal_errors,
        config_last_reload_successful=parts.reloader.successful and parts.reloader.is_web_config_usable,
        config_last_reload_success_timestamp=parts.reloader.succeeded_at,
        notifications={(each.name, result): count for each in notifiers for result, count in each.counts.items()},
        notifiers_failing={each.name: bool(each.failure) for each in notifiers},
        alerts_firing=parts.alerting.counts(),
        inspections=parts.inspection.readings.success(),
        inspection_findings=parts.inspection.readings.causes(),
        incidents=parts.inspection.incidents(),
        silences=sum(1 for _ in parts.alerting.silences.active()),
    )
