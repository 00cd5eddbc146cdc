"""What an inspection says of its check, merged into the check's own report.

Rules of this file:
- Pure. What the provider says of a failure holds for that failure alone: the same step, refused in the same way. Where
  that makes a cause certain, what else the refusal alone might mean is left out.
- An incident proves nothing: it is named beside a failure, and makes a fault at the provider likelier.
- A warning is added to a check that works; where it fails already, the failure goes before.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from msgspec import structs

from smtpcheck.diagnosis.explain import CERTAIN
from smtpcheck.diagnosis.inspected.causes import is_certain
from smtpcheck.diagnosis.traced import lost_message
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Phase
from smtpcheck.model.inspection import Incident
from smtpcheck.model.report import FaultKind, Finding, Outcome, Report
from smtpcheck.model.timestamp import utc_text

_ASSUMED = 0.4
"""The certainty of a fault at the provider during an incident, where nothing else points to one."""
_RAISED = 0.25
_HIGHEST = 0.85
"""How much an incident adds to what points to one, and up to where."""
_NETWORK_FAULTS = frozenset({FaultKind.NAME_NOT_FOUND, FaultKind.NAME_SERVER_FAILED, FaultKind.OUT_OF_RESOURCES})

Signature = tuple[str, str, str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Proof:
    """What the provider said of one failure."""

    of: Signature
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class InspectionStatus:
    """All that an inspection says of one check."""

    proof: Proof | None = None
    warnings: tuple[Finding, ...] = ()
    incidents: tuple[Incident, ...] = ()


def signature(report: Report) -> Signature:
    """Return what two failures have in common that fail alike: step, kind of fault, reply or codes of the issuer."""
    step, reply = report.failed_step, report.failed_reply
    answer = f"{reply.code} {reply.enhanced}" if reply is not None else lost_message(report)
    error = report.token_error
    codes = error.error_codes if error is not None else ()
    if error is not None and reply is None and not codes:
        answer = f"{error.error} {error.description}".strip()
    elif (refused := report.failed_answer) is not None:
        answer = refused.head
    kind = step.fault.kind.value if step is not None and step.fault is not None else ""
    return step.phase.value if step is not None else "", kind, answer, codes


def merged(report: Report, status: InspectionStatus) -> Report:
    """Return the check's report with what the inspection says besides."""
    if report.outcome is Outcome.CRITICAL:
        return _with_incidents(_with_proof(report, status.proof), status.incidents)
    if report.outcome in (Outcome.OK, Outcome.WARNING) and status.warnings:
        known = {warning.cause for warning in report.warnings}
        warnings = (*report.warnings, *(each for each in status.warnings if each.cause not in known))
        return structs.replace(report, outcome=Outcome.WARNING, warnings=warnings)
    return report


def _with_proof(report: Report, proof: Proof | None) -> Report:
    if proof is None or proof.of != signature(report) or not proof.findings:
        return report
    ranked = _ranked(report, proof.findings)
    if lost_message(report) or proof.findings[0].certainty < CERTAIN:
        return ranked
    proven = {finding.rule for finding in proof.findings if finding.certainty >= CERTAIN}
    return structs.replace(ranked, findings=tuple(finding for finding in ranked.findings if finding.rule in proven))


def _ranked(report: Report, first: Iterable[Finding]) -> Report:
    """Return the report with these findings among its own, the most certain first.

    Of a cause that it has already the finding is replaced, and does not become less certain.
    """
    known = {finding.cause: finding.certainty for finding in report.findings}
    first = tuple(structs.replace(each, certainty=max(each.certainty, known.get(each.cause, 0.0))) for each in first)
    causes = {finding.cause for finding in first} | {Cause.UNKNOWN}
    if lost_message(report):  # it is lost by what the trace says, and not besides
        causes.add(Cause.MAIL_LOST)
    others = (finding for finding in report.findings if finding.cause not in causes)
    findings = tuple(sorted((*first, *others), key=lambda finding: -finding.certainty))
    return structs.replace(report, cause=findings[0].cause, findings=findings)


def _with_incidents(report: Report, incidents: tuple[Incident, ...]) -> Report:
    step = report.failed_step
    if step is None or (step.fault is not None and step.fault.kind in _NETWORK_FAULTS):
        return report
    services = {"entra"} if step.phase is Phase.TOKEN else {"exchange_online", "gmail"}
    open_ones = [each for each in incidents if each.service in services]
    if not open_ones:
        return report
    cause = Cause.ISSUER_UNAVAILABLE if step.phase is Phase.TOKEN else Cause.TRANSIENT_SERVER_ERROR
    said = tuple(_said(each) for each in open_ones[:2])
    best = report.findings[:1]
    if best and best[0].cause is not cause:
        first = structs.replace(best[0], evidence=(*best[0].evidence, *said))
        report = structs.replace(report, findings=(first, *report.findings[1:]))
    if is_certain(report):
        return report
    known = next((finding for finding in report.findings if finding.cause is cause), None)
    if known is not None:
        certainty = max(known.certainty, min(known.certainty + _RAISED, _HIGHEST))
        raised = structs.replace(known, certainty=certainty, evidence=(*known.evidence, *said))
    else:
        values = report.findings[0].values if report.findings else {}
        raised = Finding(cause, _ASSUMED, f"inspection.{cause}", said, values)
    return _ranked(report, (raised,))


def _said(incident: Incident) -> str:
    since = f" since {utc_text(incident.began_at)}" if incident.began_at is not None else ""
    return f"{incident.provider.title()} reports the incident {incident.id}{since}: {incident.status}"
