"""What a ticket needs to say of a failure, as plain text to copy.

Rules of this file:
- Pure. It says what the page says and no more: no token and no secret, for a report holds none.
- What third parties wrote is one line each, with its control characters escaped.
"""

from collections.abc import Iterator

from smtpcheck.diagnosis.catalogue import Catalogue
from smtpcheck.diagnosis.explain import certainty_words, describe
from smtpcheck.model.check import Check
from smtpcheck.model.printable import printable
from smtpcheck.model.report import Finding, Report
from smtpcheck.model.timestamp import utc_text_with_seconds
from smtpcheck.web.formatting import long_duration


def ticket(check: Check, report: Report, since: float, catalogue: Catalogue) -> str:
    """Return the ticket of a check whose last report has a problem, that it has had `since` then (Unix seconds)."""
    return "\n".join(map(printable, _lines(check, report, since, catalogue))) + "\n"


def _lines(check: Check, report: Report, since: float, catalogue: Catalogue) -> Iterator[str]:
    yield f"Check {check.name}: {report.outcome}"
    lasted = long_duration(max(report.started_at - since, 0.0))
    yield f"Since {utc_text_with_seconds(since)}, for {lasted}; last run {utc_text_with_seconds(report.started_at)}"
    server = f"{check.server.host}:{check.server.port}"
    yield f"Mailbox {check.mailbox or '-'}, server {server}, credential {check.credential or '-'}"
    if (step := report.failed_step) is not None:
        yield f"Failed in phase {step.phase}"
    if report.failed_reply:
        yield f"Reply: {report.failed_reply}"
    if (error := report.token_error) is not None:
        yield f"Issuer: {error.error or error.kind} {error.description}".rstrip()
        if error.correlation_id:
            yield f"Correlation id: {error.correlation_id}"
    findings = report.shown
    for number, finding in enumerate(findings[:3]):
        yield from _finding(finding, catalogue, is_first=number == 0)


def _finding(finding: Finding, catalogue: Catalogue, *, is_first: bool) -> Iterator[str]:
    text = describe(finding, catalogue)
    certainty = "" if finding.cause == "unknown" else f", {certainty_words(finding.certainty)}"
    if not is_first:
        yield f"Or: {text.summary} ({finding.cause}{certainty})"
        return
    yield ""
    yield f"Cause: {text.summary} ({finding.cause}{certainty})"
    for line in text.evidence:
        yield f"Evidence: {line}"
    for number, step in enumerate(text.remedy, 1):
        yield f"Fix {number}: {step}"
    if text.reference:
        yield f"See: {text.reference}"
