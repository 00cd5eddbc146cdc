"""What a run is known by elsewhere: in the log, in a trace, and at those who run the server and the issuer.

Rules of this file:
- Pure. No token and no secret: a report holds none. No address of a mailbox, and of a reply only its codes and its id.
- Names are stable: people search logs and traces by them.
"""

import re

from smtpcheck.model.report import Report

_EXCHANGE_MARK = re.compile(r"\[([\w.-]+ \d{4}-\d\d-\d\dT[\d:.]+Z [0-9A-F]{16})\]$", re.ASCII)
"""What Exchange Online ends a refusal with: its server, the time and the id of the session."""
_EXCHANGE_BANNER = re.compile(r"\[([0-9A-F]{16})\]$", re.ASCII)
"""What newer banners of Exchange Online end with: the id of the session."""
_GMAIL_MARK = re.compile(r"([\w.-]+) - gsmtp$", re.ASCII)


def facts_of(report: Report, trace_id: str = "") -> dict[str, object]:
    """Return what one line of the log says of a run, with the id of its trace if it has one."""
    facts: dict[str, object] = {"outcome": report.outcome.value, "seconds": round(report.seconds, 3)}
    step, reply, error = report.failed_step, report.failed_reply, report.token_error
    if report.cause:
        facts["cause"] = report.cause.value
    if step:
        facts["phase"] = step.phase.value
    if reply is not None:
        facts |= {"smtp_code": reply.code, "enhanced_code": reply.enhanced}
    if answer := report.failed_answer:
        facts |= {"http_status": answer.status, "api_error": answer.error}
    if report.refused_as_expected:
        facts["refused_as_expected"] = True
    if error:
        facts |= {"oauth_error": error.error, "oauth_codes": error.error_codes}
    if report.warnings:
        facts["warnings"] = [finding.cause.value for finding in report.warnings]
    if trace_id:
        facts["trace_id"] = trace_id
    return facts | correlation_of(report)


def correlation_of(report: Report) -> dict[str, str]:
    """Return the ids by which the issuer and the mail service find the run in logs of their own; those there are."""
    error = report.token_error
    ids = {
        "issuer_correlation_id": error.correlation_id if error else "",
        "issuer_trace_id": error.trace_id if error else "",
        "server_id": server_id(report),
    }
    return {name: value for name, value in ids.items() if value}


def server_id(report: Report) -> str:
    """Return the mail service's id of the conversation, the last and longest form that it sent; empty without one.

    Of a mail API the id of the request. Of Exchange Online `HOST TIME ID`, or the id alone that its banner ends with;
    of Gmail the id before `gsmtp`.
    """
    answers = [exchange.answer for step in report.steps for exchange in step.exchanges if exchange.answer]
    if answers:
        return answers[-1].request_id
    replies = [exchange.reply for step in report.steps for exchange in step.exchanges if exchange.reply]
    for form in (_EXCHANGE_MARK, _GMAIL_MARK, _EXCHANGE_BANNER):
        for reply in reversed(replies):
            if found := form.search(reply.text):
                return found[1]
    return ""
