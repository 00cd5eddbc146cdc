"""What an administrator has forgotten or changed: flaws of a tenant that all end in the same refusal.

Rule of this file: a flaw changes what is administered; that a login then fails follows from it.
"""

import time
import uuid
from collections.abc import Callable, Mapping
from enum import StrEnum

from smtpcheck.sandbox.directory import App
from smtpcheck.sandbox.exchange_directory import ExchangeDirectory, MailboxEntry


class Flaw(StrEnum):
    """One flaw."""

    NOT_REGISTERED = "not_registered"
    """Exchange does not know the application."""
    WRONG_OBJECT_ID = "wrong_object_id"
    """It was registered with the object id of something else."""
    NO_FULL_ACCESS = "no_full_access"
    SMTP_AUTH_OFF = "smtp_auth_off"
    MAILBOX_DELETED = "mailbox_deleted"
    JUST_REGISTERED = "just_registered"
    """All is in order since some minutes, and the mail servers do not know it yet."""
    NO_SEND_AS = "no_send_as"
    """Nobody but its owner may send as the address that the check sends as."""
    RIGHT_WITHDRAWN = "right_withdrawn"
    """Full access was withdrawn, and the mail servers do not know it yet."""
    SMTP_AUTH_OFF_TENANT = "smtp_auth_off_tenant"
    """SMTP AUTH is off for the tenant, and on for every mailbox but this one."""
    SENDER_BLOCKED = "sender_blocked"
    """Exchange has put the mailbox on the list of restricted senders."""
    POLICY = "policy"
    """A policy of conditional access refuses the application."""
    CONSENT_WITHDRAWN = "consent_withdrawn"
    """What users had consented to was withdrawn."""
    NO_LICENCE = "no_licence"
    """The tenant has no Entra ID P1."""
    INCIDENT = "incident"
    """Microsoft has published an incident of Exchange Online, and announced a change."""
    ASSIGNMENT_REQUIRED = "assignment_required"
    """The enterprise application wants an assignment that nobody made."""
    SUSPENDED = "suspended"
    """Google has suspended the user."""
    KEY_DISABLED = "key_disabled"
    """The service account's key was disabled, for it was found in public."""
    NO_MAILBOX = "no_mailbox"
    """The user has no mailbox at Gmail yet."""
    GMAIL_INCIDENT = "gmail_incident"
    """Google has published an incident of Gmail."""


def _not_registered(exchange: ExchangeDirectory, app: App, _mailbox: MailboxEntry) -> None:
    exchange.unregistered.add(app.client_id)


def _wrong_object_id(exchange: ExchangeDirectory, app: App, _mailbox: MailboxEntry) -> None:
    if (registration := exchange.registration(app)) is not None:
        registration.object_id = str(uuid.uuid4())


def _just_registered(exchange: ExchangeDirectory, app: App, mailbox: MailboxEntry) -> None:
    if (registration := exchange.registration(app)) is not None:
        registration.created_at = time.time() - 600
    exchange.not_applied.add((app.client_id, mailbox.address.casefold()))


def _no_full_access(_exchange: ExchangeDirectory, app: App, mailbox: MailboxEntry) -> None:
    mailbox.closed_to.add(app.client_id)


def _no_send_as(_exchange: ExchangeDirectory, _app: App, mailbox: MailboxEntry) -> None:
    mailbox.others_send_as = False


def _smtp_auth_off(_exchange: ExchangeDirectory, _app: App, mailbox: MailboxEntry) -> None:
    mailbox.smtp_auth_disabled = True


def _smtp_auth_off_tenant(exchange: ExchangeDirectory, _app: App, mailbox: MailboxEntry) -> None:
    exchange.smtp_auth_disabled = True
    for other in exchange.mailboxes.values():
        if other is not mailbox and other.smtp_auth_disabled is None:
            other.smtp_auth_disabled = False


def _sender_blocked(_exchange: ExchangeDirectory, _app: App, mailbox: MailboxEntry) -> None:
    mailbox.blocked = True


def _mailbox_deleted(_exchange: ExchangeDirectory, _app: App, mailbox: MailboxEntry) -> None:
    mailbox.exists, mailbox.soft_deleted = False, True


def _right_withdrawn(exchange: ExchangeDirectory, app: App, mailbox: MailboxEntry) -> None:
    mailbox.closed_to.add(app.client_id)
    exchange.still_applied.add((app.client_id, mailbox.address.casefold()))


def _assignment_required(_exchange: ExchangeDirectory, app: App, _mailbox: MailboxEntry) -> None:
    app.assignment_required = True


def _consent_withdrawn(_exchange: ExchangeDirectory, app: App, _mailbox: MailboxEntry) -> None:
    app.delegated = ()


FLAWS: Mapping[Flaw, Callable[[ExchangeDirectory, App, MailboxEntry], None]] = {
    Flaw.NOT_REGISTERED: _not_registered,
    Flaw.WRONG_OBJECT_ID: _wrong_object_id,
    Flaw.NO_FULL_ACCESS: _no_full_access,
    Flaw.SMTP_AUTH_OFF: _smtp_auth_off,
    Flaw.SMTP_AUTH_OFF_TENANT: _smtp_auth_off_tenant,
    Flaw.SENDER_BLOCKED: _sender_blocked,
    Flaw.CONSENT_WITHDRAWN: _consent_withdrawn,
    Flaw.MAILBOX_DELETED: _mailbox_deleted,
    Flaw.JUST_REGISTERED: _just_registered,
    Flaw.NO_SEND_AS: _no_send_as,
    Flaw.ASSIGNMENT_REQUIRED: _assignment_required,
    Flaw.RIGHT_WITHDRAWN: _right_withdrawn,
}
"""What each flaw of an application or a mailbox changes; those of the tenant are the world's matter."""
