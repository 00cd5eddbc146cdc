"""What a returned or a delayed message means for the check's report.

Rules of this file:
- Pure. A bounce is critical, with a finding of its own and those of its reply; a notice of delay is a warning.
- The server's reply is that of the phase `delivery`, so that its codes are where those of any refusal are.
"""

from collections.abc import Iterator

from msgspec import structs

from smtpcheck.loopback.message_state import Message
from smtpcheck.loopback.returned import Returned
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Phase
from smtpcheck.model.report import Exchange, Fault, FaultKind, Finding, Outcome, Report, Step


def bounced(report: Report, message: Message, bounce: Returned) -> Report:
    """Return the report of a check whose message was returned."""
    finding = _finding(Cause.MAIL_BOUNCED, message, _evidence(message, bounce, "was returned"))
    reply = bounce.as_reply
    exchanges = (Exchange(f"message {message.sequence}", reply),) if reply is not None else ()
    fault = Fault(FaultKind.REPLY if reply is not None else FaultKind.NOT_DELIVERED, said(bounce))
    step = Step(Phase.DELIVERY, report.seconds, 0.0, exchanges, fault)
    return structs.replace(
        report,
        outcome=Outcome.CRITICAL,
        steps=(*report.steps, step),
        cause=finding.cause,
        findings=(finding, *_known(bounce)),
        warnings=(),
    )


def delay_warnings(message: Message) -> Iterator[Finding]:
    """Yield what a notice of delay means for a message that has not arrived."""
    if message.delay_notice is not None and message.under_way:
        evidence = _evidence(message, message.delay_notice, "is delayed")
        yield _finding(Cause.MAIL_LATE, message, evidence)
        yield from (finding for finding in _known(message.delay_notice)[:1] if finding.cause is not Cause.MAIL_LATE)


def delay_evidence(message: Message) -> tuple[str, ...]:
    """Return what a notice of delay says, for a message that is lost."""
    notice = message.delay_notice
    return () if notice is None else (f"{notice.by} had said that it is delayed: {said(notice)}",)


def said(bounce: Returned) -> str:
    """Return the reply, with the one that it quotes."""
    reply = bounce.reply or bounce.enhanced or "no reason was given"
    return f"{reply} (quoting: {bounce.wrapped})" if bounce.wrapped and bounce.wrapped not in reply else reply


def _evidence(message: Message, bounce: Returned, fate: str) -> tuple[str, ...]:
    to = f" to {bounce.recipient}" if bounce.recipient else ""
    lines = [f"message {message.sequence}{to} {fate}: {said(bounce)}", f"the server that says so is {bounce.by}"]
    return (*lines, f"its Message-ID is {message.message_id}")


def _known(bounce: Returned) -> tuple[Finding, ...]:
    return tuple(finding for finding in bounce.findings if finding.cause is not Cause.UNKNOWN)


def _finding(cause: Cause, message: Message, evidence: tuple[str, ...]) -> Finding:
    known = message.bounce or message.delay_notice
    values = known.findings[0].values if known is not None and known.findings else {}
    own = {"message_id": message.message_id, "check": message.check}
    return Finding(cause, 1.0, f"loopback.{cause}", evidence, {**values, **own})
