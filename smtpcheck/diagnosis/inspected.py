"""From what the provider itself says to certain causes: of a failure, and of what will fail.

Rules of this file:
- Pure. A defect is a state that cannot work, shown by facts; each rule names the facts that it looks at.
- Only what fits the failure is a cause of it: a reply or an AADSTS code has its list, in the order in which the causes
  are separated best.
- Certain is what facts show that were read after the failure began. What was changed less than two hours before, while
  Exchange may still act on its cache, is likely, and so is what a fact can show only in part.
- The evidence says who said it and when. No name, address or place of the provider's is in it.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from smtpcheck.diagnosis.explain import CERTAIN
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check
from smtpcheck.model.credential import CredentialHints
from smtpcheck.model.inspection import Fact, FactName, Inspection
from smtpcheck.model.report import Finding, Report
from smtpcheck.model.timestamp import clock_text, rfc3339, span_text

PROVEN = 0.98
PROBABLE = 0.75
"""The certainty of a cause that facts show in part, or that a cache may still contradict."""
CACHE_SECONDS = 7200.0
"""How long Exchange may act on what was true before a change
(https://learn.microsoft.com/exchange/permissions-exo/application-rbac)."""
SMTP_PERMISSION = "SMTP.SendAsApp"
_SMTP_ROLE = "Application SMTP.SendAsApp"
_PLANS_THAT_WORK = frozenset({"Enabled", "Warning"})
_KINDS_ON_PREMISES = frozenset({"MailUser", "RemoteUserMailbox"})
_EXCHANGE = "Exchange"
"""Whose word may be ahead of what its servers act on."""
_APP_TYPES = frozenset({"microsoft", "microsoft-managed-identity"})


@dataclass(frozen=True, slots=True)
class Defect:
    """A state that cannot work, or soon will not."""

    cause: Cause
    facts: tuple[Fact, ...]
    """What shows it, the telling one first."""
    says: str
    """In a sentence about the first fact, without its source."""
    certainty: float = PROVEN


@dataclass(frozen=True, slots=True)
class View:
    """What is known of one mailbox and its application."""

    inspection: Inspection
    mailbox: str
    now: float
    """The time (Unix seconds)."""
    app_only: bool = True
    """Whether the application acts for itself, not for a user."""

    def fact(self, name: FactName) -> Fact | None:
        """Return the newest fact of this name."""
        return self.inspection.find(name, self.mailbox if name.is_of_mailbox else "")

    def when(self, name: FactName, value: object) -> Fact | None:
        """Return the fact of this name where it has this value."""
        fact = self.fact(name)
        return fact if fact is not None and fact.value == value and type(fact.value) is type(value) else None

    def texts(self, name: FactName) -> tuple[str, ...] | None:
        """Return the texts of a fact, None where it was not read."""
        fact = self.fact(name)
        return fact.value if fact is not None and isinstance(fact.value, tuple) else None


Decide = Callable[[View], Defect | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """When facts show a cause."""

    causes: frozenset[Cause]
    """The causes that it may show."""
    facts: tuple[FactName, ...]
    """What it looks at, in the order in which to read it."""
    decide: Decide
    apps_only: bool = False
    """Whether it holds for an application that acts for itself alone."""

    def __call__(self, view: View) -> Defect | None:
        """Return the defect that the facts show, None where they show none."""
        return None if self.apps_only and not view.app_only else self.decide(view)


def _state(cause: Cause, name: FactName, says: str, *, value: bool, apps_only: bool = False) -> Rule:
    """Return the rule that one fact of this value shows the cause."""

    def decide(view: View) -> Defect | None:
        fact = view.when(name, value)
        return Defect(cause, (fact,), says) if fact else None

    return Rule(frozenset({cause}), (name,), decide, apps_only)


def _wrong_object_id(view: View) -> Defect | None:
    registered, principal = view.fact(FactName.REGISTERED_ID), view.fact(FactName.PRINCIPAL_ID)
    if registered is None or principal is None or registered.value == principal.value:
        return None
    says = f"the service principal has the object id {registered.value}, the enterprise application {principal.value}"
    return Defect(Cause.WRONG_OBJECT_ID_SERVICE_PRINCIPAL, (registered, principal), says)


def _permission_missing(view: View) -> Defect | None:
    """Neither the permission in Entra nor the role in Exchange: without Exchange's word the role is not known."""
    granted, fact = view.texts(FactName.APPLICATION_ROLES), view.fact(FactName.APPLICATION_ROLES)
    if fact is None or granted is None or SMTP_PERMISSION in granted:
        return None
    assigned = view.texts(FactName.ROLE_ASSIGNMENTS)
    if view.when(FactName.ROLE_IN_SCOPE, value=True) or any(_is_smtp_role(each) for each in assigned or ()):
        return None
    says = f"{SMTP_PERMISSION} is not among the permissions that were consented to"
    certainty = PROVEN if assigned is not None or view.when(FactName.REGISTERED, value=False) else PROBABLE
    return Defect(Cause.MISSING_SMTP_PERMISSION, (fact,), says, certainty)


def _out_of_scope(view: View) -> Defect | None:
    """The role is there (RBAC for Applications), but not for this mailbox."""
    out, assigned = view.when(FactName.ROLE_IN_SCOPE, value=False), view.fact(FactName.ROLE_ASSIGNMENTS)
    granted = view.texts(FactName.APPLICATION_ROLES)
    if out is None or assigned is None or granted is None or SMTP_PERMISSION in granted:
        return None
    if not any(_is_smtp_role(each) for each in view.texts(FactName.ROLE_ASSIGNMENTS) or ()):
        return None
    says = f"the mailbox is not in the scope of the role {_SMTP_ROLE}"
    return Defect(Cause.MAILBOX_PERMISSION_MISSING, (out, assigned), says)


def _no_full_access(view: View) -> Defect | None:
    """With the permission in the token, Exchange asks for a right on the mailbox."""
    granted = view.texts(FactName.APPLICATION_ROLES)
    if denied := view.when(FactName.FULL_ACCESS_DENIED, value=True):
        return Defect(Cause.MAILBOX_PERMISSION_MISSING, (denied,), "FullAccess to this mailbox is denied")
    missing = view.when(FactName.FULL_ACCESS, value=False)
    if missing is None or granted is None or SMTP_PERMISSION not in granted:
        return None
    return Defect(Cause.MAILBOX_PERMISSION_MISSING, (missing,), "the application has no FullAccess to this mailbox")


def _mailbox_missing(view: View) -> Defect | None:
    cause = Cause.MAILBOX_MISSING_OR_UNLICENSED
    if gone := view.when(FactName.MAILBOX_EXISTS, value=False):
        soft = view.when(FactName.MAILBOX_SOFT_DELETED, value=True)
        return Defect(cause, (gone,), "the mailbox is deleted" if soft else "there is no mailbox of this address")
    kind = view.fact(FactName.MAILBOX_KIND)
    if kind is not None and kind.value in _KINDS_ON_PREMISES:
        return Defect(cause, (kind,), f"the address is a {kind.value}: its mailbox is not in Exchange Online")
    if view.when(FactName.MAILBOX_EXISTS, value=True):
        return None
    if gone := view.when(FactName.USER_EXISTS, value=False):
        deleted = view.when(FactName.USER_DELETED, value=True)
        says = "the account of this address is deleted" if deleted else "there is no account of this address"
        return Defect(cause, (gone,), says, PROVEN if deleted else PROBABLE)
    licence = view.fact(FactName.USER_LICENCE)
    if licence is None or licence.value in _PLANS_THAT_WORK or view.when(FactName.MAILBOX_PURPOSE, "shared"):
        return None
    return Defect(cause, (licence,), f"the account's licence for Exchange is: {licence.value}", PROBABLE)


def _smtp_auth_off(view: View) -> Defect | None:
    mailbox = view.fact(FactName.SMTP_AUTH_OFF_MAILBOX)
    if mailbox is None:
        return None
    if mailbox.value is True:
        says = "SmtpClientAuthenticationDisabled is True for this mailbox"
        return Defect(Cause.SMTP_AUTH_DISABLED_MAILBOX, (mailbox,), says)
    tenant = view.when(FactName.SMTP_AUTH_OFF_TENANT, value=True)
    if mailbox.value is not None or tenant is None:
        return None
    says = "SmtpClientAuthenticationDisabled is True for the tenant, and the mailbox has no setting of its own"
    return Defect(Cause.SMTP_AUTH_DISABLED_TENANT, (tenant, mailbox), says)


def _credentials_expired(view: View) -> Defect | None:
    names = (FactName.SECRET_EXPIRES, FactName.CERTIFICATE_EXPIRES)
    listed = [fact for name in names for fact in view.inspection.all(name)]
    if not listed:
        there = view.when(FactName.APPLICATION_EXISTS, value=True)
        says = "the application has neither a secret nor a certificate"
        no_other = view.when(FactName.FEDERATED_NAMES, ())
        return Defect(Cause.SECRET_INVALID, (there,), says) if there and no_other else None
    last = max(listed, key=lambda fact: str(fact.value))
    if str(last.value) > rfc3339(view.now):
        return None
    return Defect(Cause.SECRET_EXPIRED, (last,), f"the last secret or certificate expired on {str(last.value)[:10]}")


def _refused_sign_in(view: View) -> Defect | None:
    code = view.fact(FactName.SIGN_IN_CODE)
    cause = _BY_SIGN_IN.get(str(code.value)) if code else None
    if code is None or cause is None:
        return None
    policies = [fact.item for fact in view.inspection.all(FactName.SIGN_IN_POLICY) if fact.item]
    named = f"; refused by the policy {', '.join(policies[:3])}" if policies else ""
    return Defect(cause, (code,), f"the sign-in failed with AADSTS{code.value}{named}")


def _sender_not_allowed(view: View) -> Defect | None:
    missing = view.when(FactName.SEND_AS, value=False)
    if missing is None:
        return None
    return Defect(Cause.SENDER_NOT_ALLOWED, (missing,), "the application has no Send As for this address", PROBABLE)


def _no_consent(view: View) -> Defect | None:
    """A user's token needs the delegated permission; another application's is not its matter."""
    granted, fact = view.texts(FactName.DELEGATED_PERMISSIONS), view.fact(FactName.DELEGATED_PERMISSIONS)
    if view.app_only or fact is None or granted is None or "SMTP.Send" in granted:
        return None
    return Defect(Cause.CONSENT_MISSING, (fact,), "SMTP.Send is not among the permissions that were consented to")


def _is_smtp_role(assignment: str) -> bool:
    return assignment.startswith(_SMTP_ROLE)


_BY_SIGN_IN = {"53003": Cause.CONDITIONAL_ACCESS, "530035": Cause.SECURITY_DEFAULTS}
"""What the log of sign-ins says more of than the refusal itself: which policy it was."""

_OF_ROLES = (
    *(FactName.PRINCIPAL_ID, FactName.APPLICATION_ROLES, FactName.REGISTERED_ID),
    *(FactName.ROLE_IN_SCOPE, FactName.ROLE_ASSIGNMENTS),
)

RULES: tuple[Rule, ...] = (
    _state(
        Cause.APP_NOT_IN_TENANT,
        FactName.PRINCIPAL_EXISTS,
        "there is no enterprise application of this id in the tenant",
        value=False,
    ),
    _state(
        Cause.APP_DISABLED,
        FactName.PRINCIPAL_ENABLED,
        "sign-in is off for the enterprise application",
        value=False,
    ),
    _state(
        Cause.APP_DISABLED,
        FactName.PRINCIPAL_DISABLED_BY_MICROSOFT,
        "Microsoft has disabled the enterprise application",
        value=True,
    ),
    _state(Cause.RESOURCE_NOT_IN_TENANT, FactName.EXCHANGE_IN_TENANT, "the tenant has no Exchange Online", value=False),
    _state(
        Cause.SERVICE_PRINCIPAL_NOT_REGISTERED,
        FactName.REGISTERED,
        "there is no service principal of this application",
        value=False,
        apps_only=True,
    ),
    Rule(
        frozenset({Cause.WRONG_OBJECT_ID_SERVICE_PRINCIPAL}),
        (FactName.PRINCIPAL_ID, FactName.REGISTERED_ID),
        _wrong_object_id,
        apps_only=True,
    ),
    Rule(
        frozenset({Cause.MAILBOX_MISSING_OR_UNLICENSED}),
        (
            FactName.USER_EXISTS,
            FactName.USER_LICENCE,
            FactName.MAILBOX_EXISTS,
            FactName.MAILBOX_KIND,
            FactName.MAILBOX_PURPOSE,
        ),
        _mailbox_missing,
    ),
    Rule(
        frozenset({Cause.SMTP_AUTH_DISABLED_MAILBOX, Cause.SMTP_AUTH_DISABLED_TENANT}),
        (FactName.SMTP_AUTH_OFF_MAILBOX, FactName.SMTP_AUTH_OFF_TENANT),
        _smtp_auth_off,
    ),
    Rule(frozenset({Cause.MISSING_SMTP_PERMISSION}), _OF_ROLES, _permission_missing, apps_only=True),
    Rule(frozenset({Cause.MAILBOX_PERMISSION_MISSING}), _OF_ROLES, _out_of_scope, apps_only=True),
    Rule(
        frozenset({Cause.MAILBOX_PERMISSION_MISSING}),
        (
            FactName.PRINCIPAL_ID,
            FactName.APPLICATION_ROLES,
            FactName.REGISTERED_SID,
            FactName.FULL_ACCESS,
            FactName.FULL_ACCESS_DENIED,
        ),
        _no_full_access,
        apps_only=True,
    ),
    _state(
        Cause.FEDERATED_ASSERTION_MISMATCH,
        FactName.FEDERATED_MATCH,
        "no federated credential has issuer, subject and audience of the local token",
        value=False,
    ),
    Rule(
        frozenset({Cause.SECRET_EXPIRED, Cause.SECRET_INVALID}),
        (FactName.SECRET_EXPIRES, FactName.FEDERATED_NAMES),
        _credentials_expired,
        apps_only=True,
    ),
    _state(
        Cause.ACCOUNT_BLOCKED_OUTBOUND_SPAM,
        FactName.BLOCKED_SENDER,
        "the mailbox is blocked from sending for outbound spam",
        value=True,
    ),
)
"""What cannot work, whether or not anything has failed."""
OF_FAILURES_ALONE = (
    Rule(frozenset(_BY_SIGN_IN.values()), (FactName.SIGN_IN_CODE,), _refused_sign_in),
    Rule(
        frozenset({Cause.SENDER_NOT_ALLOWED}),
        (FactName.REGISTERED_SID, FactName.SEND_AS),
        _sender_not_allowed,
        apps_only=True,
    ),
    _state(Cause.SECURITY_DEFAULTS, FactName.SECURITY_DEFAULTS, "security defaults are on", value=True),
    _state(
        Cause.CONSENT_MISSING,
        FactName.ASSIGNMENT_REQUIRED,
        "the enterprise application requires an assignment",
        value=True,
    ),
    Rule(frozenset({Cause.CONSENT_MISSING}), (FactName.PRINCIPAL_ID, FactName.DELEGATED_PERMISSIONS), _no_consent),
)
"""States that are no defect by themselves, and explain a failure that fits."""


def defects(view: View) -> tuple[Defect, ...]:
    """Return everything that cannot work, whether or not anything has failed."""
    return tuple(found for rule in RULES if (found := rule(view)) is not None)


def acts_for_itself(hints: CredentialHints | None) -> bool:
    """Return whether a credential's application acts for itself, not for a user."""
    return hints is not None and hints.type in _APP_TYPES


def defects_of(
    inspection: Inspection, mailboxes: Collection[str], hints: CredentialHints | None, now: float
) -> tuple[Defect, ...]:
    """Return the defects of an application and of all these mailboxes, each once."""
    app_only = acts_for_itself(hints)
    views = [View(inspection, mailbox, now, app_only=app_only) for mailbox in mailboxes or ("",)]
    found = {(each.cause, id(each.facts[0])): each for view in views for each in defects(view)}
    return tuple(found.values())


# ---------------------------------------------------------------------------------------------------------------------
# Causes of a failure

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
    501051: (Cause.CONSENT_MISSING,),
    53003: (Cause.CONDITIONAL_ACCESS,),
    65001: (Cause.CONSENT_MISSING, Cause.MISSING_SMTP_PERMISSION),
    7000215: _UNRECOGNIZED,
    7000222: (Cause.SECRET_EXPIRED,),
    **dict.fromkeys((70021, 700211, 700212, 700213, 70025), (Cause.FEDERATED_ASSERTION_MISMATCH,)),
}


def candidates(report: Report) -> tuple[Cause, ...]:
    """Return the causes of a failure that the provider's own word can show, none where it can show none."""
    if report.token_error is not None and report.failed_reply is None:
        found = (_BY_AADSTS.get(code, ()) for code in report.token_error.error_codes)
        return next((causes for causes in found if causes), ())
    reply = report.failed_reply
    return _BY_REPLY.get((reply.code, reply.enhanced), ()) if reply is not None else ()


def is_certain(report: Report) -> bool:
    """Return whether the cause of a failure is certain already."""
    return bool(report.findings) and report.findings[0].certainty >= CERTAIN


def wanted(report: Report) -> tuple[FactName, ...]:
    """Return the facts that separate the candidates of a failure, in the order in which to read them."""
    causes = candidates(report)
    rules = (rule for rule in (*RULES, *OF_FAILURES_ALONE) if rule.causes & set(causes))
    return tuple(dict.fromkeys(name for rule in rules for name in rule.facts))


def proven(report: Report, view: View, values: Mapping[str, str], *, began: float | None = None) -> tuple[Finding, ...]:
    """Return the causes of a failure that the facts show, the most certain first; none where they show none.

    The failure began at Unix time `began`, by default with the run itself. `values` fill the commands of the remedies.
    Where the facts show that all is right and something was changed just now, that the change is not yet applied
    everywhere is likely.
    """
    causes = candidates(report)
    rules = (rule for rule in (*RULES, *OF_FAILURES_ALONE) if rule.causes & set(causes))
    found = [defect for rule in rules if (defect := rule(view)) is not None and defect.cause in causes]
    since = report.started_at if began is None else began
    findings = [_finding(each, since, view, values) for each in found]
    if not findings and causes == _REFUSED and (changed := _recent_change(view)) is not None:
        findings = [_not_propagated(changed, view, values)]
    return tuple(sorted(findings, key=lambda finding: -finding.certainty))


def evidence_of(defect: Defect) -> str:
    """Return who said it, when, what, and how to read it again: `Exchange, 03:12: ... (Get-CASMailbox)`."""
    fact = defect.facts[0]
    return f"{fact.source}, {clock_text(fact.read_at)[:5]}: {defect.says} ({fact.asked})"


def view_of(inspection: Inspection, check: Check, report: Report, hints: CredentialHints | None, now: float) -> View:
    """Return what is known of the mailbox that a check's failure is about."""
    sender = any(cause is Cause.SENDER_NOT_ALLOWED for cause in candidates(report))
    return View(inspection, check.sender if sender else check.mailbox, now, app_only=acts_for_itself(hints))


def _finding(defect: Defect, since: float, view: View, values: Mapping[str, str]) -> Finding:
    certainty, evidence = defect.certainty, [evidence_of(defect)]
    if any(fact.read_at < since for fact in defect.facts):
        certainty = min(certainty, PROBABLE)
        evidence.append("it was read before the failure began")
    ages = [
        view.now - fact.changed_at for fact in defect.facts if fact.changed_at is not None and fact.source == _EXCHANGE
    ]
    if ages and min(ages) < CACHE_SECONDS:
        certainty = min(certainty, PROBABLE)
        evidence.append(f"it was changed {span_text(max(min(ages), 0.0))} before; Exchange may lag by two hours")
    return Finding(defect.cause, certainty, f"inspection.{defect.cause}", tuple(evidence), values)


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
