"""What Exchange Online knows of applications and mailboxes: registrations, rights, switches.

Rules of this file:
- All of it is mutable as in a real tenant. What nobody changed is in order: every application is registered, and may
  open every mailbox, since a year ago.
- The SMTP service and the twins of Microsoft's interfaces look at the same state, so what they say agrees.
"""

import time
import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from smtpcheck.sandbox.directory import App

_YEAR = 365 * 86400.0
SMTP_ROLE = "Application SMTP.SendAsApp"


@dataclass(slots=True)
class MailboxEntry:
    """One mailbox, as an administrator sees it."""

    address: str
    exists: bool = True
    soft_deleted: bool = False
    kind: str = "UserMailbox"
    purpose: str = "user"
    licence: str = "Enabled"
    enabled: bool = True
    aliases: tuple[str, ...] = ()
    smtp_auth_disabled: bool | None = None
    """None: as the tenant says."""
    closed_to: set[str] = field(default_factory=set)
    """Client ids of applications without full access."""
    others_send_as: bool = True
    """Whether the applications have Send As, besides its owner."""
    forwards_to: str = ""
    blocked: bool = False
    """Whether it is blocked for outbound spam."""
    object_id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(slots=True)
class Registration:
    """The service principal that Exchange has of an application."""

    object_id: str
    sid: str
    created_at: float = field(default_factory=lambda: time.time() - _YEAR)
    """Unix seconds."""


class ExchangeDirectory:
    """The administration of one organization.

    Attributes:
        mailboxes: by address in lower case.
        unregistered: client ids of applications that Exchange does not know.
        smtp_auth_disabled: the tenant's switch.
        roles: by client id, the mailboxes in the scope of its SMTP role; None without the role.
        still_applied: pairs of client id and mailbox whose rights the mail servers do not know to be gone.
        not_applied: pairs of client id and mailbox whose rights the mail servers do not know yet.
        send_from_alias: whether a mailbox may send from its aliases.
    """

    def __init__(self) -> None:
        self.mailboxes: dict[str, MailboxEntry] = {}
        self.unregistered: set[str] = set()
        self.smtp_auth_disabled = False
        self.roles: dict[str, set[str]] = {}
        self.still_applied: set[tuple[str, str]] = set()
        self.not_applied: set[tuple[str, str]] = set()
        self.send_from_alias = True
        self._registrations: dict[str, Registration] = {}

    def add(self, addresses: Iterable[str]) -> None:
        """Make a mailbox for each address."""
        self.mailboxes |= {address.casefold(): MailboxEntry(address) for address in addresses}

    def mailbox(self, address: str) -> MailboxEntry | None:
        """Return the mailbox of an address, None where there is none; a deleted one is there."""
        return self.mailboxes.get(address.casefold())

    def registration(self, app: App) -> Registration | None:
        """Return what Exchange has of an application, None where it does not know it."""
        if app.client_id in self.unregistered:
            return None
        number = uuid.uuid5(uuid.NAMESPACE_OID, app.client_id).int % 10**9
        fresh = Registration(app.principal_id, f"S-1-5-21-{number}-{number // 7}-{number // 11}-{1000 + number % 9000}")
        return self._registrations.setdefault(app.client_id, fresh)

    def permits(self, app: App, permissions: Collection[str], address: str) -> bool:
        """Return whether the application may log in to the mailbox by SMTP with these permissions in its token."""
        entry, registration = self.mailbox(address), self.registration(app)
        if (app.client_id, address.casefold()) in self.still_applied:
            return True
        if entry is None or not entry.exists or registration is None or registration.object_id != app.principal_id:
            return False
        off = self.smtp_auth_disabled if entry.smtp_auth_disabled is None else entry.smtp_auth_disabled
        if (app.client_id, address.casefold()) in self.not_applied:
            return False
        if off or entry.licence not in {"Enabled", "Warning"}:
            return False
        if "SMTP.SendAsApp" in permissions:
            return app.client_id not in entry.closed_to
        return address.casefold() in self.roles.get(app.client_id, set())
