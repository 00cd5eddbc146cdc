"""Type `microsoft`: a token for the application itself (client credentials, RFC 6749 4.4) from Entra, by MSAL."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from smtpcheck.model import CredentialHints
from smtpcheck.oauth.clouds import CLOUDS, Cloud, clouds_of_scope
from smtpcheck.oauth.credential import Credential
from smtpcheck.oauth.flow import Flow
from smtpcheck.oauth.key_file import KeyFile
from smtpcheck.oauth.token_store import TokenFile
from smtpcheck.secret_source import SecretSource

_NO_TENANT = {"common", "organizations", "consumers"}


class Microsoft(Credential):
    """Client credentials at Microsoft Entra, with a secret or a certificate."""

    type: Literal["microsoft"] = "microsoft"
    cloud: Cloud = Field(default=Cloud.GLOBAL, description="The cloud that the tenant lives in.")
    tenant: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$", description="The tenant's id or one of its domains.")
    client_id: str = Field(pattern=r"^[!-~]+$", description="The application (client) id.")
    client_secret: SecretSource | None = Field(default=None, description="The secret's value, not its id.")
    client_certificate: KeyFile | None = Field(default=None, description="Instead of a secret.")
    client_secret_expires: date | None = Field(
        default=None, description="The day on which the secret ends, as the portal says."
    )
    authority: str | None = Field(
        default=None,
        pattern=r"^https://[^\s?#]+$",
        description="An issuer that speaks like Entra, instead of the cloud's; the tenant is appended.",
    )
    configured_scope: str | None = Field(
        default=None, alias="scope", pattern=r"^[!-~]+$", description="The scope, instead of the cloud's for SMTP."
    )

    @property
    def scope(self) -> str:
        """The scope that is requested: the cloud's for SMTP unless configured."""
        return self.configured_scope or CLOUDS[self.cloud].scope

    @property
    def authority_url(self) -> str:
        """The tenant's authority at the issuer."""
        root = self.authority or f"https://{CLOUDS[self.cloud].authority}"
        return f"{root.rstrip('/')}/{self.tenant}"

    def hints(self, name: str) -> CredentialHints:
        """Return what a remedy's text may say of the credential called `name`."""
        return CredentialHints(
            name=name,
            type=self.type,
            tenant=self.tenant,
            client_id=self.client_id,
            cloud=self.cloud,
            scope=self.scope,
        )

    def files(self) -> tuple[Path, ...]:
        """Return the files of the secret or certificate."""
        return (*super().files(), *_files(self))

    def flow(self, login: TokenFile | None = None) -> Flow:  # noqa: ARG002
        """Return the way to tokens of the application; nothing is read or opened yet."""
        from smtpcheck.oauth.entra import Application, EntraFlow  # noqa: PLC0415 - MSAL is heavy

        certificate, expires = self.client_certificate, self.client_secret_expires
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
        if (self.client_secret is None) == (self.client_certificate is None):
            raise ValueError("give client_secret or client_certificate, one of them")
        homes = clouds_of_scope(self.scope)
        if homes and self.cloud not in homes and self.authority is None:
            raise ValueError(
                f"scope {self.scope} belongs to cloud {' or '.join(sorted(homes))}, not to {self.cloud};"
                f" its scope is {CLOUDS[self.cloud].scope}"
            )
        return self


def _files(credential: Microsoft) -> Iterable[Path]:
    sources = [credential.client_secret]
    if credential.client_certificate is not None:
        yield credential.client_certificate.file
        sources.append(credential.client_certificate.passphrase)
    yield from (source.file for source in sources if source is not None and source.file is not None)
