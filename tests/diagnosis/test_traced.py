"""Where a lost message is: what a trace and the quarantine show together, and what they do not."""

import pytest

from smtpcheck.diagnosis.explain import CERTAIN
from smtpcheck.diagnosis.traced import may_be_quarantined, traced
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Phase
from smtpcheck.model.inspection import Fact, FactName, Inspection, Value
from smtpcheck.model.report import Fault, FaultKind, Finding, Outcome, Report, Step

NOW = 1_795_748_400.0
LOST = Report(
    *("billing", NOW - 60, 1.0, Outcome.CRITICAL),
    steps=(Step(Phase.DELIVERY, 0.0, 0.1, fault=Fault(FaultKind.REPLY)),),
    findings=(Finding(Cause.MAIL_LOST, 0.5, "loopback", (), {"message_id": "<a@b>"}),),
)


def said(**values: Value) -> Inspection:
    """Return what was read, by the names of the facts."""
    facts = (Fact(FactName[name], value, "Exchange", "Get-Something", NOW) for name, value in values.items())
    return Inspection(tuple(facts))


@pytest.mark.parametrize("status", ["unknown", "other", None])
def test_where_the_trace_has_no_answer_the_quarantine_has_it(status: str | None) -> None:
    trace: dict[str, Value] = {} if status is None else {"TRACE_STATUS": status}
    (finding,) = traced(LOST, said(**trace, QUARANTINED=True, QUARANTINE_TYPE="spam"))
    assert (finding.cause, finding.certainty >= CERTAIN) == (Cause.MAIL_QUARANTINED, True)
    assert "it is in quarantine as spam" in finding.evidence[0]


def test_a_quarantine_without_the_message_proves_nothing() -> None:
    assert traced(LOST, said(QUARANTINED=False)) == ()
    (finding,) = traced(LOST, said(TRACE_STATUS="unknown", QUARANTINED=False))
    assert finding.cause is Cause.MAIL_LOST


def test_without_the_quarantines_word_the_traces_counts() -> None:
    (finding,) = traced(LOST, said(TRACE_STATUS="quarantined"))
    assert (finding.cause, finding.certainty >= CERTAIN) == (Cause.MAIL_QUARANTINED, True)


@pytest.mark.parametrize("status", ["delivered", "failed", "pending", "filtered", "expanded"])
def test_a_trace_that_says_where_it_is_needs_no_other_word(status: str) -> None:
    assert not may_be_quarantined(said(TRACE_STATUS=status))
    (finding,) = traced(LOST, said(TRACE_STATUS=status, QUARANTINED=True))
    assert finding.cause is not Cause.MAIL_QUARANTINED


def test_a_released_message_is_said_to_be_released() -> None:
    released = said(QUARANTINED=True, QUARANTINE_RELEASE="released", QUARANTINE_EXPIRES="2026-12-27T03:00:00Z")
    (finding,) = traced(LOST, released)
    assert "it was in quarantine, and has been released" in finding.evidence[0]
    assert not any("deleted" in sentence for sentence in finding.evidence)


def test_a_reason_that_is_not_known_is_said_to_be_unknown() -> None:
    values: dict[str, Value] = {"QUARANTINED": True, "QUARANTINE_TYPE": "other", "QUARANTINE_POLICY": "other"}
    (finding,) = traced(LOST, said(**values, QUARANTINE_RELEASE="other"))
    assert len(finding.evidence) == 1
    assert "it is in quarantine, for a reason that is not known here" in finding.evidence[0]
