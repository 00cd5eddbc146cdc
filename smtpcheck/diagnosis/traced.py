"""From what a message trace says to where a message is that the loopback has not found.

Rules of this file:
- Pure. The trace says what became of the message; that mail is lost stays true, and only its cause becomes certain.
- A trace shows itself after some minutes: that there is none is said, and proves nothing.
"""

from smtpcheck.diagnosis.inspected.view import PROVEN
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Phase
from smtpcheck.model.inspection import Fact, FactName, Inspection
from smtpcheck.model.report import Finding, Report
from smtpcheck.model.timestamp import clock_text

_SAYS = {
    "delivered": (Cause.MAIL_LOST, "it was delivered: to another folder by a rule, or to another mailbox"),
    "quarantined": (Cause.MAIL_QUARANTINED, "it is in quarantine"),
    "filtered": (Cause.MAIL_IN_JUNK, "it was filtered as spam, to Junk"),
    "failed": (Cause.MAIL_BOUNCED, "its delivery failed"),
    "pending": (Cause.MAIL_LATE, "its delivery is pending"),
    "expanded": (Cause.MAIL_LOST, "it went to a group, and on to its members"),
    "other": (Cause.MAIL_LOST, "its status is one that is not known here"),
    "unknown": (Cause.MAIL_LOST, "there is no trace of this message"),
}


def lost_message(report: Report) -> str:
    """Return the Message-ID of the message that a check has lost, empty where it has lost none."""
    step = report.failed_step
    if step is None or step.phase is not Phase.DELIVERY or not report.findings:
        return ""
    return report.findings[0].values.get("message_id", "")


def traced(report: Report, found: Inspection) -> tuple[Finding, ...]:
    """Return what became of the message that a check has lost, nothing where no trace was read."""
    status, lost = found.find(FactName.TRACE_STATUS), report.findings[0]
    if status is None:
        return ()
    cause, says = _SAYS.get(str(status.value), _SAYS["other"])
    evidence = [_said(status, says)]
    if (reason := found.find(FactName.TRACE_REASON)) is not None:
        evidence.append(f"the refusal was {reason.value}")
    return (Finding(cause, PROVEN, f"inspection.{cause}", (*evidence, *lost.evidence), lost.values),)


def _said(fact: Fact, says: str) -> str:
    return f"{fact.source}, {clock_text(fact.read_at)[:5]}: {says} ({fact.asked})"
