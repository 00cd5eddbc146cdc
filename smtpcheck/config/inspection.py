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
from smtpcheck.oauth.managed_identity import ManagedIdentity
from smtpcheck.oauth.microsoft import Microsoft

SHORTEST_EVERY = 3600.0


def inspection_plans(
    credentials: Mapping[str, Credential], places: Mapping[str, Place], checks: tuple[Check, ...], problems: Problems
) -> dict[str, InspectionPlan]:
    """Return the plan of each credential that has one and can be inspected; report what cannot work."""
    plans: dict[str, InspectionPlan] = {}
    for name, credential in credentials.items():
        if isinstance(credential, CloudCredential) and credential.inspect is not None:
            plan = _plan(name, credential, credentials, places[name] / "inspect", problems)
            if plan is not None:
                mailboxes = {check.mailbox for check in checks if check.credential == name and "@" in check.mailbox}
                plans[name] = replace(plan, mailboxes=tuple(sorted(mailboxes)))
    return plans


def _plan(
    name: str, credential: CloudCredential, credentials: Mapping[str, Credential], place: Place, problems: Problems
) -> InspectionPlan | None:
    keys = credential.inspect
    if keys is None:
        return None
    by = credentials.get(keys.by)
    if by is None:
        hint = nearest(keys.by, credentials)
        problems.error(place / "by", "there is no credential of this name", hint=hint)
        return None
    if not isinstance(by, Microsoft | ManagedIdentity):
        hint = "name one of type microsoft, with an application and a certificate of its own"
        problems.error(place / "by", f"is of type {by.type}, which cannot read a directory", hint=hint)
        return None
    usable = _has_client_id(name, credential, place, problems)
    if keys.every < SHORTEST_EVERY:
        problems.error(place / "every", f"must be 1h or more, not {keys.every:g}s", hint="settings change rarely")
        usable = False
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
    if not usable:
        return None
    return InspectionPlan(name, keys.by, keys.every, keys.exchange, keys.sign_ins)


def _has_client_id(name: str, credential: CloudCredential, place: Place, problems: Problems) -> bool:
    if credential.hints(name).client_id:
        return True
    problems.error(place, "needs the credential's client_id, by which the application is found", hint="add client_id")
    return False
