"""Stages 6, 7 and 9: the connection, what the server takes, and how it refuses.

Rules of this file:
- Pure: it assesses what was measured.
- What EHLO does not offer belongs to the connection, although it stops the login.
"""

from collections.abc import Iterator, Sequence

from smtpcheck.cli.doctor import api_notes
from smtpcheck.cli.doctor.credential_stages import findings_about
from smtpcheck.cli.doctor.evidence import Evidence
from smtpcheck.cli.doctor.result import Examined, Note, Stage, examined, failed, hint, ok, skipped, warning
from smtpcheck.model import expected_refusal
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check, Depth, Phase, Provider, Security
from smtpcheck.model.report import Fault, FaultKind, Finding, Report, Step
from smtpcheck.model.timestamp import utc_text
from smtpcheck.smtp.connection import Conversation

_TEST_PHASES = (Phase.AUTH, Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.REQUEST)
_NOT_OFFERED = frozenset({FaultKind.MECHANISM_NOT_OFFERED, FaultKind.PLAINTEXT_REFUSED})
_UNSENT = frozenset({Cause.SEND_CAP_REACHED, Cause.STATE_NOT_KEPT})
"""Why a message that was asked for was not sent."""
_TAKEN = {
    Phase.AUTH: "the login as {check.mailbox} is accepted",
    Phase.MAIL: "the sender {check.sender} is accepted",
    Phase.RCPT: "the recipient {check.recipient} is accepted",
    Phase.DATA: "the message is accepted; this does not prove that it arrives",
    Phase.REQUEST: "{taken}",
}


def connection(evidence: Evidence) -> Examined:
    """Return stage 6."""
    report, check = evidence.report, evidence.check
    if report is None:
        return examined(Stage.CONNECTION, [skipped(f"depth {check.depth} opens no connection")])
    if report.cause is Cause.INTERNAL:
        return examined(Stage.CONNECTION, [failed("smtpcheck itself failed; see the log")], report.findings)
    notes = [*_reached(evidence), *_session(evidence)]
    broken = broken_step(report)
    if broken is not None:
        notes.append(failed(f"{broken.phase}: {_fault_text(broken)}"))
    return examined(Stage.CONNECTION, notes, report.findings if broken else ())


def broken_step(report: Report) -> Step | None:
    """Return the step of stage 6 that failed."""
    return next((step for step in _failures(report) if not _is_test(step)), None)


def refused_step(report: Report | None) -> Step | None:
    """Return the step of stage 7 that failed."""
    return next((step for step in _failures(report) if _is_test(step)), None) if report else None


def _failures(report: Report) -> Sequence[Step]:
    return [step for step in report.steps if step.fault is not None and step.phase is not Phase.TOKEN]


def _is_test(step: Step) -> bool:
    return step.phase in _TEST_PHASES and not (step.fault and step.fault.kind in _NOT_OFFERED)


def _fault_text(step: Step) -> str:
    fault = step.fault or Fault(FaultKind.OS)
    if fault.kind is FaultKind.REPLY and step.exchanges:
        last = step.exchanges[-1]
        return f"the server says {last.reply or last.answer}"
    return f"{fault.kind.replace('_', ' ')}{f' ({fault.detail})' if fault.detail else ''}"


def _reached(evidence: Evidence) -> Iterator[Note]:
    server = evidence.check.server
    for attempt in evidence.report.attempts if evidence.report else ():
        where = f"{attempt.address} (IPv{attempt.family}) port {server.port}"
        said = f"{where}: {attempt.fault.detail or attempt.fault.kind}" if attempt.fault else f"{where} answers"
        yield hint(said) if attempt.fault else ok(said)
    if (banner := evidence.last_reply(Phase.BANNER)) and banner.code == 220:
        yield ok(f"greeted as {banner.text.partition(' [')[0][:120]}")


def _session(evidence: Evidence) -> Iterator[Note]:
    report, server = evidence.report, evidence.check.server
    if report is None:
        return
    if server.security is Security.NONE:
        what = "the whole session" if evidence.credential is None else f"the {_secret_of(evidence.check)}"
        yield warning(f"no TLS: {what} crosses the network in plaintext")
    elif report.tls is not None:
        yield ok(f"{report.tls.version} with {report.tls.cipher}")
        certificate = report.tls.certificate
        if certificate is not None:
            names = ", ".join(certificate.names[:4]) or certificate.subject
            said = f"certificate of {names}, issued by {certificate.issuer}, until {utc_text(certificate.not_after)}"
            yield ok(said) if certificate.verified else failed(f"unverified {said}")
    if evidence.ehlo:
        offered = " ".join(evidence.mechanisms) or "no mechanism"
        yield ok(f"EHLO offers AUTH {offered}") if evidence.mechanisms else warning("EHLO offers no AUTH")
        yield from (ok(f"it accepts messages up to {size} octets") for size in _sizes(evidence.ehlo))
    if evidence.check.provider is Provider.MICROSOFT and server.host.endswith(".mail.protection.outlook.com"):
        yield warning("this host receives mail from outside; clients log in at smtp.office365.com")


def _secret_of(check: Check) -> str:
    return "password" if check.password else "token"


def _sizes(ehlo: Sequence[str]) -> Iterator[int]:
    """Yield the message size that EHLO declares (RFC 1870); 0 means no limit."""
    for line in ehlo:
        keyword, _, size = line.partition(" ")
        if keyword.upper() == "SIZE" and size.isascii() and size.isdigit() and int(size):
            yield int(size)


# -- stage 7 ----------------------------------------------------------------------------------------------------------


def smtp_test(evidence: Evidence, further: Sequence[Note] = (), excluded: tuple[Cause, ...] = ()) -> Examined:
    """Return stage 7; `further` and `excluded` are what further tests showed of an ambiguous refusal."""
    reason = _why_untested(evidence)
    if reason or evidence.report is None:
        return examined(Stage.TEST, [skipped(reason)])
    report, check = evidence.report, evidence.check
    to_be_refused = report.expect.phase if report.expect else None
    passed = dict.fromkeys(step.phase for step in report.steps if step.phase in _TAKEN and step.fault is None)
    refused_phases = {to_be_refused, *(step.phase for step in report.steps if step.fault is not None)}
    notes = [
        ok(_TAKEN[phase].format(check=check, taken=api_notes.taken(check)))
        for phase in passed
        if phase not in refused_phases
    ]
    if report.cause is Cause.UNEXPECTED_SUCCESS:
        return examined(Stage.TEST, [*notes, failed("; ".join(report.findings[0].evidence))], report.findings)
    refused = refused_step(report)
    if refused is not None and report.refused_as_expected:
        notes.append(ok(f"{refused.phase}: {expected_refusal.refusal_note(report)}"))
    elif refused is not None:
        notes += [failed(f"{refused.phase}: {_fault_text(refused)}"), *further]
        return Examined(Stage.TEST, tuple(notes), _ordered(report.findings, excluded), excluded)
    if report.cause in _UNSENT:
        return examined(Stage.TEST, [*notes, warning("; ".join(report.findings[0].evidence))], report.findings[:1])
    warned = findings_about(evidence, Cause.SLOW, Cause.API_ACCOUNT_IN_SANDBOX, Cause.API_ACCOUNT_UNDER_REVIEW)
    notes += [warning("; ".join(finding.evidence)) for finding in warned]
    if check.depth < Depth.SEND and report.expect is None:
        notes.append(hint(_untested(check)))
    return examined(Stage.TEST, notes, warned)


def _why_untested(evidence: Evidence) -> str:
    if evidence.report is None:
        return f"depth {evidence.check.depth} opens no connection"
    if broken_step(evidence.report) is not None or evidence.report.cause is Cause.INTERNAL:
        return "the connection did not get that far"
    if evidence.check.depth < Depth.AUTH:
        return f"depth {evidence.check.depth} does not log in"
    return "" if evidence.can_go_on else f"there is no {_secret_of(evidence.check)} to log in with"


def _untested(check: Check) -> str:
    if check.expect is not None:
        return f"{check.expect} is expected, and only --send gets that far"
    if check.provider is Provider.MICROSOFT and check.via is None:
        return (
            f"tested up to depth {check.depth}; Exchange Online checks the right to the mailbox and to the sender only "
            "after a whole message: --send tests that"
        )
    return f"tested up to depth {check.depth}; --send sends a message"


def _ordered(findings: tuple[Finding, ...], excluded: tuple[Cause, ...]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: finding.cause in excluded))


# -- stage 9 ----------------------------------------------------------------------------------------------------------


def errors(evidence: Evidence, conversation: Conversation | None, reason: str) -> Examined:
    """Return stage 9: `talk` is a login with a deliberately wrong token; without one, `reason` says why."""
    if conversation is None:
        return examined(Stage.ERRORS, [skipped(reason)])
    step = next((step for step in conversation.steps if step.phase is Phase.AUTH), None)
    if step is None:
        return examined(Stage.ERRORS, [warning("the second connection did not reach the login")])
    if step.fault is None:
        evidence_text = "the server accepted a token that no issuer signed"
        finding = Finding(Cause.UNEXPECTED_SUCCESS, 1.0, "doctor.unexpected_success", (evidence_text,))
        return examined(Stage.ERRORS, [failed(f"{evidence_text}: it does not verify tokens")], (finding,))
    return examined(Stage.ERRORS, _refusal(evidence, step))


def _refusal(evidence: Evidence, step: Step) -> Iterator[Note]:
    reply = step.exchanges[-1].reply if step.exchanges else None
    if reply is None or not step.fault or step.fault.kind is not FaultKind.REPLY:
        yield warning(f"a wrong token gets no proper reply: {_fault_text(step)}")
        return
    if reply.code // 100 == 5:
        yield ok(f"a wrong token is refused: {reply}")
    else:
        yield warning(f"a wrong token is refused only temporarily, so clients keep retrying: {reply}")
    challenges = [exchange.challenge for exchange in step.exchanges if exchange.challenge]
    if challenges:
        yield ok(f"the refusal comes with a challenge that clients must answer: {challenges[-1][:200]}")
    else:
        yield hint("the refusal comes without a 334 challenge; clients must be ready for either")
    if evidence.check.provider is Provider.MICROSOFT:
        yield hint("repeated refusals are penalized: after a 5xx stop and fix it, never retry in a loop")
