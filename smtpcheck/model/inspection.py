"""What a provider itself says of an application, its mailboxes and its own state: facts, and what could not be read.

Rules of this file:
- Plain values. A fact says who said it, by which request, and when it was read (Unix seconds).
- What names a person, an address or a place is `personal`: it is shown to the user who asks for it, and to nobody else.
- What cannot be read is a value with its reason, never a failure of a check.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import TypeVar

Value = bool | str | tuple[str, ...] | None
"""None: the provider says that nothing is set, as for a switch that leaves the decision to the tenant."""


UNKNOWN_PERMISSION = "unknown permission"
"""How the name of a permission begins that the provider's own list does not name."""


class FactName(StrEnum):
    """What a fact is about: a closed list."""

    PRINCIPAL_EXISTS = "enterprise_application.exists"
    PRINCIPAL_ID = "enterprise_application.object_id"
    PRINCIPAL_ENABLED = "enterprise_application.enabled"
    PRINCIPAL_DISABLED_BY_MICROSOFT = "enterprise_application.disabled_by_microsoft"
    ASSIGNMENT_REQUIRED = "enterprise_application.assignment_required"
    EXCHANGE_IN_TENANT = "tenant.has_exchange_online"
    APPLICATION_EXISTS = "application.exists"
    APPLICATION_ROLES = "application.permissions"
    DELEGATED_PERMISSIONS = "application.delegated_permissions"
    SECRET_EXPIRES = "application.secret_expires"
    CERTIFICATE_EXPIRES = "application.certificate_expires"
    LOCAL_SECRET = "application.local_secret"
    FEDERATED_CREDENTIAL = "application.federated_credential"
    FEDERATED_NAMES = "application.federated_credentials"
    FEDERATED_MATCH = "application.federated_credential_matches"
    SECURITY_DEFAULTS = "tenant.security_defaults"
    POLICY = "tenant.conditional_access_policy"
    USER_EXISTS = "user.exists"
    USER_ENABLED = "user.enabled"
    USER_DELETED = "user.deleted"
    USER_ADDRESS_IS_ALIAS = "user.address_is_alias"
    USER_NAME = "user.principal_name"
    USER_LICENCE = "user.exchange_licence"
    MAILBOX_PURPOSE = "mailbox.purpose"
    MAILBOX_EXISTS = "mailbox.exists"
    MAILBOX_KIND = "mailbox.type"
    MAILBOX_SOFT_DELETED = "mailbox.soft_deleted"
    MAILBOX_FORWARDS = "mailbox.forwards"
    MAILBOX_FORWARDS_TO = "mailbox.forwards_to"
    SMTP_AUTH_OFF_MAILBOX = "mailbox.smtp_auth_disabled"
    SMTP_AUTH_OFF_TENANT = "tenant.smtp_auth_disabled"
    MAILBOX_AUTHENTICATION_POLICY = "mailbox.authentication_policy"
    FULL_ACCESS = "mailbox.full_access"
    FULL_ACCESS_DENIED = "mailbox.full_access_denied"
    SEND_AS = "mailbox.send_as"
    OTHERS_SEND_AS = "mailbox.others_send_as"
    REGISTERED = "exchange.service_principal_registered"
    REGISTERED_ID = "exchange.service_principal_object_id"
    REGISTERED_SID = "exchange.service_principal_sid"
    ROLE_IN_SCOPE = "mailbox.in_scope_of_smtp_role"
    ROLE_ASSIGNMENTS = "exchange.role_assignments"
    SEND_FROM_ALIAS = "tenant.send_from_alias"
    APP_RBAC_ENFORCED = "tenant.enforces_app_role_assignments"
    BASIC_AUTH_SMTP = "tenant.basic_auth_smtp_policies"
    BLOCKED_SENDER = "mailbox.blocked_for_outbound_spam"
    SIGN_IN_CODE = "sign_in.error_code"
    SIGN_IN_REASON = "sign_in.reason"
    SIGN_IN_RESOURCE = "sign_in.resource"
    SIGN_IN_POLICY = "sign_in.refusing_policy"
    SIGN_IN_ADDRESS = "sign_in.ip_address"
    SIGN_IN_KEY = "sign_in.key_id"
    TRACE_STATUS = "message.status"
    TRACE_REASON = "message.reason"
    QUARANTINED = "message.quarantined"
    QUARANTINE_TYPE = "message.quarantine_type"
    QUARANTINE_POLICY = "message.quarantine_policy_type"
    QUARANTINE_RELEASE = "message.release_status"
    QUARANTINE_EXPIRES = "message.quarantine_expires"
    USER_SUSPENDED = "user.suspended"
    USER_SUSPENSION_REASON = "user.suspension_reason"
    USER_ARCHIVED = "user.archived"
    USER_MAILBOX_CREATED = "user.mailbox_created"
    DELEGATED = "mailbox.delegated"
    MAILBOX_IMAP = "mailbox.imap_enabled"
    UNVERIFIED_SENDERS = "mailbox.unverified_senders"
    SERVICE_ACCOUNT_EXISTS = "service_account.exists"
    SERVICE_ACCOUNT_ENABLED = "service_account.enabled"
    SERVICE_ACCOUNT_CLIENT_ID = "service_account.client_id"
    SERVICE_ACCOUNT_KEY = "service_account.key"
    SERVICE_ACCOUNT_KEY_EXPIRES = "service_account.key_expires"
    LOCAL_KEY = "service_account.local_key"

    @property
    def is_of_mailbox(self) -> bool:
        """Return whether it is about one mailbox, not about the application or the tenant."""
        return self.value.startswith(("user.", "mailbox."))


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that the provider says."""

    name: FactName
    value: Value
    source: str
    """Who said it, such as `Exchange` or `Entra`."""
    asked: str
    """By which request or cmdlet, as an administrator can repeat it."""
    read_at: float
    """When it was read (Unix seconds)."""
    subject: str = ""
    """The mailbox that it is about; empty for the application and the tenant."""
    item: str = ""
    """Which of several, such as the id of a key."""
    changed_at: float | None = None
    """When the provider says that it was last changed (Unix seconds)."""
    personal: bool = False
    """Whether the value names a person, an address or a place."""


class Obstacle(StrEnum):
    """Why something could not be read."""

    PERMISSION = "permission"
    LICENCE = "licence"
    CLOUD = "cloud"
    NO_TOKEN = "no_token"
    THROTTLED = "throttled"
    UNREACHABLE = "unreachable"
    UNAVAILABLE = "unavailable"
    """The provider does not offer it, or not at present."""
    UNEXPECTED = "unexpected"
    """What came is not what is documented."""


@dataclass(frozen=True, slots=True)
class NotReadable:
    """A question that the provider did not answer: a state of the inspection, not of what is inspected."""

    question: str
    obstacle: Obstacle
    detail: str
    """What is missing, as part of a sentence: `permission User.Read.All is missing`."""
    read_at: float
    subject: str = ""


_Read = TypeVar("_Read", Fact, NotReadable)


class IncidentStatus(StrEnum):
    """How far the provider is with an incident."""

    INVESTIGATING = "investigating"
    DEGRADED = "degraded"
    INTERRUPTED = "interrupted"
    RECOVERING = "recovering"
    RESOLVED = "resolved"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Incident:
    """What a provider publishes of a fault of its own."""

    provider: str
    """`microsoft` or `google`."""
    service: str
    """`exchange_online`, `entra` or `gmail`."""
    id: str
    """The provider's own, such as EX226792."""
    status: IncidentStatus
    title: str
    """In the provider's words, printable and bounded."""
    began_at: float | None
    updated_at: float | None
    read_at: float

    @property
    def service_name(self) -> str:
        """Return what people call the service."""
        return {"exchange_online": "Exchange Online", "entra": "Entra", "gmail": "Gmail"}.get(self.service, "")


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a provider announces of a change to come: something to know, and no proof of anything."""

    provider: str
    service: str
    """`exchange_online`, as of an incident."""
    id: str
    """The provider's own, such as MC786329."""
    title: str
    """In the provider's words, printable and bounded."""
    act_by: float | None
    """Until when the provider asks to act (Unix seconds)."""
    changed_at: float | None
    read_at: float


@dataclass(frozen=True, slots=True)
class Inspection:
    """All that was read at one time."""

    facts: tuple[Fact, ...] = ()
    not_readable: tuple[NotReadable, ...] = ()
    incidents: tuple[Incident, ...] = ()
    announcements: tuple[Announcement, ...] = ()

    def find(self, name: FactName, subject: str = "", item: str | None = None) -> Fact | None:
        """Return the newest fact of this name about the subject, None where it was not read."""
        found = [fact for fact in self.all(name, subject) if item is None or fact.item == item]
        return max(found, key=lambda fact: fact.read_at, default=None)

    def all(self, name: FactName, subject: str = "") -> Iterator[Fact]:
        """Yield every fact of this name about the subject."""
        wanted = subject.casefold()
        return (fact for fact in self.facts if fact.name is name and fact.subject.casefold() == wanted)

    def joined(self, *others: "Inspection") -> "Inspection":
        """Return all of them together."""
        every = (self, *others)
        return Inspection(
            tuple(chain.from_iterable(each.facts for each in every)),
            tuple(chain.from_iterable(each.not_readable for each in every)),
            tuple(chain.from_iterable(each.incidents for each in every)),
            tuple(chain.from_iterable(each.announcements for each in every)),
        )

    def about(self, subjects: Iterable[str]) -> "Inspection":
        """Return what is about the application, the tenant, and these mailboxes alone."""
        wanted = {"", *(subject.casefold() for subject in subjects)}
        return Inspection(
            tuple(fact for fact in self.facts if fact.subject.casefold() in wanted),
            tuple(each for each in self.not_readable if each.subject.casefold() in wanted),
            self.incidents,
            self.announcements,
        )

    def about_each(self, subjects: Iterable[str]) -> dict[str, "Inspection"]:
        """Return for each of these mailboxes what `about` returns for it alone; of thousands, in one walk through all.

        What is about the application and the tenant comes first.
        """
        facts, not_readable = _by_subject(self.facts), _by_subject(self.not_readable)
        return {
            subject: Inspection(
                tuple(fact for key in _keys(subject) for fact in facts[key]),
                tuple(missed for key in _keys(subject) for missed in not_readable[key]),
                self.incidents,
                self.announcements,
            )
            for subject in subjects
        }


def _keys(subject: str) -> tuple[str, ...]:
    return ("", subject.casefold()) if subject else ("",)


def _by_subject(read: Iterable[_Read]) -> Mapping[str, list[_Read]]:
    found: dict[str, list[_Read]] = defaultdict(list)
    for each in read:
        found[each.subject.casefold()].append(each)
    return found
