"""What is wrong by one run, and to which alert that belongs.

Rules of this file:
- Pure.
- Checks that fail for the same reason are one alert: all that get no token of one credential, all that do not reach one
  host. What concerns a mailbox alone is its check's own alert, whatever its cause: it may change from run to run. That
  holds for a token that is refused for its mailbox, too, where each has its own.
- A run whose outcome is unknown says nothing of the check. That the agent has no connectivity, or is at fault, is an
  alert of the agent's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check, Phase
from smtpcheck.model.report import Finding, Outcome, Report

FAILURE = "failure"
AGENT = "agent"
_AGENT_NAME = "smtpcheck"


class Severity(StrEnum):
    """How severe an alert is."""

    CRITICAL = "critical"
    """A check does not reach its depth, or the agent cannot check."""
    WARNING = "warning"
    """A check reaches its depth, and something will break it."""


class Subject(StrEnum):
    """What an alert is about."""

    CREDENTIAL = "credential"
    HOST = "host"
    CHECK = "check"
    AGENT = "agent"


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What identifies an alert."""

    subject: Subject
    name: str
    """Of the credential or the check, or a host with its port."""
    severity: Severity
    cause: Cause | None
    """None for a check's failure."""


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing that is wrong by a run."""

    key: Key
    findings: tuple[Finding, ...]
    """Why, the most probable first."""


_OF_HOST = frozenset(
    {Phase.DNS, Phase.CONNECT, Phase.BANNER, Phase.EHLO, Phase.STARTTLS, Phase.TLS, Phase.EHLO_TLS},
)
"""Phases that do not depend on the mailbox."""

_LOGIN = frozenset({Phase.AUTH, Phase.REQUEST})
"""Phases in which a token or a key is refused."""

_OF_CREDENTIAL = frozenset(
    {
        Cause.SMTP_AUTH_DISABLED_TENANT,
        Cause.SECURITY_DEFAULTS,
        Cause.CONDITIONAL_ACCESS,
        Cause.WRONG_TOKEN_AUDIENCE,
        Cause.MISSING_SMTP_PERMISSION,
        Cause.SERVICE_PRINCIPAL_NOT_REGISTERED,
        Cause.WRONG_OBJECT_ID_SERVICE_PRINCIPAL,
        Cause.WRONG_SCOPE_GOOGLE,
        Cause.TOKEN_EXPIRED,
        Cause.GRAPH_PERMISSION_MISSING,
        Cause.PERMISSION_KIND_MISMATCH,
        Cause.CONSENT_MISSING,
        Cause.API_NOT_ENABLED,
        Cause.API_KEY_INVALID,
        Cause.API_KEY_NOT_PERMITTED,
        Cause.API_ACCOUNT_IN_SANDBOX,
        Cause.API_ACCOUNT_UNDER_REVIEW,
        Cause.CLIENT_ADDRESS_NOT_ALLOWED,
        Cause.QUOTA_EXHAUSTED,
    }
)
"""Causes of a refused login or request that concern the application or its tenant, not the mailbox."""

_OF_MAILBOX = frozenset({Cause.ACCOUNT_LOCKED, Cause.MAILBOX_MISSING_OR_UNLICENSED, Cause.USER_MISMATCH})
"""Causes of a refused token that concern the mailbox that it is for."""

_SHARED = {
    Cause.CERTIFICATE_EXPIRING: Subject.HOST,
    Cause.CERTIFICATE_NAME_IN_CN_ONLY: Subject.HOST,
    Cause.SECRET_EXPIRING: Subject.CREDENTIAL,
    Cause.CLIENT_CERTIFICATE_EXPIRING: Subject.CREDENTIAL,
    Cause.REFRESH_TOKEN_EXPIRING: Subject.CREDENTIAL,
    Cause.FRESH_TOKEN_FAILING: Subject.CREDENTIAL,
    Cause.STATE_NOT_KEPT: Subject.AGENT,
}
"""What warnings are about that concern more than one check."""


def issues_of(check: Check, report: Report, agent_severity: Severity = Severity.CRITICAL) -> Mapping[str, Issue]:
    """Return what is wrong by a run, under the name of the streak that it belongs to.

    `agent_severity` is that of the agent's own alert.
    """
    if report.outcome is Outcome.CRITICAL:
        return {FAILURE: _failure(check, report)}
    if report.outcome is Outcome.UNKNOWN:
        key = Key(Subject.AGENT, _AGENT_NAME, agent_severity, report.cause or Cause.UNKNOWN)
        return {AGENT: Issue(key, report.findings[:1])}
    return _warnings(check, report.warnings)


def concerns(report: Report, streak: str) -> bool:
    """Return whether a run says anything about the streak of that name."""
    if report.outcome is Outcome.UNKNOWN:
        return streak == AGENT
    return report.outcome is not Outcome.CRITICAL or streak in {FAILURE, AGENT}


def _failure(check: Check, report: Report) -> Issue:
    cause = report.cause or Cause.UNKNOWN
    subject = _subject(check, report, cause)
    key = Key(subject, _name(subject, check), Severity.CRITICAL, None if subject is Subject.CHECK else cause)
    return Issue(key, report.findings[:3])


def _subject(check: Check, report: Report, cause: Cause) -> Subject:
    step = report.failed_step
    phase = step.phase if step else None
    if _is_of_mailbox(check, cause):
        return Subject.CHECK
    if check.credential and (phase is Phase.TOKEN or (phase in _LOGIN and cause in _OF_CREDENTIAL)):
        return Subject.CREDENTIAL
    return Subject.HOST if phase in _OF_HOST else Subject.CHECK


def _is_of_mailbox(check: Check, cause: Cause) -> bool:
    """Return whether a token is refused for the mailbox, and others of the credential are given."""
    return check.token_per_mailbox and cause in _OF_MAILBOX


def _name(subject: Subject, check: Check) -> str:
    if subject is Subject.CREDENTIAL and check.credential:
        return check.credential
    if subject is Subject.AGENT:
        return _AGENT_NAME
    return endpoint(check) if subject is Subject.HOST else check.name


def _warnings(check: Check, findings: tuple[Finding, ...]) -> dict[str, Issue]:
    found: dict[str, Issue] = {}
    rest = list(findings)
    while rest:
        finding = rest.pop(0)
        # After a failing fresh token comes the reason why it fails; that is no issue of its own.
        both = (finding, rest.pop(0)) if finding.cause is Cause.FRESH_TOKEN_FAILING and rest else (finding,)
        subject = _SHARED.get(finding.cause, _subject_of_warning(check, finding))
        subject = Subject.CHECK if _is_of_mailbox(check, both[-1].cause) else subject
        key = Key(subject, _name(subject, check), Severity.WARNING, finding.cause)
        found.setdefault(finding.cause.value, Issue(key, both))
    return found


def _subject_of_warning(check: Check, finding: Finding) -> Subject:
    """Return the credential where an inspection says something of its application, else the check."""
    of_application = finding.rule.startswith("inspection.application.") and check.credential
    return Subject.CREDENTIAL if of_application else Subject.CHECK


def endpoint(check: Check) -> str:
    """Return host and port of a check's server, as an alert about a host is named."""
    return f"{check.server.host}:{check.server.port}"
