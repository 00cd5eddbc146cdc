"""What Exchange says of the application: whether it is registered, and which rights it has, on a mailbox or in a scope.

Rule of this file: pure. The evidence names no person, address or place.
"""

from smtpcheck.diagnosis.inspected.view import (
    PROBABLE,
    PROVEN,
    SMTP_PERMISSION,
    SMTP_ROLE,
    Defect,
    Rule,
    View,
    is_smtp_role,
    state,
)
from smtpcheck.model.cause import Cause
from smtpcheck.model.inspection import UNKNOWN_PERMISSION, FactName

_OF_ROLES = (
    *(FactName.PRINCIPAL_ID, FactName.APPLICATION_ROLES, FactName.REGISTERED_ID),
    *(FactName.ROLE_IN_SCOPE, FactName.ROLE_ASSIGNMENTS),
)


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
    if view.when(FactName.ROLE_IN_SCOPE, value=True) or any(is_smtp_role(each) for each in assigned or ()):
        return None
    says = f"{SMTP_PERMISSION} is not among the permissions that were consented to"
    is_known = not any(each.startswith(UNKNOWN_PERMISSION) for each in granted)
    is_asked = assigned is not None or view.when(FactName.REGISTERED, value=False) is not None
    certainty = PROVEN if is_known and is_asked else PROBABLE
    return Defect(Cause.MISSING_SMTP_PERMISSION, (fact,), says, certainty)


def _out_of_scope(view: View) -> Defect | None:
    """The role is there (RBAC for Applications), but not for this mailbox."""
    out, assigned = view.when(FactName.ROLE_IN_SCOPE, value=False), view.fact(FactName.ROLE_ASSIGNMENTS)
    granted = view.texts(FactName.APPLICATION_ROLES)
    if out is None or assigned is None or granted is None or SMTP_PERMISSION in granted:
        return None
    if not any(is_smtp_role(each) for each in view.texts(FactName.ROLE_ASSIGNMENTS) or ()):
        return None
    says = f"the mailbox is not in the scope of the role {SMTP_ROLE}"
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


def _sender_not_allowed(view: View) -> Defect | None:
    """How Exchange names an application among those with Send As is not documented; that there are none is certain."""
    missing, nobody = view.when(FactName.SEND_AS, value=False), view.when(FactName.OTHERS_SEND_AS, value=False)
    if missing is None:
        return None
    is_own_address = view.when(FactName.USER_ADDRESS_IS_ALIAS, value=False) is not None
    if nobody is not None and is_own_address and view.login:
        return Defect(Cause.SENDER_NOT_ALLOWED, (nobody,), "nobody but its owner has Send As for this address")
    return Defect(Cause.SENDER_NOT_ALLOWED, (missing,), "the application has no Send As for this address", PROBABLE)


REGISTRATION = (
    state(
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
)
"""Whether Exchange knows the application."""
RIGHTS = (
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
)
"""Whether the application may send from the mailbox."""
SEND_AS = (
    Rule(
        frozenset({Cause.SENDER_NOT_ALLOWED}),
        (FactName.REGISTERED_SID, FactName.SEND_AS, FactName.OTHERS_SEND_AS, FactName.USER_ADDRESS_IS_ALIAS),
        _sender_not_allowed,
        apps_only=True,
    ),
)
"""Whether it may send as another address."""
