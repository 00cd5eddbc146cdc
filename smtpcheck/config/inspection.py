"""`inspect:` - who reads what the provider says of a credential, and what cannot work about that.

Rule of this file: an inspector that cannot ask is a mistake of the configuration; one that asks as the application
that it inspects is allowed, and a warning: a right more for what sends mail, and blind when that is refused.
"""

from collections.abc import Mapping
from dataclasses import replace

from smtpcheck.config.problems import Place, Problems, nearest
from smtpcheck.inspection.plan import InspectionPlan
from smtpcheck.model.check import Check
from smtpcheck.oauth.cloud_credential import CloudCredential
from smtpcheck.oauth.clouds import Cloud
from smtpcheck.oauth.credential import Credential
from smtpcheck.oauth.google_service_account import GoogleServiceAccount
from smtpcheck.oauth.google_user import GoogleUser
from smtpcheck.oauth.managed_identity import ManagedIdentity
from smtpcheck.oauth.microsoft import Microsoft

SHORTEST_EVERY = 3600.0

_Inspected = CloudCredential | GoogleServiceAccount | GoogleUser


def inspection_plans(
    credentials: Mapping[str, Credential], places: Mapping[str, Place], checks: tuple[Check, ...], problems: Problems
) -> dict[str, InspectionPlan]:
    """Return the plan of each credential that has one and can be inspected; report what cannot work."""
    plans: dict[str, InspectionPlan] = {}
    for name, credential in credentials.items():
        if not isinstance(credential, CloudCredential | GoogleServiceAccount | GoogleUser):
            continue
        plan = _plan(name, credential, credentials, places[name] / "inspect", problems)
        if plan is not None:
            mailboxes = {check.mailbox for check in checks if check.credential == name and "@" in check.mailbox}
            plans[name] = replace(plan, mailboxes=tuple(sorted(mailboxes)))
    return plans


def _plan(
    name: str, credential: _Inspected, credentials: Mapping[str, Credential], place: Place, problems: Problems
) -> InspectionPlan | None:
    keys = credential.inspect
    if keys is None:
        return None
    by = credentials.get(keys.by)
    if by is None:
        hint = nearest(keys.by, credentials)
        problems.error(place / "by", "there is no credential of this name", hint=hint)
        return None
    if isinstance(credential, CloudCredential):
        usable = _by_microsoft(name, credential, by, place, problems)
    else:
        usable = _by_google(name, credential, by, place, problems)
    if keys.every < SHORTEST_EVERY:
        problems.error(place / "every", f"must be 1h or more, not {keys.every:g}s", hint="settings change rarely")
        usable = False
    if not usable:
        return None
    plan = InspectionPlan(name, keys.by, keys.every, keys.exchange, keys.sign_ins, credential_type=credential.type)
    return replace(plan, asker=by.identity()) if isinstance(by, GoogleServiceAccount) else plan


def _by_microsoft(name: str, credential: CloudCredential, by: Credential, place: Place, problems: Problems) -> bool:
    """Report what cannot work about an inspector at Microsoft, and return whether it can."""
    keys = credential.inspect
    if not isinstance(by, Microsoft | ManagedIdentity) or keys is None:
        hint = "name one of type microsoft, with an application and a certificate of its own"
        problems.error(place / "by", f"is of type {by.type}, which cannot read a directory", hint=hint)
        return False
    usable = _has_client_id(name, credential, place, problems)
    if by.cloud != credential.cloud:
        hint = f"name one of cloud {credential.cloud}"
        problems.error(place / "by", f"is of cloud {by.cloud}, and the credential of {credential.cloud}", hint=hint)
        usable = False
    if keys.exchange and credential.cloud is Cloud.CHINA and credential.authority is None:
        problems.warning(place / "exchange", "Exchange Online cannot be asked in the cloud china; this has no effect")
    client_id = credential.hints(name).client_id.lower()
    if keys.by == name or by.hints(keys.by).client_id.lower() == client_id != "":
        hint = "use an application of its own: what sends mail gets no rights to read the directory"
        problems.warning(place / "by", "is the application that is inspected: refused, it cannot say why", hint=hint)
    return usable


def _by_google(
    name: str, credential: GoogleServiceAccount | GoogleUser, by: Credential, place: Place, problems: Problems
) -> bool:
    """Report what cannot work about an inspector at Google, and return whether it can."""
    keys = credential.inspect
    if not isinstance(by, GoogleServiceAccount) or keys is None:
        hint = "name one of type google-service-account, with a service account and roles of its own"
        problems.error(place / "by", f"is of type {by.type}, which cannot read a directory of Google", hint=hint)
        return False
    for key, is_set in (("exchange", keys.exchange), ("sign_ins", keys.sign_ins)):
        if is_set:
            problems.warning(place / key, "is asked at Microsoft alone; this has no effect", hint="remove it")
    if keys.by == name:
        hint = "use a service account of its own: what sends mail gets no rights to read the directory"
        problems.warning(
            place / "by", "is the service account that is inspected: refused, it cannot say why", hint=hint
        )
    return True


def _has_client_id(name: str, credential: CloudCredential, place: Place, problems: Problems) -> bool:
    if credential.hints(name).client_id:
        return True
    problems.error(place, "needs the credential's client_id, by which the application is found", hint="add client_id")
    return False
