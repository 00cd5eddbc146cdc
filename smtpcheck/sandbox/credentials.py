"""The credentials of a world: what the issuer has for a registration, and what the configuration says of it.

Rules of this file:
- One class for each way to a token; a new way is a class here and its line in `WAYS`.
- Ids, secrets and keys are new in each world. Secrets are in files, never in the configuration.
"""

import secrets
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

from smtpcheck.sandbox.api_account import ApiAccount
from smtpcheck.sandbox.certificates import Authority
from smtpcheck.sandbox.directory import Accounts, App, FederatedCredential, Tenant, User
from smtpcheck.sandbox.google import GoogleIssuer
from smtpcheck.sandbox.google_accounts import GoogleClient, GoogleUser, ServiceAccount
from smtpcheck.sandbox.issuer import Issuer
from smtpcheck.sandbox.mail_apis import MailApis
from smtpcheck.sandbox.scenario import CredentialKind, Registration
from smtpcheck.sandbox.ses import SesAccount
from smtpcheck.sandbox.tokens import SigningKey

_CLUSTER = "https://oidc.sandbox.example/cluster/"
_SUBJECT = "system:serviceaccount:mail:smtpcheck"
_DAY = 86400


class Credential(ABC):
    """A registration with its ids and secrets.

    Attributes:
        file: the name of the file that proves it.
        proof: the content of that file: a secret, key, assertion or refresh token.
    """

    ending = "secret"

    def __init__(self, registration: Registration, addresses: Iterable[str], authority: Authority) -> None:
        """Prepare it for the mailboxes of its checks; `authority` issues certificates."""
        self.registration = registration
        self.addresses = tuple(addresses)
        self.file = f"{registration.name}.{self.ending}"
        self.proof = ""
        self.password = ""
        """What the mailboxes are opened with besides tokens, if anything."""
        del authority

    @abstractmethod
    def register(self, tenant: Tenant, issuer: Issuer, google: GoogleIssuer) -> None:
        """Make it known at its issuer, which is listening; `tenant` is the issuer's."""

    def open_account(self, apis: MailApis) -> None:
        """Open its account at a mail API, if it is for one."""
        del apis

    @abstractmethod
    def keys(self, tenant: Tenant, issuer: Issuer, google: GoogleIssuer) -> Mapping[str, object]:
        """Return what the configuration says of it, but for the authority to trust."""

    def files(self) -> Mapping[str, str]:
        """Return the content of each file by its name; all of them are secret."""
        return {self.file: self.proof}

    def secrets(self) -> frozenset[str]:
        """Return its own secrets; tokens are the issuers'."""
        return frozenset(self.files().values()) - {""}


class Application(Credential):
    """An application at Entra with a client secret."""

    key = "client_secret"

    def __init__(self, registration: Registration, addresses: Iterable[str], authority: Authority) -> None:
        super().__init__(registration, addresses, authority)
        self.app = App(
            client_id=str(uuid.uuid4()),
            secret=_secret(),
            roles=registration.roles,
            graph_roles=registration.graph_roles,
            secret_expired=registration.secret_expired,
            disabled=registration.disabled,
            failure=registration.failure,
            token_age=registration.token_age,
        )
        self.proof = _secret() if registration.wrong_secret else self.app.secret

    def register(self, tenant: Tenant, issuer: Issuer, google: GoogleIssuer) -> None:
        """Make the application known in the tenant."""
        del issuer, google
        if self.registration.known:
            tenant.apps[self.app.client_id] = self.app

    def keys(self, tenant: Tenant, issuer: Issuer, google: GoogleIssuer) -> Mapping[str, object]:
        """Return what the configuration says of it."""
        del google
        return {
            "type": "microsoft",
            "authority": issuer.url,
            "tenant": tenant.domain,
            "client_id": self.app.client_id,
            self.key: {"file": self.file},
        }

    def secrets(self) -> frozenset[str]:
        """Return its own secrets."""
        return super().secrets() | {self.app.secret}


class _Certified(Application):
    """One with a certificate."""

    key, ending = "client_certificate", "pem"

    def __init__(self, registration: Registration, addresses: Iterable[str], authority: Authority) -> None:
        super().__init__(registration, addresses, authority)
        key, certificate = authority.client_credential(registration.name)
        self.proof = key + certificate
        self.app.certificates = (certificate.encode(),)


class _Federated(Application):
    """One that a cluster's issuer vouches for; a wrong secret is here a wrong subject."""

    key, ending = "client_assertion", "jwt"

    def __init__(self, registration: Registration, addresses: Iterable[str], authority: Authority) -> None:
        super().__init__(registration, addresses, authority)
        key, now = SigningKey(), int(time.time())
        self.app.federated = (FederatedCredential(_CLUSTER, _SUBJECT, key.public_pem),)
        subject = f"{_SUBJECT}-old" if registration.wrong_secret else _SUBJECT
        names = {"iss": _CLUSTER, "sub": subject, "aud": "api://AzureADTokenExchange"}
        self.proof = key.sign({**names, "iat": now, "nbf": now, "exp": now + _DAY})


class _User(Application):
    """A user of Entra who signed in to the application; the file holds the refresh token."""

    ending = "refresh-token"

    def __init__(self, registration: Registration, addresses: Iterable[str], authority: Authority) -> None:
        super().__init__(registration, addresses, authority)
        self.app.public, self.app.accounts = True, Accounts.ALL_TENANTS_AND_PERSONAL

    def register(self, tenant: Tenant, issuer: Issuer, google: GoogleIssuer) -> None:
        super().register(tenant, issuer, google)
        tenant.users += [User(address) for address in self.addresses]
        self.proof = issuer.sign_ins.sign_in(self.app.client_id, self.addresses[0])
        if self.registration.revoked:
            issuer.sign_ins.revoke(self.proof)

    def keys(self, tenant: Tenant, issuer: Issuer, google: GoogleIssuer) -> Mapping[str, object]:
        keys = dict(super().keys(tenant, issuer, google))
        del keys[self.key]
        return {**keys, "type": "microsoft-user", "refresh_token": {"file": self.file}}


class GoogleAccount(Credential):
    """A service account of Google that acts for the mailboxes of its checks; revoked, its key is deleted."""

    ending = "json"

    def __init__(self, registration: Registration, addresses: Iterable[str], authority: Authority) -> None:
        super().__init__(registration, addresses, authority)
        self.account = ServiceAccount(f"{registration.name}@sandbox-project.iam.gserviceaccount.com")
        if not registration.delegated:
            self.account.delegated = None
        elif self.account.delegated is not None:
            self.account.delegated |= frozenset(registration.scopes)

    def register(self, tenant: Tenant, issuer: Issuer, google: GoogleIssuer) -> None:
        """Make the account and the mailboxes' users known at Google."""
        del tenant, issuer
        google.users |= {address.casefold(): GoogleUser(address) for address in self.addresses}
        google.accounts[self.account.email] = self.account
        self.proof = self.account.key_file(google.token_uri)
        if self.registration.reads:
            google.admin.directory_readers.add(self.account.email)
            google.admin.iam_viewers.add(self.account.email)
        if self.registration.revoked:
            self.account.keys.clear()

    def keys(self, tenant: Tenant, issuer: Issuer, google: GoogleIssuer) -> Mapping[str, object]:
        """Return what the configuration says of it."""
        del tenant, issuer, google
        return {"type": "google-service-account", "key_file": self.file}


class _GoogleUser(Credential):
    """A user of Google who signed in to a desktop client; the file holds the refresh token."""

    ending = "refresh-token"

    def __init__(self, registration: Registration, addresses: Iterable[str], authority: Authority) -> None:
        super().__init__(registration, addresses, authority)
        self.client = GoogleClient()

    def register(self, tenant: Tenant, issuer: Issuer, google: GoogleIssuer) -> None:
        del tenant, issuer
        google.users |= {address.casefold(): GoogleUser(address) for address in self.addresses}
        google.clients[self.client.client_id] = self.client
        self.proof = google.sign_in(self.client.client_id, self.addresses[0])
        if self.registration.revoked:
            google.revoke(self.proof)

    def keys(self, tenant: Tenant, issuer: Issuer, google: GoogleIssuer) -> Mapping[str, object]:
        del tenant, issuer
        return {
            "type": "google-user",
            "issuer": google.url,
            "client_id": self.client.client_id,
            "client_secret": {"file": f"{self.registration.name}.secret"},
            "refresh_token": {"file": self.file},
        }

    def files(self) -> Mapping[str, str]:
        return {**super().files(), f"{self.registration.name}.secret": self.client.secret}


class _Password(Credential):
    """A password; one that is not known opens no mailbox."""

    ending = "password"

    def __init__(self, registration: Registration, addresses: Iterable[str], authority: Authority) -> None:
        super().__init__(registration, addresses, authority)
        self.proof = _secret()
        if registration.known:
            self.password = _secret() if registration.wrong_secret else self.proof

    def register(self, tenant: Tenant, issuer: Issuer, google: GoogleIssuer) -> None:
        del tenant, issuer, google

    def keys(self, tenant: Tenant, issuer: Issuer, google: GoogleIssuer) -> Mapping[str, object]:
        del tenant, issuer, google
        return {"type": "password", "password": {"file": self.file}}

    def secrets(self) -> frozenset[str]:
        return super().secrets() | ({self.password} - {""})


class _ApiKey(Credential):
    """The key of a mail API; one that is not known has no account."""

    ending = "key"

    def __init__(self, registration: Registration, addresses: Iterable[str], authority: Authority) -> None:
        super().__init__(registration, addresses, authority)
        self.proof = _secret()

    def register(self, tenant: Tenant, issuer: Issuer, google: GoogleIssuer) -> None:
        del tenant, issuer, google

    def open_account(self, apis: MailApis) -> None:
        if self.registration.known:
            apis.add(self.registration.api, ApiAccount(self.proof, **self.registration.account))

    def keys(self, tenant: Tenant, issuer: Issuer, google: GoogleIssuer) -> Mapping[str, object]:
        del tenant, issuer, google
        return {"type": "api-key", "key": {"file": self.file}}


class _AwsKey(_ApiKey):
    """An access key of AWS."""

    def __init__(self, registration: Registration, addresses: Iterable[str], authority: Authority) -> None:
        super().__init__(registration, addresses, authority)
        self.key_id = f"AKIA{secrets.token_hex(8).upper()}"

    def open_account(self, apis: MailApis) -> None:
        if self.registration.known:
            apis.ses.add(SesAccount(self.key_id, self.proof, **self.registration.account))

    def keys(self, tenant: Tenant, issuer: Issuer, google: GoogleIssuer) -> Mapping[str, object]:
        del tenant, issuer, google
        secret = {"file": self.file}
        return {"type": "aws", "access_key_id": self.key_id, "secret_access_key": secret, "region": "eu-central-1"}


CREDENTIAL_KINDS: Mapping[CredentialKind, type[Credential]] = {
    CredentialKind.SECRET: Application,
    CredentialKind.CERTIFICATE: _Certified,
    CredentialKind.FEDERATED: _Federated,
    CredentialKind.USER: _User,
    CredentialKind.GOOGLE_ACCOUNT: GoogleAccount,
    CredentialKind.GOOGLE_USER: _GoogleUser,
    CredentialKind.PASSWORD: _Password,
    CredentialKind.API_KEY: _ApiKey,
    CredentialKind.AWS: _AwsKey,
}


def _secret() -> str:
    """Return a client secret that looks like Entra's, which is a good password too."""
    return f"{secrets.token_hex(2)}8Q~{secrets.token_hex(16)}"
