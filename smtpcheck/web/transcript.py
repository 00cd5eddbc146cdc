"""One run as plain text, step by step: what `/probe?debug=true` answers.

Rules of this file:
- A report holds no token and no secret, and neither does this text: a credential that was sent appears as its size.
- What third parties wrote is shown with its control characters escaped, line ends too: each line here is one of ours.
"""

from collections.abc import Iterator

from smtpcheck.agent.on_demand import Probed
from smtpcheck.diagnosis.catalogue import Catalogue
from smtpcheck.diagnosis.explain import certainty_words, describe
from smtpcheck.model.printable import printable
from smtpcheck.model.report import Exchange, Finding, Report, Step, TokenError, TokenFacts
from smtpcheck.model.timestamp import rfc3339


def transcript(probed: Probed, catalogue: Catalogue, metrics: str) -> str:
    """Return what was done, what came out, and the metrics that the same run gives."""
    check, report = probed.check, probed.report
    lines = [f"check {check.name}: {check.mailbox} at {check.server.host}:{check.server.port}, depth {check.depth}"]
    if probed.resumes_at is not None:
        why = (
            f"refused {probed.breaker.refusals} times"
            if probed.resumes_at == probed.breaker.until
            else "run a moment ago"
        )
        lines.append(f"not run: {why}; the next run may come at {rfc3339(probed.resumes_at)}")
    if report is not None:
        lines += _run(report, catalogue)
    return "\n".join((*(printable(line) for line in lines), "", "metrics:", metrics))


def _run(report: Report, catalogue: Catalogue) -> Iterator[str]:
    yield f"run {rfc3339(report.started_at)}: {report.outcome} after {report.seconds:.3f} s"
    if report.waited:
        yield f"waited {report.waited:.3f} s for a slot"
    for step in report.steps:
        yield from _step(step, as_expected=report.refused_as_expected is not None)
    if report.token is not None:
        yield _token(report.token)
    if report.token_error is not None:
        yield from _token_error(report.token_error)
    if report.tls is not None:
        certificate = report.tls.certificate
        ends = f", certificate until {rfc3339(certificate.not_after)}" if certificate else ""
        yield f"tls {report.tls.version} {report.tls.cipher}{ends}"
    for finding in (*report.findings, *report.warnings):
        yield from _finding(finding, catalogue)


def _step(step: Step, *, as_expected: bool) -> Iterator[str]:
    fault = f" FAILED: {step.fault.kind} {step.fault.detail}".rstrip() if step.fault else ""
    fault = " refused as expected" if step.fault and as_expected else fault
    yield f"{step.start:8.3f} s {step.phase} {step.seconds:.3f} s{fault}"
    for exchange in step.exchanges:
        yield from _exchange(exchange)


def _exchange(exchange: Exchange) -> Iterator[str]:
    if exchange.command:
        yield f"    > {exchange.command}"
    if exchange.answer is not None:
        yield f"    < {exchange.answer}"
        yield from ([f"    < request id {exchange.answer.request_id}"] if exchange.answer.request_id else [])
    elif exchange.reply is None:
        yield "    no answer"
    else:
        for text in exchange.reply.lines:
            yield f"    < {exchange.reply.code} {exchange.reply.enhanced} ".rstrip() + f" {text}".rstrip()
    if exchange.challenge:
        yield f"    < challenge {exchange.challenge}"


def _token(token: TokenFacts) -> str:
    ends = f", until {rfc3339(token.expires_at)}" if token.expires_at is not None else ""
    source = "from memory" if token.from_cache else "from the issuer"
    return f"token {source}: {token.form}, {token.size} characters, fingerprint {token.fingerprint}{ends}"


def _token_error(error: TokenError) -> Iterator[str]:
    status = f" {error.http_status}" if error.http_status else ""
    yield f"issuer {error.endpoint}:{status} {error.error or error.kind} {error.description}".rstrip()
    if error.correlation_id:
        yield f"issuer's correlation id {error.correlation_id}"


def _finding(finding: Finding, catalogue: Catalogue) -> Iterator[str]:
    explanation = describe(finding, catalogue)
    yield f"finding {finding.cause} ({certainty_words(finding.certainty)}): {explanation.summary}"
    yield from (f"    evidence: {sentence}" for sentence in explanation.evidence)
    yield from (f"    {number}. {step}" for number, step in enumerate(explanation.remedy, 1))
