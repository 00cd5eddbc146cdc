"""A report as JSON: what the API answers, and what `check --format json` prints.

Rules of this file:
- Names are never renamed and keep their meaning; new ones may come. Times are Unix seconds, durations seconds, what is
  not known is null.
- No token and no secret: a report holds none.
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from msgspec import structs

from smtpcheck.diagnosis.catalogue import Catalogue
from smtpcheck.diagnosis.explain import describe
from smtpcheck.model.report import Exchange, Fault, Finding, Report, Step, TlsFacts

Json = dict[str, Any]


def report_as_json(report: Report, catalogue: Catalogue) -> Json:
    """Return a report with its findings as text."""
    return {
        "check": report.check,
        "started_at": report.started_at,
        "seconds": report.seconds,
        "waited": report.waited,
        "outcome": report.outcome,
        "cause": report.cause,
        "steps": [_step(step) for step in report.steps],
        "findings": findings_as_json(report.findings, catalogue),
        "warnings": findings_as_json(report.warnings, catalogue),
        "token": structs.asdict(report.token) | {"claims": dict(report.token.claims)} if report.token else None,
        "token_error": structs.asdict(report.token_error) if report.token_error else None,
        "tls": _tls(report.tls) if report.tls else None,
        "attempts": [structs.asdict(attempt) | {"fault": _fault(attempt.fault)} for attempt in report.attempts],
        "mechanism": report.mechanism,
        "account": dict(report.account),
        "expect": asdict(report.expect) if report.expect else None,
        "refused_as_expected": str(report.refused_as_expected) if report.refused_as_expected else None,
    }


def findings_as_json(findings: Iterable[Finding], catalogue: Catalogue) -> list[Json]:
    """Return findings as text, best first."""
    return [
        {"cause": finding.cause, "rule": finding.rule, **asdict(describe(finding, catalogue))} for finding in findings
    ]


def _tls(tls: TlsFacts) -> Json:
    certificate = structs.asdict(tls.certificate) if tls.certificate else None
    return structs.asdict(tls) | {"certificate": certificate}


def _step(step: Step) -> Json:
    return {
        "phase": step.phase,
        "start": step.start,
        "seconds": step.seconds,
        "exchanges": [_exchange(exchange) for exchange in step.exchanges],
        "fault": _fault(step.fault),
    }


def _fault(fault: Fault | None) -> Json | None:
    return structs.asdict(fault) if fault else None


def _exchange(exchange: Exchange) -> Json:
    reply = structs.asdict(exchange.reply) if exchange.reply else None
    answer = {"answer": structs.asdict(exchange.answer)} if exchange.answer else {}
    return {"command": exchange.command, "reply": reply, "challenge": exchange.challenge} | answer
