"""One investigation: after a failure, the questions whose answers separate its causes, and no more.

Rules of this file:
- The questions are asked in their order, and only until a cause is certain. What is known already is not asked again.
- Nothing is raised: what cannot be read is not known, and the causes stay as likely as they were.
"""

from collections.abc import Iterator
from dataclasses import replace

from smtpcheck.diagnosis.explain import CERTAIN
from smtpcheck.diagnosis.inspected.causes import proven, view_of, wanted
from smtpcheck.diagnosis.traced import lost_message, may_be_quarantined
from smtpcheck.inspection.inspector import Inspector
from smtpcheck.inspection.question import About, Question
from smtpcheck.inspection.questions import QUESTIONS
from smtpcheck.inspection.questions.message_trace import TRACES
from smtpcheck.inspection.questions.quarantine import QUARANTINE
from smtpcheck.loopback.plan import Loopback
from smtpcheck.model.check import Check
from smtpcheck.model.credential import CredentialHints
from smtpcheck.model.inspection import FactName, Inspection
from smtpcheck.model.report import Finding, Report


async def investigate(
    inspector: Inspector,
    check: Check,
    report: Report,
    hints: CredentialHints | None,
    known: Inspection,
    *,
    began: float,
) -> tuple[Inspection, tuple[Finding, ...]]:
    """Return what is known after asking, and the causes that it shows of a failure that began at Unix time `began`."""
    subject = await inspector.subject()
    found = known
    causes = show(inspector, check, report, hints, found, began=began)
    for question in needed(inspector, report, found):
        if causes and causes[0].certainty >= CERTAIN:
            break
        mailbox = view_of(found, check, report, hints, began).mailbox if question.about is About.MAILBOX else ""
        about = replace(subject, mailbox=mailbox, since=began, until=began, correlation_id=correlation_of(report))
        found = found.joined(await inspector.ask(question, about, found))
        causes = show(inspector, check, report, hints, found, began=began)
    return found, causes


def is_late(inspector: Inspector, report: Report) -> bool:
    """Return whether what separates the causes of a failure may become known only later."""
    return inspector.plan.sign_ins and FactName.SIGN_IN_CODE in wanted(report)


def correlation_of(report: Report) -> str:
    """Return the id of the refused request for a token, empty where none was refused."""
    return report.token_error.correlation_id if report.token_error is not None else ""


async def trace(inspector: Inspector, report: Report, plan: Loopback) -> Inspection:
    """Return what the provider says of the message that a check has lost.

    The trace is read by the first way that answers; where it says quarantined, or nothing, the quarantine is read too.
    """
    subject = replace(
        await inspector.subject(),
        mailbox=plan.recipient,
        message_id=lost_message(report),
        since=report.started_at - plan.lost_after - plan.every,
        until=report.started_at,
    )
    found = Inspection()
    for question in TRACES:
        if not found.facts and question.is_asked(inspector.plan):
            found = found.joined(await inspector.ask(question, subject, found))
    if may_be_quarantined(found) and QUARANTINE.is_asked(inspector.plan):
        found = found.joined(await inspector.ask(QUARANTINE, subject, found))
    return found


def needed(inspector: Inspector, report: Report, known: Inspection) -> Iterator[Question]:
    """Yield the questions that separate the causes of a failure, those about the application only where not known."""
    names = set(wanted(report))
    answered = {fact.name for fact in known.facts if not fact.subject}
    for question in QUESTIONS:
        useful = names & set(question.gives)
        is_known = question.about is not About.MAILBOX and useful <= answered
        if useful and not is_known and question.is_asked(inspector.plan):
            yield question


def show(
    inspector: Inspector,
    check: Check,
    report: Report,
    hints: CredentialHints | None,
    known: Inspection,
    *,
    began: float,
) -> tuple[Finding, ...]:
    """Return the causes of a failure that facts show."""
    values = report.findings[0].values if report.findings else {}
    view = view_of(known, check, report, hints, inspector.now())
    return proven(report, view, values, began=began)
