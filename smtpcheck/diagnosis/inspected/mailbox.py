"""What is said of the mailbox itself: whether it exists, whether SMTP AUTH is on, whether it is blocked.

Rule of this file: pure. The evidence names no person, address or place.
"""

from smtpcheck.diagnosis.inspected.view import PROBABLE, PROVEN, Defect, Rule, View, state
from smtpcheck.model.cause import Cause
from smtpcheck.model.inspection import FactName

_PLANS_THAT_WORK = frozenset({"Enabled", "Warning"})
_FINDS_BY_ANY_ADDRESS = frozenset({"Google Workspace"})
"""Directories that find an account by its aliases too, and have no mailbox without one."""
_KINDS_ON_PREMISES = frozenset({"MailUser", "RemoteUserMailbox"})


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
        is_known = deleted or gone.source in _FINDS_BY_ANY_ADDRESS
        return Defect(cause, (gone,), says, PROVEN if is_known else PROBABLE)
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


MAILBOX = (
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
)
"""Whether there is a mailbox that can be logged in to by SMTP."""
BLOCKED = (
    state(
        Cause.ACCOUNT_BLOCKED_OUTBOUND_SPAM,
        FactName.BLOCKED_SENDER,
        "the mailbox is blocked from sending for outbound spam",
        value=True,
    ),
)
"""Whether it is among the restricted entities."""
