"""From a configuration to a plan: which applications, with which rights on which mailboxes.

Rules of this file:
- There is a plan only if a right script can come of it; else every problem is reported at once.
- A script signs in to one tenant. What only the tenant knows (whether a mailbox is its own) the script checks before it
  changes anything.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from smtpcheck.config.options import NIL
from smtpcheck.config.settings import Settings
from smtpcheck.oauth.cloud_credential import CloudCredential
from smtpcheck.oauth.clouds import Cloud
from smtpcheck.oauth.managed_identity import ManagedIdentity
from smtpcheck.oauth.microsoft import Microsoft
from smtpcheck.setup.choices import Grant
from smtpcheck.setup.grants import Granted, granted
from smtpcheck.setup.needs import Need, needs_of
from smtpcheck.setup.notes import notes_on_checks, notes_on_inspector, notes_on_plan
from smtpcheck.setup.plan import Application, MailboxRights, Proof, ScopedRole, SetupError, SetupPlan
from smtpcheck.setup.proofs import ProofWishes, proof_for

LONGEST_NAME = 64
"""Characters of the name of a group, a role assignment and a service principal in Exchange."""

_OWN = "smtpcheck"
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_OF_MICROSOFT = (Microsoft, ManagedIdentity)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a user asks for, besides what the configuration says."""

    names: tuple[str, ...] = ()
    """Credentials; empty: all that a script can be made for."""
    grant: Grant = Grant.MAILBOX
    group: str = "smtpcheck"
    administrative_unit: str = ""
    tenant: str = ""
    """For managed identities, whose configuration names none."""
    proof: ProofWishes = field(default_factory=ProofWishes)


def microsoft_plan(settings: Settings, wishes: Wishes) -> SetupPlan:
    """Return what is to be set up in one tenant of Microsoft.

    Raises:
        SetupError: No right script can be made; all problems.
    """
    problems = list(_wrong_wishes(wishes))
    names = _chosen(settings, wishes, problems)
    tenant, cloud = _tenant(settings, names, wishes, problems)
    if problems:
        raise SetupError(*problems)
    applications: list[Application] = []
    notes: list[str] = []
    for name in names:
        try:
            applications.append(_application(settings, name, wishes, cloud))
        except SetupError as error:
            problems += error.problems
        notes += [*notes_on_checks(settings, name), *notes_on_inspector(settings, name)]
    problems += _shared_groups(applications)
    if problems:
        raise SetupError(*problems)
    return SetupPlan(
        tenant=tenant,
        cloud=cloud,
        grant=wishes.grant,
        applications=tuple(applications),
        administrative_unit=wishes.administrative_unit if wishes.grant is Grant.RBAC_AU else "",
        notes=tuple(dict.fromkeys([*notes_on_plan(applications, cloud, wishes.grant), *notes])),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Which credentials, in which tenant


def _wrong_wishes(wishes: Wishes) -> Iterator[str]:
    is_unit = wishes.grant is Grant.RBAC_AU
    if is_unit and not _GUID.fullmatch(wishes.administrative_unit):
        given = f", not {wishes.administrative_unit!r}" if wishes.administrative_unit else ""
        yield f"--grant rbac-au needs --administrative-unit with the id of the unit (a GUID){given}"
    if wishes.administrative_unit and not is_unit:
        yield "--administrative-unit has no effect without --grant rbac-au"
    longest = LONGEST_NAME - len("-mail-readwrite")
    if not wishes.group.isprintable() or wishes.group != wishes.group.strip() or not 0 < len(wishes.group) <= longest:
        yield f"--group {wishes.group!r} is not a name of 1 to {longest} printable characters"


def microsoft_credentials(settings: Settings) -> list[str]:
    """Return the applications of Microsoft that checks of the configuration use."""
    return [
        name
        for name, credential in settings.credentials.items()
        if isinstance(credential, _OF_MICROSOFT) and credential.authority is None and any(needs_of(settings, name))
    ]


def _chosen(settings: Settings, wishes: Wishes, problems: list[str]) -> list[str]:
    """Return the credentials to set up; report those that were named and cannot be."""
    if not wishes.names:
        used = microsoft_credentials(settings)
        if not used:
            problems.append("the configuration has no application of Microsoft that a check uses")
        return used
    problems += filter(None, (_why_not(settings, name) for name in wishes.names))
    return list(dict.fromkeys(wishes.names))


def _why_not(settings: Settings, name: str) -> str | None:
    credential = settings.credentials.get(name)
    if credential is None:
        return f"there is no credential {name!r}; there is: {', '.join(sorted(settings.credentials)) or 'none'}"
    if credential.type == "microsoft-user":
        return f"credential {name} acts for a user: there is nothing to set up but smtpcheck login {name}"
    if not isinstance(credential, _OF_MICROSOFT):
        return f"credential {name} is of type {credential.type}, for which there is no script for Microsoft"
    if credential.authority is not None:
        return f"credential {name} has an issuer of its own ({credential.authority}), not Microsoft Entra"
    if not any(needs_of(settings, name)):
        return f"no check logs in with credential {name}: add its checks first, for they say which mailboxes it needs"
    return None


def _tenant(settings: Settings, names: Sequence[str], wishes: Wishes, problems: list[str]) -> tuple[str, Cloud]:
    """Return the one tenant and cloud of the credentials; report where there are several, or none."""
    chosen = [(name, credential) for name in names if (credential := settings.credentials.get(name)) is not None]
    tenants: dict[str, list[str]] = {}
    clouds: dict[Cloud, list[str]] = {}
    for name, credential in chosen:
        if isinstance(credential, Microsoft):
            tenants.setdefault(credential.tenant.lower(), []).append(name)
        if isinstance(credential, CloudCredential):
            clouds.setdefault(credential.cloud, []).append(name)
    for kind, groups in (("tenants", tenants), ("clouds", clouds)):
        if len(groups) > 1:
            lines = "; ".join(f"smtpcheck setup {' '.join(group)}" for group in groups.values())
            found = ", ".join(map(str, groups))
            problems.append(f"the credentials are of several {kind} ({found}), and a script signs in to one: {lines}")
    tenant = next(iter(tenants), wishes.tenant)
    if chosen and not tenant and not problems:
        problems.append(f"the tenant of credential {names[0]} is not known: name it by --tenant")
    return tenant, next(iter(clouds), Cloud.GLOBAL)


# ---------------------------------------------------------------------------------------------------------------------
# One application


def _application(settings: Settings, name: str, wishes: Wishes, cloud: Cloud) -> Application:
    """Return one application with all that it needs. Raises SetupError."""
    credential = settings.credentials[name]
    assert isinstance(credential, _OF_MICROSOFT)  # noqa: S101 - the caller has chosen it
    needs = list(needs_of(settings, name))
    rights = granted(needs, wishes.grant, cloud)
    client_id = "" if credential.client_id in {None, NIL} else str(credential.client_id)
    object_id = (credential.object_id or "") if isinstance(credential, ManagedIdentity) else ""
    problems = [*_wrong_ids(name, credential, client_id, object_id)]
    problems += [f"credential {name}: {each}" for each in rights.problems]
    try:
        proof = proof_for(name, credential, wishes.proof)
    except SetupError as error:
        problems += error.problems
        proof = Proof.none()
    if problems:
        raise SetupError(*problems)
    return Application(
        credential=name,
        display_name=shortened(name if name == _OWN else f"{_OWN}-{name}", LONGEST_NAME),
        client_id=client_id,
        object_id=object_id,
        proof=proof,
        consents=rights.consents,
        superseded=rights.superseded,
        roles=tuple(_roles(name, rights, wishes)),
        role_groups=rights.role_groups,
        mailboxes=_mailboxes(needs, rights),
        checks=tuple(dict.fromkeys(need.check for need in needs if need.check)),
    )


def _wrong_ids(name: str, credential: Microsoft | ManagedIdentity, client_id: str, object_id: str) -> Iterator[str]:
    for what, value in (("client_id", client_id), ("object_id", object_id)):
        if value and not _GUID.fullmatch(value):
            yield f"credential {name}: {what} {value!r} is not a GUID, as Microsoft's ids are"
    if isinstance(credential, ManagedIdentity) and not (client_id or object_id):
        yield (
            f"credential {name} does not say which managed identity it is: write its client_id, or its object_id, into "
            "the configuration (Azure portal > the machine > Identity)"
        )


def _roles(name: str, rights: Granted, wishes: Wishes) -> Iterator[ScopedRole]:
    for role, mailboxes in rights.roles.items():
        short = role.removeprefix("Application ").removesuffix(".SendAsApp").lower().replace(".", "-")
        by_unit = wishes.grant is Grant.RBAC_AU
        yield ScopedRole(
            role=role,
            assignment=shortened(f"smtpcheck-{name}-{short}", LONGEST_NAME),
            group="" if by_unit else wishes.group if short == "smtp" else f"{wishes.group}-{short}",
            mailboxes=mailboxes,
        )


def shortened(name: str, longest: int) -> str:
    """Return the name with plain characters alone, at most `longest`; where that changes it, with a hash of it."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    if plain == name and len(name) <= longest:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain[: longest - 9]}-{digest}"


def _mailboxes(needs: Iterable[Need], rights: Granted) -> tuple[MailboxRights, ...]:
    """Return the rights of each mailbox, in the order of the checks."""
    of_mailbox: dict[str, list[Need]] = {}
    for need in needs:
        if need.mailbox:
            of_mailbox.setdefault(need.mailbox.casefold(), []).append(need)
    return tuple(
        MailboxRights(
            address=each[0].mailbox,
            full_access=key in rights.full_access,
            smtp_auth=any(need.smtp_auth for need in each),
            imap=any(need.imap for need in each),
            send_as=tuple(sorted({need.sender.casefold(): need.sender for need in each if need.sender}.values())),
        )
        for key, each in of_mailbox.items()
    )


def _shared_groups(applications: Iterable[Application]) -> Iterator[str]:
    """Yield the groups by which an application would reach mailboxes of another one."""
    owners: dict[str, tuple[str, frozenset[str]]] = {}
    for application in applications:
        for role in application.roles:
            members = frozenset(each.casefold() for each in role.mailboxes)
            owner, others = owners.setdefault(role.group, (application.credential, members))
            if role.group and members != others:
                yield (
                    f"credentials {owner} and {application.credential} need different mailboxes, and would share the "
                    f"group {role.group}: make a script for each, with its own --group"
                )
