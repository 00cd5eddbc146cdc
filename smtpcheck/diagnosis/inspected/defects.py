"""Everything that cannot work, by all the rules; whether or not anything has failed.

Rules of this file:
- Pure. The rules are in the order in which the causes of a refused login are separated best; those about Google come
  last, for they look at facts that no other provider gives.
- The evidence says who said it and when. No name, address or place of the provider's is in it.
"""

from collections.abc import Collection

from smtpcheck.diagnosis.inspected.entra import CREDENTIALS, ENTERPRISE_APPLICATION, POLICIES, REFUSED_SIGN_INS
from smtpcheck.diagnosis.inspected.exchange import REGISTRATION, RIGHTS, SEND_AS
from smtpcheck.diagnosis.inspected.google import SERVICE_ACCOUNT, WORKSPACE_USER
from smtpcheck.diagnosis.inspected.mailbox import BLOCKED, MAILBOX
from smtpcheck.diagnosis.inspected.view import Defect, Rule, View
from smtpcheck.model.credential import CredentialHints
from smtpcheck.model.inspection import Inspection
from smtpcheck.model.timestamp import clock_text

_APP_TYPES = frozenset({"microsoft", "microsoft-managed-identity"})

RULES: tuple[Rule, ...] = (
    *(*ENTERPRISE_APPLICATION, *REGISTRATION, *MAILBOX, *RIGHTS, *CREDENTIALS, *BLOCKED),
    *(*SERVICE_ACCOUNT, *WORKSPACE_USER),
)
"""What cannot work, whether or not anything has failed."""
OF_FAILURES_ALONE: tuple[Rule, ...] = (*REFUSED_SIGN_INS, *SEND_AS, *POLICIES)
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
    about = inspection.about_each(mailboxes or ("",)).items()
    views = [View(each, mailbox, now, app_only=app_only) for mailbox, each in about]
    found = {(each.cause, id(each.facts[0])): each for view in views for each in defects(view)}
    return tuple(found.values())


def evidence_of(defect: Defect) -> str:
    """Return who said it, when, what, and how to read it again: `Exchange, 03:12: ... (Get-CASMailbox)`."""
    fact = defect.facts[0]
    return f"{fact.source}, {clock_text(fact.read_at)[:5]}: {defect.says} ({fact.asked})"
