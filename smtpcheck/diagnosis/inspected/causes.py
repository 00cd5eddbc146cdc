"""The causes of a failure that the provider's own word shows.

Rules of this file:
- Pure. Only what fits the failure is a cause of it: a reply or an AADSTS code has its list, in the order in which the
  causes are separated best.
- Certain is what facts show that were read after the failure began. What was changed less than two hours before, while
  Exchange may still act on its cache, is likely, and so is what a fact can show only in part.
"""

from collections.abc import Iterator, Mapping

from smtpcheck.diagnosis.explain import CERTAIN
from smtpcheck.diagnosis.inspected.defects import OF_FAILURES_ALONE, RULES, acts_for_itself, evidence_of
from smtpcheck.diagnosis.inspected.entra import OF_CODES
from smtpcheck.diagnosis.inspected.google import google_candidates
from smtpcheck.diagnosis.inspected.view import PROBABLE, Defect, Rule, View
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check
from smtpcheck.model.credential import CredentialHints
from smtpcheck.model.inspection import Fact, FactName, Inspection
from smtpcheck.model.report import Finding, Report
from smtpcheck.model.timestamp import clock_text, span_text

CACHE_SECONDS = 7200.0
"""How long Exchange may act on what was true before a change
(https://learn.microsoft.com/exchange/permissions-exo/application-rbac)."""
SIGN_IN_SECONDS = 600.0
"""How far from the failure a sign-in may be that explains it: the time of its token request, and some of a clock."""
_EXCHANGE = "Exchange"
"""Whose word may be ahead of what its servers act on."""

_REFUSED = (
    *(Cause.SERVICE_PRINCIPAL_NOT_REGISTERED, Cause.WRONG_OBJECT_ID_SERVICE_PRINCIPAL),
    *(Cause.MAILBOX_MISSING_OR_UNLICENSED, Cause.SMTP_AUTH_DISABLED_MAILBOX, Cause.SMTP_AUTH_DISABLED_TENANT),
    *(Cause.MISSING_SMTP_PERMISSION, Cause.MAILBOX_PERMISSION_MISSING),
)
_POLICY = (
    *(Cause.SMTP_AUTH_DISABLED_MAILBOX, Cause.SMTP_AUTH_DISABLED_TENANT),
    *(Cause.CONDITIONAL_ACCESS, Cause.SECURITY_DEFAULTS),
)
_CLOSED = (
    *(Cause.SERVICE_PRINCIPAL_NOT_REGISTERED, Cause.WRONG_OBJECT_ID_SERVICE_PRINCIPAL),
    *(Cause.MAILBOX_MISSING_OR_UNLICENSED, Cause.MAILBOX_PERMISSION_MISSING),
)
_BY_REPLY: Mapping[tuple[int, str], tuple[Cause, ...]] = {
    (535, "5.7.3"): _REFUSED,
    (535, "5.7.139"): _POLICY,
    (430, "4.2.0"): _CLOSED,
    (554, "5.2.252"): (Cause.SENDER_NOT_ALLOWED,),
    (550, "5.7.60"): (Cause.SENDER_NOT_ALLOWED,),
    (550, "5.1.8"): (Cause.ACCOUNT_BLOCKED_OUTBOUND_SPAM,),
}
"""By code and enhanced code of the reply: which causes facts can show, the likelier ones first."""
_UNRECOGNIZED = (Cause.SECRET_INVALID, Cause.SECRET_EXPIRED)
_BY_AADSTS: Mapping[int, tuple[Cause, ...]] = {
    700016: (Cause.APP_NOT_IN_TENANT,),
    7000112: (Cause.APP_DISABLED,),
    500011: (Cause.RESOURCE_NOT_IN_TENANT,),
    50105: (Cause.CONSENT_MISSING,),
    501051: (Cause.MISSING_SMTP_PERMISSION,),
    53003: (Cause.CONDITIONAL_ACCESS,),
    65001: (Cause.CONSENT_MISSING, Cause.MISSING_SMTP_PERMISSION),
    7000215: _UNRECOGNIZED,
    7000222: (Cause.SECRET_EXPIRED,),
    **dict.fromkeys((70021, 700211, 700212, 700213, 70025), (Cause.FEDERATED_ASSERTION_MISMATCH,)),
}


_SAYS_LITTLE = frozenset({53003, 65001, 7000215})
"""Codes that are certain, and do not say which policy refuses, which permission is missing, what the secret is."""


def candidates(report: Report) -> tuple[Cause, ...]:
    """Return the causes of a failure that the provider's own word can show, none where it can show none."""
    if (code := _code_of(report)) is not None:
        return _BY_AADSTS.get(code, ()) or google_candidates(report)
    reply = report.failed_reply
    by_reply = _BY_REPLY.get((reply.code, reply.enhanced), ()) if reply is not None else ()
    return by_reply or google_candidates(report)


def is_certain(report: Report) -> bool:
    """Return whether the cause of a failure is certain already."""
    return bool(report.findings) and report.findings[0].certainty >= CERTAIN


def is_worth_asking(report: Report) -> bool:
    """Return whether the provider can say more of a failure than is known: the cause, or what is behind a code."""
    return bool(candidates(report)) and (not is_certain(report) or _code_of(report) in _SAYS_LITTLE)


def wanted(report: Report) -> tuple[FactName, ...]:
    """Return the facts that separate the candidates of a failure, in the order in which to read them."""
    return tuple(dict.fromkeys(name for rule in _rules(report) for name in rule.facts))


def proven(report: Report, view: View, values: Mapping[str, str], *, began: float | None = None) -> tuple[Finding, ...]:
    """Return the causes of a failure that the facts show, the most certain first; none where they show none.

    The failure began at Unix time `began`, by default with the run itself. `values` fill the commands of the remedies.
    Where the facts show that all is right and something was changed just now, that the change is not yet applied
    everywhere is likely.
    """
    causes = candidates(report)
    found = [defect for rule in _rules(report) if (defect := rule(view)) is not None and defect.cause in causes]
    since = report.started_at if began is None else began
    findings = [_finding(each, since, view, values) for each in found]
    if not findings and causes == _REFUSED and (changed := _recent_change(view)) is not None:
        findings = [_not_propagated(changed, view, values)]
    return tuple(sorted(findings, key=lambda finding: -finding.certainty))


def _rules(report: Report) -> Iterator[Rule]:
    """Yield the rules that may show a cause of a failure."""
    causes, of_code = set(candidates(report)), OF_CODES.get(_code_of(report) or 0, ())
    return (rule for rule in (*of_code, *RULES, *OF_FAILURES_ALONE) if rule.causes & causes)


def _code_of(report: Report) -> int | None:
    """Return the AADSTS code of a refused token, 0 where none is known; None where no token was refused."""
    if report.token_error is None or report.failed_reply is not None:
        return None
    return next((code for code in report.token_error.error_codes if code in _BY_AADSTS), 0)


def view_of(inspection: Inspection, check: Check, report: Report, hints: CredentialHints | None, now: float) -> View:
    """Return what is known of the mailbox that a check's failure is about."""
    is_of_sender = Cause.SENDER_NOT_ALLOWED in candidates(report)
    about = check.sender if is_of_sender else check.mailbox
    login = "" if about.casefold() == check.mailbox.casefold() else check.mailbox
    return View(inspection, about, now, app_only=acts_for_itself(hints), login=login)


def _finding(defect: Defect, since: float, view: View, values: Mapping[str, str]) -> Finding:
    certainty, evidence = defect.certainty, [evidence_of(defect)]
    if any(fact.read_at < since for fact in defect.facts):
        certainty = min(certainty, PROBABLE)
        evidence.append("it was read before the failure began")
    if any(_is_of_another_time(fact, since) for fact in defect.facts):
        certainty = min(certainty, PROBABLE)
        evidence.append("that sign-in was at another time than the failure")
    ages = [
        view.now - fact.changed_at for fact in defect.facts if fact.changed_at is not None and fact.source == _EXCHANGE
    ]
    if ages and min(ages) < CACHE_SECONDS:
        certainty = min(certainty, PROBABLE)
        evidence.append(f"it was changed {span_text(max(min(ages), 0.0))} before; Exchange may lag by two hours")
    return Finding(defect.cause, certainty, f"inspection.{defect.cause}", tuple(evidence), values)


def _is_of_another_time(fact: Fact, since: float) -> bool:
    """Return whether a row of the sign-in log is not of the failure: its time is too far away, or not known."""
    if fact.name is not FactName.SIGN_IN_CODE:
        return False
    return fact.changed_at is None or abs(fact.changed_at - since) > SIGN_IN_SECONDS


def _recent_change(view: View) -> Fact | None:
    """Return the fact that was changed last, where that was less than two hours ago and nothing else is missing."""
    needed = (FactName.REGISTERED, FactName.SMTP_AUTH_OFF_MAILBOX)
    if any(view.fact(name) is None for name in needed):
        return None
    subjects = {"", view.mailbox.casefold()}
    changed = [
        fact
        for fact in view.inspection.facts
        if fact.changed_at is not None and fact.name in _GRANTED and fact.subject.casefold() in subjects
    ]
    last = max(changed, key=lambda fact: fact.changed_at or 0.0, default=None)
    return last if last is not None and view.now - (last.changed_at or 0.0) < CACHE_SECONDS else None


_GRANTED = frozenset({FactName.REGISTERED, FactName.ROLE_ASSIGNMENTS, FactName.APPLICATION_ROLES, FactName.FULL_ACCESS})


def _not_propagated(fact: Fact, view: View, values: Mapping[str, str]) -> Finding:
    age = span_text(max(view.now - (fact.changed_at or 0.0), 0.0))
    seen = f"{fact.source}, {clock_text(fact.read_at)[:5]}: all is set, the last change {age} ago ({fact.asked})"
    cause = Cause.PERMISSION_NOT_PROPAGATED
    return Finding(cause, PROBABLE, f"inspection.{cause}", (seen,), values)
