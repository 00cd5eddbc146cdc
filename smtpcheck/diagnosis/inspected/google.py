"""What Google says of a user, a service account, its keys and its delegation; and which failures that explains.

Rules of this file:
- Pure. The evidence names no person, address or place.
- A failure is told by the words of Google's token endpoint, of Gmail's 535 or of the Gmail API; each has its list of
  causes, in the order in which they are separated best. A refusal for the moment (454, 421, 5xx) has none: nothing that
  is administered explains it.
"""

from collections.abc import Mapping

from smtpcheck.diagnosis.inspected.view import PROBABLE, PROVEN, Defect, Rule, View, state
from smtpcheck.model.cause import Cause
from smtpcheck.model.inspection import FactName
from smtpcheck.model.report import Report

_UNUSABLE_KEYS: Mapping[str, str] = {
    "not listed": "the key of the local file is not among the service account's keys",
    "expired": "the key of the local file has expired",
}
_USER = (Cause.ACCOUNT_LOCKED, Cause.MAILBOX_MISSING_OR_UNLICENSED)
_KEY = (Cause.SERVICE_ACCOUNT_KEY_INVALID, Cause.APP_DISABLED)
_BY_TEXT: Mapping[str, Mapping[str, tuple[Cause, ...]]] = {
    "unauthorized_client": {"": (Cause.GOOGLE_DWD_NOT_AUTHORIZED,)},
    "access_denied": {"": (Cause.GOOGLE_DWD_NOT_AUTHORIZED,)},
    "disabled_client": {"": (Cause.APP_DISABLED, Cause.SERVICE_ACCOUNT_KEY_INVALID)},
    "invalid_grant": {
        "invalid email or user id": _USER,
        "not a valid email": _USER,
        "account disabled": _USER,
        "account has been disabled": _USER,
        "account has been deleted": _USER,
        "invalid jwt signature": _KEY,
        "account not found": _KEY,
        "robot is disabled": (Cause.APP_DISABLED, Cause.SERVICE_ACCOUNT_KEY_INVALID),
    },
    "invalid_request": {"invalid impersonation": _USER},
}
"""By the error and a part of its description, in lower case
(https://developers.google.com/identity/protocols/oauth2/service-account#jwt-error-codes, GAM-team/GAM#1171,
googleapis/google-cloud-php#3622, GoogleCloudPlatform/dotnet-docs-samples#844)."""
_BAD_CREDENTIALS = "badcredentials"
"""In the second line of Gmail's 535 5.7.8, and of nobody else's."""


def google_candidates(report: Report) -> tuple[Cause, ...]:
    """Return the causes of a failure that Google's word can show, none where it can show none."""
    reply, answer, error = report.failed_reply, report.failed_answer, report.token_error
    if reply is not None:
        return _USER if reply.code == 535 and _BAD_CREDENTIALS in str(reply).casefold() else ()
    if answer is not None:
        refused = answer.status == 400 and answer.error in {"failedPrecondition", "FAILED_PRECONDITION"}
        return (*_USER, Cause.GOOGLE_DWD_NOT_AUTHORIZED) if refused else ()
    if error is None:
        return ()
    texts, said = _BY_TEXT.get(error.error, {}), error.description.casefold()
    return next((causes for text, causes in texts.items() if text in said), ())


def _key_unusable(view: View) -> Defect | None:
    key = view.fact(FactName.LOCAL_KEY)
    if key is None or not isinstance(key.value, str) or key.value == "enabled":
        return None
    says = _UNUSABLE_KEYS.get(key.value, f"the key of the local file is {key.value}")
    return Defect(Cause.SERVICE_ACCOUNT_KEY_INVALID, (key,), f"{says} (key {key.item})")


def _not_delegated(view: View) -> Defect | None:
    refused = view.when(FactName.DELEGATED, value=False)
    if refused is None:
        return None
    identifier = view.fact(FactName.SERVICE_ACCOUNT_CLIENT_ID)
    whom = f"the client ID {identifier.value}" if identifier is not None else "the service account"
    return Defect(Cause.GOOGLE_DWD_NOT_AUTHORIZED, (refused,), f"{refused.item} is not delegated to {whom}")


def _suspended(view: View) -> Defect | None:
    suspended = view.when(FactName.USER_SUSPENDED, value=True)
    if suspended is None:
        return None
    reason = view.fact(FactName.USER_SUSPENSION_REASON)
    why = f" (reason: {reason.value})" if reason is not None else ""
    return Defect(Cause.ACCOUNT_LOCKED, (suspended,), f"the account is suspended{why}")


def _no_mailbox(view: View) -> Defect | None:
    """Google documents the member only for accounts with a licence for Gmail: without one it is likely, and no more."""
    cause, missing = Cause.MAILBOX_MISSING_OR_UNLICENSED, view.when(FactName.USER_MAILBOX_CREATED, value=False)
    if missing is not None:
        return Defect(cause, (missing,), "the account has no mailbox at Gmail")
    archived = view.when(FactName.USER_ARCHIVED, value=True)
    return Defect(cause, (archived,), "the account is archived", PROBABLE) if archived is not None else None


def _account_gone(view: View) -> Defect | None:
    gone = view.when(FactName.SERVICE_ACCOUNT_EXISTS, value=False)
    if gone is None:
        return None
    says = "there is no such service account in its project"
    return Defect(Cause.SERVICE_ACCOUNT_KEY_INVALID, (gone,), says, PROVEN)


SERVICE_ACCOUNT = (
    Rule(frozenset({Cause.SERVICE_ACCOUNT_KEY_INVALID}), (FactName.SERVICE_ACCOUNT_EXISTS,), _account_gone),
    state(Cause.APP_DISABLED, FactName.SERVICE_ACCOUNT_ENABLED, "the service account is disabled", value=False),
    Rule(frozenset({Cause.SERVICE_ACCOUNT_KEY_INVALID}), (FactName.LOCAL_KEY,), _key_unusable),
    Rule(
        frozenset({Cause.GOOGLE_DWD_NOT_AUTHORIZED}),
        (FactName.DELEGATED, FactName.SERVICE_ACCOUNT_CLIENT_ID),
        _not_delegated,
    ),
)
"""Whether the service account can get a token for the mailbox."""
WORKSPACE_USER = (
    Rule(frozenset({Cause.ACCOUNT_LOCKED}), (FactName.USER_SUSPENDED, FactName.USER_SUSPENSION_REASON), _suspended),
    Rule(
        frozenset({Cause.MAILBOX_MISSING_OR_UNLICENSED}),
        (FactName.USER_EXISTS, FactName.USER_MAILBOX_CREATED, FactName.USER_ARCHIVED),
        _no_mailbox,
    ),
)
"""Whether the user can have mail."""
