"""The outcome of a run: what it reached, what will break it, and whether the agent itself was the fault.

Rules of this file:
- Pure: it reads what was measured and decides; it measures nothing.
- A check reaches its depth or it does not. Not reached is critical; reached with something that will break it is a
  warning; the agent's own fault, or an agent without network, is unknown and says nothing of the server.
- Where a refusal is expected, it is what must be reached; a success in its place is critical.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

from msgspec import structs

from smtpcheck.check.connectivity import Try
from smtpcheck.model import expected_refusal
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check, Phase, Warn
from smtpcheck.model.report import (
    CertificateFacts,
    Fault,
    FaultKind,
    Finding,
    Outcome,
    Report,
    Step,
    TokenError,
    TokenErrorKind,
)
from smtpcheck.model.timestamp import utc_text, utc_text_with_seconds

_DAY = 86400.0
_CONNECTING_PHASES = frozenset({Phase.DNS, Phase.CONNECT})
_REACHING_PHASES = _CONNECTING_PHASES | {Phase.TOKEN, Phase.REQUEST}
"""Those that say whether a host was reached."""
_PHASES_BEFORE_LOGIN = _CONNECTING_PHASES | {Phase.TLS}
"""Without those in which the server may refuse by a reply."""
_SHORTAGES = frozenset({TokenErrorKind.OUT_OF_RESOURCES, TokenErrorKind.NO_SLOT})
_OFFLINE_KINDS = frozenset({TokenErrorKind.NAME_NOT_FOUND, TokenErrorKind.CONNECT, TokenErrorKind.PROXY})
_UNREACHED_ISSUER = _OFFLINE_KINDS | {TokenErrorKind.REFUSED, TokenErrorKind.TLS}
"""What ends the way to an issuer before it sees a request."""
_ANSWERS = frozenset({FaultKind.REFUSED, FaultKind.RESET})
"""Faults of phase connect that prove that there is a network."""
_ABANDONED = frozenset({FaultKind.TIMEOUT, FaultKind.CLOSED, FaultKind.RESET})
"""How a conversation ends whose other side was kept waiting."""
_ABANDONED_TOKENS = frozenset({TokenErrorKind.TIMEOUT, TokenErrorKind.CONNECT})
_SERVICE_NOT_AVAILABLE = 421
"""RFC 5321 4.5.3.2: what a server says that has waited too long."""


class CredentialExpiries(Protocol):
    """When what a credential consists of expires (Unix seconds); None where that is not known."""

    @property
    def client_secret_expires_at(self) -> float | None: ...  # noqa: D102

    @property
    def client_certificate_expires_at(self) -> float | None: ...  # noqa: D102

    @property
    def refresh_token_expires_at(self) -> float | None: ...  # noqa: D102


def with_outcome(report: Report, findings: tuple[Finding, ...], warnings: tuple[Finding, ...]) -> Report:
    """Return the report with its outcome, its cause and what goes with them.

    `findings` say why a step failed (best first, empty if none did), `warnings` what will break a run that succeeded.
    """
    if has_failed(report):
        findings = expected_refusal.with_expectation(report, findings)
        outcome = Outcome.UNKNOWN if is_own_shortage(report) else Outcome.CRITICAL
        return structs.replace(report, outcome=outcome, cause=findings[0].cause, findings=findings)
    if warnings:
        return structs.replace(report, outcome=Outcome.WARNING, warnings=warnings)
    return report if report.outcome is Outcome.OK else structs.replace(report, outcome=Outcome.OK)


def has_failed(report: Report) -> bool:
    """Return whether a step failed, and not by the refusal that was expected; or whether that did not come."""
    if expected_refusal.unexpected_success(report) is not None:
        return True
    return report.failed_step is not None and not expected_refusal.is_met(report)


def is_own_shortage(report: Report) -> bool:
    """Return whether the run failed because this machine lacked something: it says nothing of the server."""
    step = report.failed_step
    return step is not None and _ran_short(step, report.token_error)


def _ran_short(step: Step, error: TokenError | None) -> bool:
    if step.phase is Phase.TOKEN:
        return error is not None and error.kind in _SHORTAGES
    return step.fault is not None and step.fault.kind is FaultKind.OUT_OF_RESOURCES


def expiries(check: Check, report: Report, credential: CredentialExpiries | None, now: float) -> Iterable[Finding]:
    """Yield a warning for what expires sooner than `warn` allows, a certificate many refuse, and a slow run."""
    certificate = report.tls.certificate if report.tls else None
    dates = [(Cause.CERTIFICATE_EXPIRING, certificate.not_after if certificate else None, check.warn.certificate)]
    if credential is not None:
        dates += _credential_expiries(credential, check.warn)
    for cause, end, margin in dates:
        if end is not None and end - now < margin:
            verb = "expired" if end < now else "expires"
            yield _warning(cause, f"{_SUBJECT[cause]} {verb} {utc_text(end)}, {_remaining(end - now)}")
    if certificate is not None and _has_only_a_common_name(certificate):
        yield _warning(
            Cause.CERTIFICATE_NAME_IN_CN_ONLY,
            f"the server's certificate ({certificate.subject}) has no subject alternative name",
        )
    if report.seconds > check.warn.duration:
        slowest = max(report.steps, key=lambda step: step.seconds)
        yield _warning(
            Cause.SLOW,
            f"the run took {report.seconds:.1f} s, more than {check.warn.duration:g} s",
            f"the slowest phase was {slowest.phase} with {slowest.seconds:.1f} s",
        )


def _has_only_a_common_name(certificate: CertificateFacts) -> bool:
    """Return whether a certificate that OpenSSL accepted names its host in the common name alone (RFC 9525 6.3)."""
    return certificate.verified and not certificate.names and not certificate.unreadable


def fresh_token_failing(since: float, root: Finding) -> tuple[Finding, ...]:
    """Return the warnings for a token that cannot be renewed while the one at hand still holds.

    `since` is when the first attempt in a row failed, `root` the finding that explains the latest.
    """
    seen = f"a fresh token has been refused since {utc_text(since)}; the cached one still works"
    return (_warning(Cause.FRESH_TOKEN_FAILING, seen, *root.evidence), root)


def token_was_old(report: Report) -> Finding:
    """Return the warning for a run that a mail API refused until it had a fresh token."""
    refused = next((each.answer for step in report.steps for each in step.exchanges if each.answer), None)
    return _warning(
        Cause.TOKEN_OLDER_THAN_CONSENT,
        f"the token in memory was refused ({refused}), and a fresh one accepted",
        "an application that keeps its token is refused until it expires",
    )


def account_warnings(check: Check, report: Report) -> Iterator[Finding]:
    """Yield a warning for what a mail API says of the account and that still lets it send."""
    account, values = report.account, {"server": check.via.api if check.via else ""}
    if account.get("production_access") == 0.0:
        seen = "the account has no production access: it sends to verified recipients alone"
        yield structs.replace(_warning(Cause.API_ACCOUNT_IN_SANDBOX, seen), values=values)
    if account.get("enforcement_status") == "PROBATION":
        seen = "the account's enforcement status is PROBATION"
        yield structs.replace(_warning(Cause.API_ACCOUNT_UNDER_REVIEW, seen), values=values)


def sent_by_proof(report: Report) -> Finding | None:
    """Return the finding of a run whose proof, which must send nothing, was taken for a message; else None."""
    step = report.failed_step
    if step is None or step.fault is None or step.fault.kind is not FaultKind.ACCEPTED:
        return None
    seen = (f"{step.fault.detail}: {report.failed_answer}", "the check is stopped until it is run on demand")
    return _warning(Cause.UNEXPECTED_SUCCESS, *seen)


def must_stop(report: Report) -> bool:
    """Return whether the check must not run again by itself: what must send nothing sent something."""
    return sent_by_proof(report) is not None


def without_connectivity(report: Report) -> Report:
    """Return the report of a run that failed only because the agent itself has no network."""
    seen = "no host that was tried within the longest interval answered, neither servers nor issuers"
    return _unknown(report, _warning(Cause.AGENT_CUT_OFF, seen))


def kept_waiting(report: Report) -> bool:
    """Return whether the run failed as one does whose agent stood still: out of time, or left by the other side."""
    step = report.failed_step
    if step is None or step.fault is None:
        return False
    if step.phase is Phase.TOKEN:
        return report.token_error is not None and report.token_error.kind in _ABANDONED_TOKENS
    reply = step.exchanges[-1].reply if step.exchanges else None
    left = reply is not None and reply.code == _SERVICE_NOT_AVAILABLE
    return step.fault.kind in _ABANDONED or (step.fault.kind is FaultKind.REPLY and left)


def stalled(report: Report, seconds: float) -> Report:
    """Return the report of a run that failed while the agent itself stood still for so many seconds."""
    return _unknown(report, _warning(Cause.AGENT_STALLED, f"the agent stood still for {seconds:.1f} s of the run"))


def overloaded(report: Report, *evidence: str) -> Report:
    """Return the report of a run that had no slot for its connection in time."""
    return _unknown(report, _warning(Cause.AGENT_OVERLOADED, *evidence))


def without_message(report: Report) -> Report:
    """Return the report of a run that sent no message because the agent could not have stored that it did."""
    if report.outcome not in (Outcome.OK, Outcome.WARNING):
        return report
    finding = _warning(Cause.STATE_NOT_KEPT, "the check went as far as it does without a message, and sent none")
    return structs.replace(report, outcome=Outcome.WARNING, warnings=(*report.warnings, finding))


def capped(report: Report, until: float) -> Report:
    """Return the report of a run that sent no message, because a cap leaves no room before Unix time `until`."""
    if report.outcome not in (Outcome.OK, Outcome.WARNING):
        return report
    next_one = f"the next one may be sent at {utc_text_with_seconds(until)}"
    finding = structs.replace(_warning(Cause.SEND_CAP_REACHED, next_one), values={"check": report.check})
    return _unknown(report, finding)


def uncounted(report: Report, reason: str) -> Report:
    """Return the report of a run by hand that sent no message, because it could not be counted for the reason."""
    if report.outcome not in (Outcome.OK, Outcome.WARNING):
        return report
    return _unknown(report, _warning(Cause.STATE_NOT_KEPT, "no message was sent: it could not be counted", reason))


def _unknown(report: Report, finding: Finding) -> Report:
    return structs.replace(
        report, outcome=Outcome.UNKNOWN, cause=finding.cause, findings=(finding, *report.findings), warnings=()
    )


def without_stall(check: Check, report: Report, seconds: float) -> Report:
    """Return the report of a run that reached its depth, not called slow for the seconds that the agent stood still."""
    if report.outcome is not Outcome.WARNING or report.seconds - seconds > check.warn.duration:
        return report
    warnings = tuple(finding for finding in report.warnings if finding.cause is not Cause.SLOW)
    return structs.replace(report, outcome=Outcome.WARNING if warnings else Outcome.OK, warnings=warnings)


def failed_to_reach(report: Report) -> bool:
    """Return whether the run failed without an answer, in phase dns or connect, or on the way to the issuer."""
    step = report.failed_step
    if step is None or is_own_shortage(report):
        return False
    if step.phase is Phase.TOKEN:
        return report.token_error is not None and report.token_error.kind in _OFFLINE_KINDS
    return step.phase in _CONNECTING_PHASES and not _answered(step)


def age_of_token_error(report: Report) -> float:
    """Return how many seconds before the run the failure was seen that it shows; 0 for one of its own."""
    error = report.token_error
    return 0.0 if error is None else max(report.started_at - error.at, 0.0)


def ended_before_login(report: Report) -> bool:
    """Return whether the run failed before any server saw a login: it harmed nobody."""
    step = report.failed_step
    if step is None or report.outcome not in (Outcome.CRITICAL, Outcome.UNKNOWN):
        return False
    if step.phase is Phase.TOKEN:
        return report.token_error is not None and report.token_error.kind in _UNREACHED_ISSUER
    return step.phase in _PHASES_BEFORE_LOGIN


def _answered(step: Step) -> bool:
    return step.fault is None or step.fault.kind in _ANSWERS


def hosts_tried(check: Check, report: Report, issuer: str) -> Iterable[Try]:
    """Yield each try to reach a host; `issuer` is the host of the check's issuer."""
    error = report.token_error
    for step in report.steps:
        if step.phase not in _REACHING_PHASES or _ran_short(step, error):
            continue
        if step.phase is Phase.TOKEN and issuer:
            yield Try(issuer, error is None or error.kind not in _OFFLINE_KINDS)
        elif step.phase is Phase.REQUEST and any(exchange.answer for exchange in step.exchanges):
            yield Try(check.server.host, True)
        elif step.phase is Phase.CONNECT:
            yield Try(check.server.host, _answered(step))
        elif step.phase is Phase.DNS and step.fault is not None:
            yield Try(check.server.host, False, step.fault.kind is FaultKind.NAME_SERVER_FAILED)


def internal_error(check: Check, started_at: float, seconds: float, error: BaseException) -> Report:
    """Return the report of a run in which smtpcheck itself failed."""
    finding = _warning(Cause.INTERNAL, f"{type(error).__name__} inside smtpcheck; the log has the traceback")
    return Report(check.name, started_at, seconds, Outcome.UNKNOWN, cause=Cause.INTERNAL, findings=(finding,))


def token_fault(error: TokenError) -> Fault:
    """Return the fault of phase token."""
    return Fault(FaultKind.TOKEN, error.error or error.kind)


_SUBJECT = {
    Cause.CERTIFICATE_EXPIRING: "the server's certificate",
    Cause.SECRET_EXPIRING: "the client secret",
    Cause.CLIENT_CERTIFICATE_EXPIRING: "the client certificate",
    Cause.REFRESH_TOKEN_EXPIRING: "the refresh token",
}


def _credential_expiries(credential: CredentialExpiries, warn: Warn) -> list[tuple[Cause, float | None, float]]:
    return [
        (Cause.SECRET_EXPIRING, credential.client_secret_expires_at, warn.secret),
        (Cause.CLIENT_CERTIFICATE_EXPIRING, credential.client_certificate_expires_at, warn.secret),
        (Cause.REFRESH_TOKEN_EXPIRING, credential.refresh_token_expires_at, warn.refresh_token),
    ]


def _warning(cause: Cause, *evidence: str) -> Finding:
    return Finding(cause, 1.0, rule=f"judge.{cause}", evidence=evidence)


def _remaining(seconds: float) -> str:
    if seconds < 0:
        return f"{-seconds / _DAY:.0f} days ago"
    return f"in {seconds / _DAY:.0f} days" if seconds >= 2 * _DAY else f"in {seconds / 3600:.0f} hours"
