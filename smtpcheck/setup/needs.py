"""What the checks of a configuration need of one credential: permissions, mailbox by mailbox.

Rules of this file:
- Nothing is granted that no check uses: a check that only connects needs nothing, and one whose login must be refused
  least of all.
- What each way of sending, finding and asking needs is declared where it is; here it is added up.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from smtpcheck.config.settings import Settings
from smtpcheck.inspection.plan import InspectionPlan
from smtpcheck.inspection.question import Needs, Question
from smtpcheck.inspection.questions import OF_LOST_MESSAGES, QUESTIONS
from smtpcheck.loopback.permissions import PERMISSIONS as FINDER_PERMISSIONS
from smtpcheck.loopback.plan import FindVia, Loopback
from smtpcheck.mail_api.apis import api_of
from smtpcheck.mail_api.graph import Graph
from smtpcheck.model.check import Check, Depth, Phase, Provider, Via
from smtpcheck.model.permission import Api, Permission
from smtpcheck.oauth.cloud_credential import CloudCredential
from smtpcheck.oauth.clouds import Cloud
from smtpcheck.oauth.microsoft import Microsoft

SMTP_PERMISSIONS = {
    Provider.MICROSOFT: (
        Permission(Api.EXCHANGE, "SMTP.SendAsApp", exchange_role="Application SMTP.SendAsApp", full_access=True),
    ),
    Provider.HVE: (Permission(Api.EXCHANGE, "Mail.Send"),),
}
"""By SMTP (https://learn.microsoft.com/exchange/permissions-exo/application-rbac;
https://learn.microsoft.com/exchange/mail-flow-best-practices/oauth-high-volume-mails-m365)."""
READING_GROUP = "View-Only Organization Management"
"""The role group of Exchange whose members may read its settings and nothing else."""
_ROLES = {"MailboxSettings.Read": "Application MailboxSettings.Read"}
"""Permissions of the inspection that a role grants for chosen mailboxes."""
EXPIRY_PERMISSIONS = (Permission(Api.GRAPH, "Application.Read.All"),)
"""Of `read_expiry_from_graph`."""


@dataclass(frozen=True, slots=True)
class Need:
    """One use that a check makes of a mailbox, or of the tenant."""

    permissions: tuple[Permission, ...]
    mailbox: str = ""
    """Empty: it is about the tenant."""
    smtp_auth: bool = False
    imap: bool = False
    sender: str = ""
    """The address that messages are sent from, where it may be another one."""
    check: str = ""


def needs_of(settings: Settings, name: str) -> Iterator[Need]:
    """Yield everything that the credential called `name` is used for, and that Microsoft has to grant."""
    for check in settings.checks:
        loopback = settings.loopbacks.get(check.name)
        if check.credential == name:
            yield from _to_send(check, loopback)
        if loopback is not None:
            yield from _to_find(check, loopback, name)
    credential = settings.credentials.get(name)
    if isinstance(credential, Microsoft) and credential.read_expiry_from_graph:
        yield Need(EXPIRY_PERMISSIONS)
    if isinstance(credential, CloudCredential):
        for plan in settings.inspections.values():
            if plan.by == name:
                yield from _to_inspect(plan, questions_of(settings, plan), credential.cloud)


def _to_send(check: Check, loopback: Loopback | None) -> Iterator[Need]:
    if must_be_refused(check) or (check.depth < Depth.AUTH and loopback is None):
        return
    permissions = SMTP_PERMISSIONS.get(check.provider, ()) if check.via is None else _of_api(check.via)
    if not permissions:
        return
    senders = {loopback.sender if loopback else ""} | {"" if check.expect else check.sender}
    for sender in sorted(senders):
        yield Need(
            permissions,
            check.mailbox,
            smtp_auth=check.via is None and check.provider is Provider.MICROSOFT,
            sender="" if sender.casefold() == check.mailbox.casefold() else sender,
            check=check.name,
        )


def _of_api(via: Via) -> tuple[Permission, ...]:
    """Return what a mail API needs, where that is a permission of Microsoft Graph."""
    api = api_of(via)
    if not isinstance(api, Graph):
        return ()
    return tuple(Permission(Api.GRAPH, each, exchange_role=f"Application {each}") for each in api.permissions)


def questions_of(settings: Settings, plan: InspectionPlan) -> tuple[Question, ...]:
    """Return what the inspector may ask: of lost messages only where a check of the credential has a loopback."""
    sends = any(check.credential == plan.credential and check.name in settings.loopbacks for check in settings.checks)
    questions = (*QUESTIONS, *OF_LOST_MESSAGES) if sends else QUESTIONS
    return tuple(question for question in questions if question.is_asked(plan))


def _to_inspect(plan: InspectionPlan, questions: Iterable[Question], cloud: Cloud) -> Iterator[Need]:
    for question in questions:
        if cloud not in question.needs.clouds:
            continue
        for permission in _of_question(question.needs, cloud):
            mailboxes = plan.mailboxes if permission.exchange_role else ("",)
            yield from (Need((permission,), mailbox) for mailbox in mailboxes)


def _of_question(needs: Needs, cloud: Cloud) -> Iterator[Permission]:
    api = next(each for each in Api if each.title == needs.api)
    for name in needs.permissions:
        role = _ROLES.get(name, "") if cloud is Cloud.GLOBAL else ""
        yield Permission(api, name, role, role_group=READING_GROUP if needs.directory_roles else "")


def _to_find(check: Check, loopback: Loopback, name: str) -> Iterator[Need]:
    """Yield what the search for messages needs, and the one for bounces where it is asked for by name."""
    searched = loopback.searched if loopback.bounces_required else (loopback.find,)
    for find in searched:
        if find is not None and find.credential == name and not find.password:
            is_imap = find.via is FindVia.IMAP
            yield Need(FINDER_PERMISSIONS[find.via], find.mailbox, imap=is_imap, check=check.name)


def must_be_refused(check: Check) -> bool:
    """Return whether the check expects that its mailbox is not granted."""
    return check.expect is not None and check.expect.phase in {Phase.AUTH, Phase.REQUEST}
