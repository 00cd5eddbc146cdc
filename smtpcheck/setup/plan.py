"""What a tenant is to grant, as values: applications, their proofs, their rights, mailbox by mailbox.

Rules of this file:
- Values only, and no secret: of a certificate the public part, of a client secret where the configuration has it.
- The values that a script is made of come from here alone.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from smtpcheck.model.permission import Permission
from smtpcheck.oauth.clouds import Cloud
from smtpcheck.setup.choices import Grant


class ProofKind(StrEnum):
    """How an application proves itself."""

    CERTIFICATE = "certificate"
    SECRET = "secret"
    FEDERATED = "federated"
    MANAGED_IDENTITY = "managed-identity"
    """A federated credential whose other issuer is Entra itself: the managed identity of a machine in Azure."""
    NONE = "none"
    """Nothing is registered: the identity proves itself."""


@dataclass(frozen=True, slots=True)
class Proof:
    """How an application proves itself, and what is registered for it."""

    kind: ProofKind
    certificate: str = ""
    """Base64 of the DER form, with `CERTIFICATE`: the public part."""
    fingerprint: str = ""
    """SHA-256 of the certificate, hex in capitals."""
    thumbprint: str = ""
    """SHA-1 of it, the same way, as Entra names it."""
    pem: str = ""
    """The certificate as PEM."""
    expires: str = ""
    """When the certificate expires (RFC 3339, UTC)."""
    source: str = ""
    """Where the configuration expects the secret, with `SECRET`."""
    issuer: str = ""
    subject: str = ""
    """Of the other issuer's token, with `FEDERATED`; with `MANAGED_IDENTITY` the object id of the identity."""
    audience: str = ""

    @classmethod
    def none(cls) -> "Proof":
        """Return that of an identity that needs none."""
        return cls(ProofKind.NONE)


@dataclass(frozen=True, slots=True)
class MailboxRights:
    """What is granted for one mailbox."""

    address: str
    full_access: bool = False
    smtp_auth: bool = False
    imap: bool = False
    send_as: tuple[str, ...] = ()
    """Senders other than the mailbox, which it may send as."""


@dataclass(frozen=True, slots=True)
class ScopedRole:
    """A role of Exchange's RBAC for Applications, limited to some mailboxes."""

    role: str
    assignment: str
    """The name of the assignment, at most 64 characters."""
    group: str
    """The group whose direct members it reaches; empty with an administrative unit."""
    mailboxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Application:
    """One application, and all that it is granted."""

    credential: str
    """The name of its credential."""
    display_name: str
    client_id: str
    """Empty where there is no application yet: it is created."""
    proof: Proof
    object_id: str = ""
    """The object id of a managed identity that the configuration names by it."""
    consents: tuple[Permission, ...] = ()
    """Application permissions, granted in Entra."""
    superseded: tuple[Permission, ...] = ()
    """Application permissions that a role replaces: consent to them would reach further, or take the role's effect."""
    roles: tuple[ScopedRole, ...] = ()
    role_groups: tuple[str, ...] = ()
    mailboxes: tuple[MailboxRights, ...] = ()
    checks: tuple[str, ...] = ()
    """The names of the checks that depend on it."""


@dataclass(frozen=True, slots=True)
class SetupPlan:
    """All that one script does, in one tenant."""

    tenant: str
    cloud: Cloud
    grant: Grant
    applications: tuple[Application, ...]
    administrative_unit: str = ""
    notes: tuple[str, ...] = field(default=())
    """What the script does not do, and what to know of what it does."""


class SetupError(Exception):
    """There can be no right script. Says what is in the way, a line for each problem, and how to mend it."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
