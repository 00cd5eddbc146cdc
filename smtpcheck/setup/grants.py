"""In which of its forms each permission is granted: consent in Entra, or a role in Exchange.

Rules of this file:
- The narrowest form that suffices: what reaches mailboxes is limited to those that need it, or not granted at all.
- RBAC for Applications exists for the global cloud, and has no role for IMAP
  (https://learn.microsoft.com/exchange/permissions-exo/application-rbac).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from smtpcheck.model.permission import Api, Permission
from smtpcheck.oauth.clouds import Cloud
from smtpcheck.setup.choices import Grant
from smtpcheck.setup.needs import Need


@dataclass(frozen=True, slots=True)
class Granted:
    """What one application is granted."""

    consents: tuple[Permission, ...] = ()
    superseded: tuple[Permission, ...] = ()
    full_access: frozenset[str] = frozenset()
    """Mailboxes, case-folded."""
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Mailboxes by the role of RBAC for Applications."""
    role_groups: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def granted(needs: Iterable[Need], grant: Grant, cloud: Cloud) -> Granted:
    """Return the form of every permission that is needed; what has no right form is a problem."""
    consents: dict[Permission, None] = {}
    roles: dict[Permission, dict[str, str]] = {}
    full_access: set[str] = set()
    problems: dict[str, None] = {}
    for need in needs:
        for permission in need.permissions:
            if _by_role(permission, grant):
                if cloud is not Cloud.GLOBAL:
                    problems[_only_global(permission, cloud)] = None
                roles.setdefault(permission, {}).setdefault(need.mailbox.casefold(), need.mailbox)
                continue
            consents[permission] = None
            if permission.full_access:
                full_access.add(need.mailbox.casefold())
    return Granted(
        consents=tuple(consents),
        superseded=tuple(permission for permission in roles if permission not in consents),
        full_access=frozenset(full_access),
        roles={permission.exchange_role: tuple(mailboxes.values()) for permission, mailboxes in roles.items()},
        role_groups=tuple(dict.fromkeys(each.role_group for each in consents if each.role_group)),
        problems=tuple(problems),
    )


def _by_role(permission: Permission, grant: Grant) -> bool:
    """Return whether a role grants it: where that was asked for, and where consent would reach every mailbox."""
    if not permission.exchange_role:
        return False
    return grant is not Grant.MAILBOX or permission.api is Api.GRAPH


def _only_global(permission: Permission, cloud: Cloud) -> str:
    if permission.api is Api.GRAPH:
        return (
            f"{permission.name} of Microsoft Graph can be limited to mailboxes by RBAC for Applications alone, which "
            f"is documented for the global cloud, not for {cloud}: find messages by IMAP there (find: {{via: imap}})"
        )
    return f"RBAC for Applications is documented for the global cloud, not for {cloud}: use --grant mailbox"
