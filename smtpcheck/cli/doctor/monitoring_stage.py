"""Stage 10: whether an agent runs here and watches the check, and what to alert on.

Rules of this file:
- The agent is asked by its own page at `agent.listen`, without any password: what it does not show to everybody is not
  known here. Its state is never opened.
- `find_agent` asks, `monitoring` assesses.
"""

from dataclasses import dataclass
from enum import Enum

from smtpcheck.alerts.grouping import Severity
from smtpcheck.alerts.notification_log import NotificationLog, RepeatIntervals
from smtpcheck.cli.doctor.result import Examined, Note, Stage, examined, hint, ok, skipped, warning
from smtpcheck.config import AgentSettings
from smtpcheck.config.alerts import AlertSettings
from smtpcheck.http_client.client import Client
from smtpcheck.http_client.exchange import Exchange, Fault, FaultKind, Limits, Response
from smtpcheck.model.check import Check

_LIMITS = Limits(seconds=3.0)
_OWN = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Presence(Enum):
    """What answers at the agent's address."""

    NOT_RUNNING = "not running"
    UNRECOGNIZED = "unrecognized"
    """Something that does not answer like an agent, or speaks TLS."""
    LOCKED = "locked"
    """An agent whose page asks for a password."""
    CHECK_UNKNOWN = "check unknown"
    """An agent that does not know the check."""
    WATCHING = "watching"


@dataclass(frozen=True, slots=True)
class MonitoringSetup:
    """What was found at the agent's address."""

    address: str
    presence: Presence
    status: str = ""
    """What the agent says of the check."""


async def find_agent(agent: AgentSettings, name: str) -> MonitoringSetup:
    """Ask what listens at the agent's address for the check called `name`; never raises for what the world does."""
    host, port = agent.listen
    host = _OWN.get(host, host)
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    async with Client(limits=_LIMITS, local=True) as client:
        health = await client.request("GET", f"http://{address}/-/healthy")
        if isinstance(health, Response) and health.status not in {200, 401, 403}:
            return MonitoringSetup(address, Presence.UNRECOGNIZED)
        if isinstance(health, Response) and health.status == 200:
            return _read(address, await client.request("GET", f"http://{address}/api/v1/checks/{name}"))
        return _read(address, health)


def _read(address: str, answer: Exchange) -> MonitoringSetup:
    if isinstance(answer, Fault):
        is_absent = answer.kind in {FaultKind.REFUSED, FaultKind.CONNECT, FaultKind.NAME_NOT_FOUND}
        return MonitoringSetup(address, Presence.NOT_RUNNING if is_absent else Presence.UNRECOGNIZED)
    if answer.status in {401, 403}:
        return MonitoringSetup(address, Presence.LOCKED)
    if answer.status == 404:
        return MonitoringSetup(address, Presence.CHECK_UNKNOWN)
    body = answer.json if answer.status == 200 else None
    if body is None:
        return MonitoringSetup(address, Presence.UNRECOGNIZED)
    return MonitoringSetup(address, Presence.WATCHING, str(body.get("status", ""))[:40])


def monitoring(check: Check, found: MonitoringSetup | None, alerts: AlertSettings | None) -> Examined:
    """Return stage 10; `found` is None where no configuration file names an agent that could be asked."""
    if found is None:
        notes = [skipped("no configuration file names an agent's address, so this mailbox is not monitored from here")]
        return examined(Stage.MONITORING, notes)
    return examined(Stage.MONITORING, [_presence(found), *_advice(check, alerts)])


def _presence(found: MonitoringSetup) -> Note:
    match found.presence:
        case Presence.NOT_RUNNING:
            return warning(f"no agent runs at {found.address}: nobody notices when this breaks (smtpcheck run)")
        case Presence.UNRECOGNIZED:
            return hint(f"something at {found.address} does not answer like an agent without TLS and password")
        case Presence.LOCKED:
            return ok(f"the page at {found.address} asks for a password, so an agent probably runs there")
        case Presence.CHECK_UNKNOWN:
            return warning(f"the agent at {found.address} does not know this check: reload it (SIGHUP)")
        case Presence.WATCHING:
            return ok(f"the agent at {found.address} runs this check; its outcome is {found.status}")


def _notified(check: Check, alerts: AlertSettings) -> Note:
    """Return who is notified when the check fails."""
    notification_logs = {
        notifier.label: NotificationLog(notifier.match, RepeatIntervals(None)) for notifier in alerts.notifiers
    }
    notified = [
        label
        for label, notification_log in notification_logs.items()
        if notification_log.is_for(check, Severity.CRITICAL)
    ]
    if not notified:
        return warning(
            f"nobody is notified when it fails: match of {', '.join(notification_logs)} excludes it (alerts.notify)"
        )
    return ok(f"failures are notified by {', '.join(notified)}; smtpcheck notify-test tests it")


def _advice(check: Check, alerts: AlertSettings | None) -> list[Note]:
    notes = [ok(f"it is checked every {check.interval:g} s")]
    if not check.labels:
        notes.append(hint("it has no labels; labels such as team let alerts find their owner"))
    if alerts is not None and alerts.notifiers:
        return [*notes, _notified(check, alerts)]
    notes.append(
        hint(
            "alert on smtpcheck_success == 0 over two runs, on smtpcheck_fresh_token_success == 0, on the "
            "smtpcheck_*_expiry_timestamp_seconds, and on an absent smtpcheck_last_run_timestamp_seconds"
        )
    )
    return notes
