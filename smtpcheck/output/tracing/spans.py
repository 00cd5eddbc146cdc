"""A run as spans, as OpenTelemetry has them: one for the run, and below it one for each phase.

Rules of this file:
- Pure, and made of a report after its run: what is traced costs a run nothing while it lasts.
- Attributes are named by OpenTelemetry's semantic conventions where these have a name
  (https://opentelemetry.io/docs/specs/semconv/registry/attributes/), else `smtpcheck.*`.
- No address of a mailbox, no text of a reply, no token: what the metrics may show, and the ids of the run elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from smtpcheck.model.check import Check, Phase
from smtpcheck.model.report import Outcome, Report, Step
from smtpcheck.output.log_fields import correlation_of

Attribute = str | int | float | bool | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """One span, without ids."""

    name: str
    start: float
    """Unix seconds."""
    end: float
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    error: str = ""
    """What went wrong in it, a value of a closed list; empty if nothing did."""
    is_client: bool = False
    """Whether it asked a server."""


def spans_of(check: Check, report: Report) -> tuple[Span, ...]:
    """Return the run's span, and after it those of its phases."""
    begin = report.started_at
    seconds = max((_offset(report, step) + step.seconds for step in report.steps), default=0.0)
    end = begin + max(report.seconds + report.waited, seconds)
    failed = report.outcome in {Outcome.CRITICAL, Outcome.UNKNOWN}
    root = Span(
        "smtpcheck run", begin, end, _of_run(check, report), error=(report.cause or report.outcome) if failed else ""
    )
    return root, *(_of_step(check, report, step) for step in report.steps)


def _of_run(check: Check, report: Report) -> dict[str, Attribute]:
    attributes: dict[str, Attribute] = {
        "smtpcheck.check": check.name,
        "smtpcheck.provider": check.provider.value,
        "smtpcheck.depth": str(check.depth),
        "smtpcheck.outcome": report.outcome.value,
        "smtpcheck.waited": report.waited,
        "server.address": check.server.host,
        "server.port": check.server.port,
    }
    if check.credential:
        attributes["smtpcheck.credential"] = check.credential
    if report.cause:
        attributes["smtpcheck.model.cause"] = report.cause.value
    if report.warnings:
        attributes["smtpcheck.warnings"] = tuple(finding.cause.value for finding in report.warnings)
    if report.tls:
        attributes |= {
            "tls.protocol.version": report.tls.version.removeprefix("TLSv"),
            "tls.cipher": report.tls.cipher,
        }
    attributes |= {f"smtpcheck.label.{name}": value for name, value in check.labels}
    return attributes | {f"smtpcheck.{name}": value for name, value in correlation_of(report).items()}


def _of_step(check: Check, report: Report, step: Step) -> Span:
    attributes: dict[str, Attribute] = {"smtpcheck.check": check.name, "smtpcheck.phase": step.phase.value}
    if step.phase is not Phase.TOKEN:
        attributes |= {"server.address": check.server.host, "server.port": check.server.port}
    if step.phase is Phase.CONNECT:
        attributes["smtpcheck.addresses"] = tuple(attempt.address for attempt in report.attempts)
    if step.exchanges and (reply := step.exchanges[-1].reply):
        attributes["smtpcheck.smtp_code"] = reply.code
        if reply.enhanced:
            attributes["smtpcheck.enhanced_code"] = reply.enhanced
    error = report.token_error
    if step.phase is Phase.TOKEN and error:
        attributes |= {
            "smtpcheck.oauth_error": error.error,
            "smtpcheck.oauth_codes": tuple(map(str, error.error_codes)),
        }
        if error.http_status:
            attributes["http.response.status_code"] = error.http_status
    start = report.started_at + _offset(report, step)
    fault = step.fault.kind.value if step.fault and not report.refused_as_expected else ""
    return Span(step.phase.value, start, start + step.seconds, attributes, error=fault, is_client=True)


def _offset(report: Report, step: Step) -> float:
    """Return when a phase began, in seconds since the run's begin; the wait for a slot comes after the token."""
    return step.start + (0.0 if step.phase is Phase.TOKEN else report.waited)
