"""A refusal that must come: whether it did, and the finding where it did not.

Rules of this file:
- Pure, over a report that says what was expected.
- Only a reply of the server, or an answer of a mail API, in the expected phase and with one of the listed codes, is the
  refusal. Whatever else ends the run (no token, no connection, another reply, an earlier phase) is a failure with a
  cause of its own.
- Frequent refusals are penalized, whether they are expected or not.
"""

import re

from msgspec import structs

from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check, Expect, Phase, Provider
from smtpcheck.model.report import ApiAnswer, FaultKind, Finding, Reply, Report, Step

_HOUR = 3600.0


def shortest_interval(check: Check) -> float:
    """Return how far apart two runs must be at least, in seconds: farther where a refusal costs more."""
    at_data = check.expect is not None and check.expect.phase is Phase.DATA
    return 6 * _HOUR if at_data or (check.password and check.provider is Provider.MICROSOFT) else _HOUR


def cools_down_until(check: Check, last: Report) -> float | None:
    """Return until when a check that has met its refusal must not meet it again (Unix seconds), None for any other one.

    Half an interval, so that a start in between moves the runs and does not add to them.
    """
    if not last.refused_as_expected or last.expect != check.expect:
        return None
    return last.started_at + max(shortest_interval(check), check.interval / 2)


def matches(expect: Expect, reply: Reply) -> bool:
    """Return whether the reply is the refusal: its code is listed, and its enhanced code too where any are."""
    codes = (re.escape(pattern).replace("x", "[0-9]") for pattern in expect.codes)
    if not any(re.fullmatch(code, str(reply.code)) for code in codes):
        return False
    enhanced = (re.escape(pattern).replace(r"\*", "[0-9]+") for pattern in expect.enhanced)
    return not expect.enhanced or any(re.fullmatch(code, reply.enhanced) for code in enhanced)


def matches_answer(expect: Expect, answer: ApiAnswer) -> bool:
    """Return whether a mail API's answer is the refusal: its status is listed, and its error too where any are."""
    known = any(re.fullmatch(re.escape(code).replace("x", "[0-9]"), str(answer.status)) for code in expect.codes)
    return known and (not expect.api_errors or answer.error in expect.api_errors)


def is_met(report: Report) -> bool:
    """Return whether the run ended with the refusal that it had to meet."""
    expect, step = report.expect, report.failed_step
    if expect is None or step is None or step.phase is not expect.phase:
        return False
    reply, answer = report.failed_reply, report.failed_answer
    if step.fault is not None and step.fault.kind is FaultKind.REPLY and answer is not None:
        return matches_answer(expect, answer)
    return reply is not None and matches(expect, reply)


def unexpected_success(report: Report) -> Finding | None:
    """Return the finding of a run whose phase was to be refused and was not, None for any other run."""
    expect, step = report.expect, _step(report)
    if expect is None or step is None or step.fault is not None:
        return None
    last = step.exchanges[-1] if step.exchanges else None
    said = (last.reply or last.answer) if last else None
    seen = (f"phase {step.phase} was accepted: {said}", f"{expect} was expected")
    return Finding(Cause.UNEXPECTED_SUCCESS, 1.0, rule="expectation.unexpected_success", evidence=seen)


def phase_of(report: Report) -> Phase | None:
    """Return the phase that a run's outcome is about: the one that failed, or that was to be refused; else None."""
    if report.expect is not None and report.cause is Cause.UNEXPECTED_SUCCESS:
        return report.expect.phase
    step = report.failed_step
    return step.phase if step else None


def refusal_note(report: Report) -> str:
    """Return one line about a run that met its refusal; empty for any other run."""
    reply = report.refused_as_expected
    return f"refused as expected: {reply}" if reply else ""


def with_expectation(report: Report, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Return the findings of a failed run; the best one also says what was expected, if something was."""
    if report.expect is None or not findings or findings[0].cause is Cause.UNEXPECTED_SUCCESS:
        return findings
    best = findings[0]
    return (structs.replace(best, evidence=(*best.evidence, f"{report.expect} was expected")), *findings[1:])


def _step(report: Report) -> Step | None:
    expect = report.expect
    return next((step for step in report.steps if step.phase is expect.phase), None) if expect else None
