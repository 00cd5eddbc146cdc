"""What is in Entra's directories: tenants with their applications, credentials and users, and how they are found.

Rule of this file: all of it is mutable as in a real directory: a secret may expire, a consent be withdrawn or a user be
disabled while a check runs.
"""

import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from smtpcheck.sandbox.entra import EntraError

PERSONAL_TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"
"""The tenant of all personal Microsoft accounts."""
_DAY = 86400.0
_SECRET_SECONDS = 180 * _DAY


@dataclass(frozen=True, slots=True)
class IssuerFailure:
    """What comes from the issuer, or from something in between, besides or instead of its answer."""

    delay: float = 0.0
    """Seconds before anything is answered."""
    code: int = 0
    """An AADSTS code of `entra.ERRORS` that every request gets."""
    html: int = 0
    """The HTTP status of a page in HTML that every request gets, as a proxy sends it."""
    retry_after: int | None = None
    """The value of Retry-After (RFC 9110 10.2.3), in seconds."""


class Accounts(StrEnum):
    """Whom an application lets sign in, in the words of its manifest (`signInAudience`)."""

    ONE_TENANT = "AzureADMyOrg"
    ALL_TENANTS = "AzureADMultipleOrgs"
    ALL_TENANTS_AND_PERSONAL = "AzureADandPersonalMicrosoftAccount"
    PERSONAL = "PersonalMicrosoftAccount"


@dataclass(frozen=True, slots=True)
class FederatedCredential:
    """A foreign issuer whose tokens prove the application."""

    issuer: str
    subject: str
    public_pem: str
    """The key that verifies the issuer's tokens."""
    audience: str = "api://AzureADTokenExchange"


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """One client secret of an application."""

    value: str
    ends: float
    """Unix seconds."""
    name: str = ""
    starts: float = 0.0
    """Unix seconds."""
    key_id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(slots=True)
class App:
    """One application registration."""

    client_id: str
    secret: str
    name: str = "smtpcheck"
    certificates: tuple[bytes, ...] = ()
    """Registered certificates in PEM."""
    roles: tuple[str, ...] = ("SMTP.SendAsApp",)
    """Application permissions on Exchange Online that an administrator consented to."""
    secret_expired: bool = False
    disabled: bool = False
    failure: IssuerFailure | None = None
    secret_ends: float = field(default_factory=lambda: time.time() + _SECRET_SECONDS)
    """When the secret ends (Unix seconds)."""
    further_secrets: tuple[ClientSecret, ...] = ()
    federated: tuple[FederatedCredential, ...] = ()
    graph_roles: tuple[str, ...] = ("Mail.Send",)
    """Application permissions on Microsoft Graph that an administrator consented to."""
    token_age: float = 0.0
    """How many seconds ago its tokens were issued, as a cache on the way gives them out."""
    public: bool = False
    """Whether "Allow public client flows" is on, as the device code flow without a secret needs it."""
    accounts: Accounts = Accounts.ONE_TENANT
    delegated: tuple[str, ...] = ("SMTP.Send",)
    """Delegated permissions that users consent to when they sign in; taken away, they are withdrawn."""
    principal: bool = True
    """Whether its enterprise application is in the tenant."""
    assignment_required: bool = False
    object_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    principal_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    """The object id of its enterprise application, the `oid` of its tokens."""

    def secrets(self) -> tuple[ClientSecret, ...]:
        """Return every client secret, the first one first."""
        key_id = str(uuid.uuid5(uuid.NAMESPACE_OID, self.object_id))
        start = self.secret_ends - _SECRET_SECONDS
        ends = min(self.secret_ends, time.time() - _DAY) if self.secret_expired else self.secret_ends
        return (ClientSecret(self.secret, ends, self.name, start, key_id), *self.further_secrets)


@dataclass(slots=True)
class User:
    """One account that can sign in."""

    address: str
    """Its mailbox and its user principal name."""
    name: str = ""
    object_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    disabled: bool = False
    valid_from: float = 0.0
    """Sign-ins before this (Unix seconds) count no more, as after a change of password or "Revoke sessions"."""


@dataclass(slots=True)
class Tenant:
    """One directory; its path at the issuer is its id or its domain. `PERSONAL_TENANT` holds the personal accounts."""

    id: str
    domain: str
    apps: dict[str, App]
    """By client id."""
    failure: IssuerFailure | None = None
    """Meets discovery as well."""
    users: list[User] = field(default_factory=list)
    security_defaults: bool = False
    premium: bool = True
    """Whether it has Entra ID P1."""
    policies: list[Mapping[str, object]] = field(default_factory=list)
    """Policies of conditional access, as Graph shows them."""

    @property
    def personal(self) -> bool:
        """Return whether its users are personal accounts."""
        return self.id == PERSONAL_TENANT

    def user(self, address: str) -> User | None:
        """Return the user with the address."""
        return next((user for user in self.users if user.address.casefold() == address.casefold()), None)


class Directory:
    """All tenants of one issuer, by the first part of a path: a tenant, `common`, `organizations` or `consumers`."""

    def __init__(self, tenants: Iterable[Tenant]) -> None:
        self.tenants = tuple(tenants)

    def tenants_at(self, path: str) -> tuple[Tenant, ...]:
        """Return the tenants whose users the path serves; raise `EntraError` if there are none."""
        name = path.casefold()
        match name:
            case "common":
                found = self.tenants
            case "organizations":
                found = tuple(tenant for tenant in self.tenants if not tenant.personal)
            case "consumers":
                found = tuple(tenant for tenant in self.tenants if tenant.personal)
            case _:
                found = tuple(one for one in self.tenants if name in {one.id.casefold(), one.domain.casefold()})
        if not found:
            raise EntraError(90002, tenant=path)
        return found

    def tenant(self, path: str) -> Tenant | None:
        """Return the tenant that the path names, None for a path of many tenants."""
        found = self.tenants_at(path)
        return None if path.casefold() in _SHARED else found[0]

    def app(self, path: str, client_id: str) -> App:
        """Return the application as the path knows it; raise `EntraError` where it may not be used."""
        tenant = self.tenant(path)
        app = next(
            (one.apps[client_id] for one in ([tenant] if tenant else self.tenants) if client_id in one.apps), None
        )
        if app is None:
            raise EntraError(700016, client_id=client_id, tenant=tenant.domain if tenant else path)
        if app.disabled:
            raise EntraError(7000112, client_id=client_id, name=app.name)
        if tenant is None and (code := _SHARED[path.casefold()].get(app.accounts)):
            raise EntraError(code, client_id=client_id, name=app.name, path=path.casefold())
        return app

    def user(self, path: str, address: str) -> tuple[Tenant, User]:
        """Return who signs in at the path, with the tenant; raise `EntraError` if it does not serve the account."""
        for tenant in self.tenants_at(path):
            if (user := tenant.user(address)) is not None:
                return tenant, user
        elsewhere = any(tenant.user(address) for tenant in self.tenants)
        raise EntraError(50020 if elsewhere else 50034, tenant=path, address=address)


_SHARED: dict[str, dict[Accounts, int]] = {
    "common": {Accounts.ONE_TENANT: 50194, Accounts.PERSONAL: 9002331},
    "organizations": {Accounts.ONE_TENANT: 50194, Accounts.PERSONAL: 9002331},
    "consumers": {Accounts.ONE_TENANT: 9002332, Accounts.ALL_TENANTS: 9002332},
}
"""The paths of many tenants, with the AADSTS code for applications that are not for all of their users."""
