"""From what a message trace says to where a message is that the loopback has not found.

Rules of this file:
- Pure. The trace says what became of the message; that mail is lost stays true, and only its cause becomes certain.
- A trace shows itself after some minutes: that there is none is said, and proves nothing.
- The quarantine says why, and whether the message was released. Where the trace has no answer, its word is enough.
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


_NO_ANSWER = frozenset({"unknown", "other"})
"""What a trace says that leaves open where the message is."""


def lost_message(report: Report) -> str:
    """Return the Message-ID of the message that a check has lost, empty where it has lost none."""
    step = report.failed_step
    if step is None or step.phase is not Phase.DELIVERY or not report.findings:
        return ""
    return report.findings[0].values.get("message_id", "")


def traced(report: Report, found: Inspection) -> tuple[Finding, ...]:
    """Return what became of the message that a check has lost, nothing where nothing was read of it."""
    status, lost = found.find(FactName.TRACE_STATUS), report.findings[0]
    quarantined = found.find(FactName.QUARANTINED)
    if quarantined is not None and quarantined.value is True and may_be_quarantined(found):
        held, why = Cause.MAIL_QUARANTINED, _of_quarantine(found, quarantined)
        return (Finding(held, PROVEN, f"inspection.{held}", (*why, *lost.evidence), lost.values),)
    if status is None:
        return ()
    cause, says = _SAYS.get(str(status.value), _SAYS["other"])
    evidence = [_said(status, says)]
    if (reason := found.find(FactName.TRACE_REASON)) is not None:
        evidence.append(f"the refusal was {reason.value}")
    return (Finding(cause, PROVEN, f"inspection.{cause}", (*evidence, *lost.evidence), lost.values),)


def may_be_quarantined(found: Inspection) -> bool:
    """Return whether the trace says that the message is in quarantine, or leaves open where it is."""
    status = found.find(FactName.TRACE_STATUS)
    return status is None or status.value == "quarantined" or status.value in _NO_ANSWER


def _of_quarantine(found: Inspection, quarantined: Fact) -> tuple[str, ...]:
    """Return where the message is, why, by which kind of policy, until when, and whether it was released."""
    kind, policy, release, expires = (
        str(fact.value) if (fact := found.find(name)) is not None else ""
        for name in (
            *(FactName.QUARANTINE_TYPE, FactName.QUARANTINE_POLICY),
            *(FactName.QUARANTINE_RELEASE, FactName.QUARANTINE_EXPIRES),
        )
    )
    why = {"": "", "other": ", for a reason that is not known here"}.get(kind, f" as {kind}")
    by = f", by the {policy}" if policy not in {"", "other"} else ""
    evidence = [_said(quarantined, f"it is in quarantine{why}{by}")]
    if release == "released":
        evidence[0] = _said(quarantined, f"it was in quarantine{why}{by}, and has been released")
    elif release not in {"", "other"}:
        evidence.append(f"its state is: {release}")
    if expires and release != "released":
        evidence.append(f"it is deleted from quarantine on {expires[:10]}")
    return tuple(evidence)


def _said(fact: Fact, says: str) -> str:
    return f"{fact.source}, {clock_text(fact.read_at)[:5]}: {says} ({fact.asked})"
