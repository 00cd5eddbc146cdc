"""Type `microsoft`: a token for the application itself (client credentials, RFC 6749 4.4) from Entra, by MSAL."""

from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from smtpcheck.model.credential import CredentialHints
from smtpcheck.oauth.certificate import KeyFile
from smtpcheck.oauth.cloud_credential import CLIENT_ID, TENANT, CloudCredential
from smtpcheck.oauth.clouds import CLOUDS, clouds_of_scope
from smtpcheck.oauth.flow import Flow
from smtpcheck.oauth.token_store import TokenFile
from smtpcheck.secrets.source import SecretSource, files_of

_NO_TENANT = {"common", "organizations", "consumers"}
_PROOFS = ("client_secret", "client_certificate", "client_assertion")


class Microsoft(CloudCredential):
    """Client credentials at Microsoft Entra, with a secret, a certificate or a federated credential."""

    type: Literal["microsoft"] = "microsoft"
    tenant: str = Field(pattern=TENANT, description="The tenant's id or one of its domains.")
    client_id: str = Field(pattern=CLIENT_ID, description="The application (client) id.")
    client_secret: SecretSource | None = Field(default=None, description="The secret's value, not its id.")
    client_certificate: KeyFile | None = Field(default=None, description="Instead of a secret.")
    client_assertion: SecretSource | None = Field(
        default=None, description="Instead of a secret: the token of a federated credential, read at each use."
    )
    client_secret_expires: date | None = Field(
        default=None, description="The day on which the secret expires, as in the portal."
    )
    read_expiry_from_graph: bool = Field(
        default=False, description="Whether to read that day from Graph; needs Application.Read.All."
    )
    configured_scope: str | None = Field(
        default=None, alias="scope", pattern=r"^[!-~]+$", description="The scope, instead of the cloud's for SMTP."
    )

    @property
    def scope(self) -> str:
        """The scope that is requested: the cloud's for SMTP unless configured."""
        return self.configured_scope or CLOUDS[self.cloud].scope

    @property
    def unknown_expiry(self) -> str:
        """How to make known when the secret expires."""
        if self.client_secret is None or self.client_secret_expires is not None or self.read_expiry_from_graph:
            return ""
        return (
            "the client secret's expiry is unknown: set client_secret_expires to the day that the portal shows, or "
            "read_expiry_from_graph: true and grant the application Application.Read.All"
        )

    @property
    def authority_url(self) -> str:
        """The tenant's authority at the issuer."""
        return self.at_authority(self.tenant)

    def hints(self, name: str) -> CredentialHints:
        """Return what a remedy's text may say of the credential called `name`."""
        return CredentialHints(
            name=name,
            type=self.type,
            tenant=self.tenant,
            client_id=self.client_id,
            cloud=self.cloud,
            scope=self.scope,
            inspected=self.inspect is not None,
        )

    def files(self) -> tuple[Path, ...]:
        """Return the files of the secret, certificate or assertion."""
        certificate = self.client_certificate
        key = (certificate.file, *files_of(certificate.passphrase)) if certificate else ()
        return (*super().files(), *key, *files_of(self.client_secret, self.client_assertion))

    def flow(self, login: TokenFile | None = None) -> Flow:  # noqa: ARG002
        """Return the way to tokens of the application; nothing is read or opened yet."""
        from smtpcheck.oauth.entra import Application, EntraFlow  # noqa: PLC0415 - MSAL is heavy
        from smtpcheck.oauth.secret_expiry import Graph  # noqa: PLC0415 - it needs MSAL too

        certificate, expires = self.client_certificate, self.client_secret_expires
        graph = Graph(self.graph_url, self.graph_scope)
        return EntraFlow(
            Application(
                authority=self.authority_url,
                client_id=self.client_id,
                scope=self.scope,
                secret=self.client_secret,
                certificate=certificate.file if certificate else None,
                passphrase=certificate.passphrase if certificate else None,
                secret_expires_at=datetime.combine(expires, time(), UTC).timestamp() if expires else None,
                ca_file=self.ca_file,
                proxy=self.proxy,
                assertion=self.client_assertion,
                graph=graph if self.read_expiry_from_graph else None,
            )
        )

    @field_validator("tenant")
    @classmethod
    def _names_one_tenant(cls, tenant: str) -> str:
        if tenant.lower() in _NO_TENANT:
            raise ValueError(f"client credentials need the tenant itself, not {tenant!r} (AADSTS50059, AADSTS9001023)")
        return tenant

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if sum(getattr(self, proof) is not None for proof in _PROOFS) != 1:
            raise ValueError("give client_secret, client_certificate or client_assertion, one of them")
        if self.read_expiry_from_graph and self.client_secret is None:
            raise ValueError("read_expiry_from_graph has no effect without client_secret")
        homes = clouds_of_scope(self.scope)
        if homes and self.cloud not in homes and self.authority is None:
            raise ValueError(
                f"scope {self.scope} belongs to cloud {' or '.join(sorted(homes))}, not to {self.cloud};"
                f" its scope is {CLOUDS[self.cloud].scope}"
            )
        return self
