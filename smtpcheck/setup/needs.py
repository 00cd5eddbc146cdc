"""What the checks of a configuration need of one credential: permissions, mailbox by mailbox.

Rules of this file:
- Nothing is granted that no check uses: a check that only connects needs nothing, and one whose login must be refused
  least of all.
- What each way of sending, finding and asking needs is declared where it is; here it is added up.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from smtpcheck.config.settings import Settings
from smtpcheck.loopback.permissions import PERMISSIONS as FINDER_PERMISSIONS
from smtpcheck.loopback.plan import FindVia, Loopback
from smtpcheck.model.check import Check, Depth, Phase, Provider
from smtpcheck.model.permission import Api, Permission
from smtpcheck.oauth.microsoft import Microsoft

SMTP_PERMISSIONS = {
    Provider.MICROSOFT: (
        Permission(Api.EXCHANGE, "SMTP.SendAsApp", exchange_role="Application SMTP.SendAsApp", full_access=True),
    ),
    Provider.HVE: (Permission(Api.EXCHANGE, "Mail.Send"),),
}
"""By SMTP (https://learn.microsoft.com/exchange/permissions-exo/application-rbac;
https://learn.microsoft.com/exchange/mail-flow-best-practices/oauth-high-volume-mails-m365)."""
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


def _to_send(check: Check, loopback: Loopback | None) -> Iterator[Need]:
    if must_be_refused(check) or (check.depth < Depth.AUTH and loopback is None):
        return
    permissions = SMTP_PERMISSIONS.get(check.provider)
    if permissions is None:
        return
    senders = {loopback.sender if loopback else ""} | {"" if check.expect else check.sender}
    for sender in sorted(senders):
        yield Need(
            permissions,
            check.mailbox,
            smtp_auth=check.provider is Provider.MICROSOFT,
            sender="" if sender.casefold() == check.mailbox.casefold() else sender,
            check=check.name,
        )


def _to_find(check: Check, loopback: Loopback, name: str) -> Iterator[Need]:
    find = loopback.find
    if find is not None and find.credential == name and not find.password:
        is_imap = find.via is FindVia.IMAP
        yield Need(FINDER_PERMISSIONS[find.via], find.mailbox, imap=is_imap, check=check.name)


def must_be_refused(check: Check) -> bool:
    """Return whether the check expects that its mailbox is not granted."""
    return check.expect is not None and check.expect.phase is Phase.AUTH
