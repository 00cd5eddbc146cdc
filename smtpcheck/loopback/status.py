"""What the loopback says of its check, merged into the check's own report.

Rules of this file:
- Pure. The check's own failure goes before: mail cannot arrive where no login succeeds.
- The newest message whose end is known represents all: one that arrives resolves what an earlier one said, and so does
  a lost one that turns up.
- That the server refused the message is merged only where the check does not come so far itself: a passing fault of
  the network on the route of one message is not kept alive until the next.
- A finder that fails says nothing of the mail; it is warned of by its own cause.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec import structs

from smtpcheck.loopback.bounce_outcome import bounced, delay_evidence, delay_warnings
from smtpcheck.loopback.finder import FinderError, FinderStep, FolderKind
from smtpcheck.loopback.message_state import CONCLUDED, Message, Record, Stage
from smtpcheck.loopback.plan import Loopback
from smtpcheck.mail.junk import Why
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Phase
from smtpcheck.model.report import Fault, FaultKind, Finding, Outcome, Report, Step
from smtpcheck.model.timestamp import span_text


@dataclass(frozen=True, slots=True)
class FinderState:
    """What is known of the finder in one mailbox."""

    at: float
    """When the last search ended (Unix seconds)."""
    error: FinderError | None = None
    """Why it failed; None if it succeeded."""
    failures: int = 0
    """How many searches in a row have failed."""
    since: float | None = None
    """When the first of them ended."""


@dataclass(frozen=True, slots=True)
class LoopbackStatus:
    """All that is known of one check's loopback."""

    plan: Loopback
    record: Record
    finder: FinderState | None = None
    """None before the mailbox was looked into, or without a finder."""
    next_send: float | None = None
    """When the next message is due (Unix seconds)."""
    kept: bool = True
    """Whether the intent of the last message could be written; without, it was not sent."""
    bounces: FinderState | None = None
    """What is known of the search for bounces; None before the first, or without one."""

    @property
    def concluded(self) -> Message | None:
        """Return the newest message of which it is known what became of it.

        Without a finder one that was not returned within `lost_after` has arrived, as far as anybody says.
        """
        if self.plan.find is not None:
            return self.record.concluded
        stayed = (each for each in reversed(self.record.messages) if _is_concluded(each, self.plan))
        return next(stayed, None)


def success(loopback_status: LoopbackStatus) -> bool | None:
    """Return whether the last message arrived, wherever; None while that is known of none.

    Without a finder it is enough that the server took it.
    """
    record = loopback_status.record
    if _failed_sending(record) is not None:
        return False
    last = record.messages[-1] if record.messages else None
    if loopback_status.plan.find is None:
        if last is None or last.stage is Stage.INTENDED:
            return None
        concluded = loopback_status.concluded
        return last.stage is Stage.ACCEPTED and (concluded is None or concluded.stage is not Stage.BOUNCED)
    concluded = loopback_status.concluded
    return None if concluded is None else concluded.stage is Stage.DELIVERED


def _is_concluded(message: Message, plan: Loopback) -> bool:
    stayed = message.missed_at is not None and message.missed_at - message.begun_at >= plan.lost_after
    return message.stage in CONCLUDED or (message.stage is Stage.ACCEPTED and stayed)


def merged(report: Report, loopback_status: LoopbackStatus, now: float) -> Report:
    """Return the check's report with what the loopback says besides, at Unix time `now`."""
    record = loopback_status.record
    if report.outcome not in (Outcome.OK, Outcome.WARNING):
        return report
    if (refusal := _refusal(report, record)) is not None:
        return refusal
    concluded = loopback_status.concluded
    if concluded is not None and concluded.stage is Stage.LOST:
        return _lost(report, concluded)
    if concluded is not None and concluded.stage is Stage.BOUNCED and concluded.bounce is not None:
        return bounced(report, concluded, concluded.bounce)
    warnings = tuple(_warnings(loopback_status, now))
    if not warnings:
        return report
    return structs.replace(report, outcome=Outcome.WARNING, warnings=(*report.warnings, *warnings))


def _refusal(report: Report, record: Record) -> Report | None:
    """Return the report of a check whose last message was refused in a phase that the check does not reach itself."""
    sending = _failed_sending(record)
    step = sending.failed_step if sending is not None else None
    if sending is None or step is None or step.phase in {Phase.TOKEN, *(each.phase for each in report.steps)}:
        return None
    return structs.replace(
        report,
        outcome=Outcome.CRITICAL,
        steps=(*report.steps, step),
        cause=sending.cause,
        findings=sending.findings,
        warnings=(),
    )


def _failed_sending(record: Record) -> Report | None:
    """Return the last run that was to send if it failed; one that left a message uncertain did not."""
    sending, last = record.sending, record.messages[-1] if record.messages else None
    if sending is None or sending.outcome is not Outcome.CRITICAL:
        return None
    return None if last is not None and last.uncertain and last.intended_at >= sending.started_at else sending


def _lost(report: Report, message: Message) -> Report:
    waited = (message.lost_at or message.begun_at) - message.begun_at
    detail = f"not found within {waited:.0f} s"
    finding = _finding(
        Cause.MAIL_LOST,
        f"message {message.sequence} was accepted, and {detail}",
        f"its Message-ID is {_known_id(message)}",
        *([f"the server said: {message.receipt.reply}"] if message.receipt else []),
        *delay_evidence(message),
        message_id=_known_id(message),
    )
    step = Step(Phase.DELIVERY, report.seconds, 0.0, fault=Fault(FaultKind.NOT_DELIVERED, detail))
    return structs.replace(
        report,
        outcome=Outcome.CRITICAL,
        steps=(*report.steps, step),
        cause=finding.cause,
        findings=(finding,),
        warnings=(),
    )


def _warnings(loopback_status: LoopbackStatus, now: float) -> Iterator[Finding]:
    plan, record, finder = loopback_status.plan, loopback_status.record, loopback_status.finder
    last = record.messages[-1] if record.messages else None
    if not loopback_status.kept:
        yield _finding(Cause.STATE_NOT_KEPT, "no message was sent in the last slot: its intent could not be written")
    if last is not None and last.stage is Stage.UNCERTAIN:
        seen = f"the connection was lost when message {last.sequence} had been sent, before the server answered"
        yield _finding(Cause.MAIL_UNCERTAIN, seen, f"its Message-ID is {last.message_id}", message_id=last.message_id)
    concluded = loopback_status.concluded
    if concluded is not None and concluded.stage is Stage.DELIVERED:
        if concluded.kind is FolderKind.JUNK:
            yield _in_junk(concluded, plan)
        if (outbound := concluded.rated_outbound) is not None:
            seen = f"message {concluded.sequence} carries the stamp of the sender's tenant: {outbound.said}"
            where = f"it was found in the folder {concluded.folder}"
            yield _finding(Cause.RATED_OUTBOUND_SPAM, seen, where, sender=plan.sender)
        if concluded.late:
            took = f"message {concluded.sequence} took {concluded.delivery_seconds:.0f} s"
            yield _finding(
                Cause.MAIL_LATE,
                f"{took}, more than {plan.warn_after:g} s",
                *_after_lost(concluded),
                *delay_evidence(concluded),
            )
    delayed = next((each for each in reversed(record.messages) if each.delay_notice and each.under_way), None)
    if delayed is not None:
        yield from delay_warnings(delayed)
    overdue = next((each for each in record.messages if plan.find and _is_overdue(each, plan, now)), None)
    if overdue is not None and delayed is None and not (concluded is not None and concluded.late):
        seen = f"message {overdue.sequence} has not been found for {now - overdue.begun_at:.0f} s"
        yield _finding(Cause.MAIL_LATE, f"{seen}, more than {plan.warn_after:g} s")
    if finder is not None and finder.error is not None:
        yield finder_failed(finder.error, finder.failures, plan.find.mailbox if plan.find else "")
    bounces = loopback_status.bounces
    if plan.bounces_required and bounces is not None and bounces.error is not None and plan.bounces != plan.find:
        yield finder_failed(bounces.error, bounces.failures, plan.bounces.mailbox if plan.bounces else "")


def _in_junk(message: Message, plan: Loopback) -> Finding:
    """Return the finding on a message in Junk, with what the receiver says of it and what others claim."""
    hints = [verdict for verdict in message.verdicts if not verdict.believed and verdict.why is not Why.OUTBOUND]
    results = ", ".join(f"{method}={result}" for method, result in message.authentication)
    said = [str(verdict) for verdict in message.verdicts if verdict.believed]
    said += [f"it carries a verdict that anybody can have written: {verdict}" for verdict in hints]
    if results:
        said.append(f"the receiver's results: {results}")
    values = {
        "provider": "microsoft" if plan.exchange_online else "other",
        "why": message.junk_reason,
        "recipient": plan.recipient,
        "sender": plan.sender,
        "sender_domain": plan.sender.rpartition("@")[2],
    }
    seen = f"message {message.sequence} was in the folder {message.folder}"
    return _finding(Cause.MAIL_IN_JUNK, seen, *said, *message.contradictions, **values)


def _after_lost(message: Message) -> tuple[str, ...]:
    """Return how long a message had been considered lost when it was found."""
    if message.lost_at is None or message.seen_at is None:
        return ()
    return (f"it was found {span_text(max(0.0, message.seen_at - message.lost_at))} after it was considered lost",)


def _is_overdue(message: Message, plan: Loopback, now: float) -> bool:
    """Return whether an accepted message is neither found nor lost and a search has shown that it is late."""
    missed = message.missed_at is not None and message.missed_at - message.begun_at > plan.warn_after
    return missed and message.stage is Stage.ACCEPTED and now - message.begun_at > plan.warn_after


def finder_failed(error: FinderError, failures: int, mailbox: str) -> Finding:
    """Return the finding on a mailbox whose search has failed so many times in a row, the last time with this error."""
    if error.step is FinderStep.AGENT:
        return _finding(Cause.AGENT_OUT_OF_RESOURCES, f"the mailbox could not be searched: {error.detail}")
    failed = "what was found could not be deleted" if error.step is FinderStep.DELETE else f"step {error.step} failed"
    said = f"{failed}: {error.detail}" + (f" ({error.code})" if error.code else "")
    times = f"it has failed {failures} consecutive times" if failures > 1 else "it failed once"
    return _finding(Cause.FINDER_FAILED, said, times, mailbox=mailbox)


def _known_id(message: Message) -> str:
    return (message.receipt.message_id if message.receipt else "") or message.message_id


def _finding(cause: Cause, *evidence: str, **values: str) -> Finding:
    return Finding(cause, 1.0, rule=f"loopback.{cause}", evidence=evidence, values=values)
