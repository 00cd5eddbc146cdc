"""Type `microsoft-managed-identity`: the identity that Azure gives to the machine or service we run on."""

from typing import Literal, Self

from pydantic import Field, model_validator

from smtpcheck.model.credential import CredentialHints
from smtpcheck.oauth.cloud_credential import CLIENT_ID, CloudCredential
from smtpcheck.oauth.clouds import CLOUDS
from smtpcheck.oauth.flow import Flow
from smtpcheck.oauth.token_store import TokenFile


class ManagedIdentity(CloudCredential):
    """The identity of the Azure machine or service; that of the system, unless one assigned by a user is named."""

    type: Literal["microsoft-managed-identity"] = "microsoft-managed-identity"
    client_id: str | None = Field(default=None, pattern=CLIENT_ID, description="Of a user-assigned identity.")
    object_id: str | None = Field(default=None, pattern=CLIENT_ID, description="The same, by its object id.")
    resource_id: str | None = Field(default=None, pattern=CLIENT_ID, description="The same, by its resource id.")

    @property
    def scope(self) -> str:
        """The scope of the cloud for SMTP."""
        return CLOUDS[self.cloud].scope

    def hints(self, name: str) -> CredentialHints:
        """Return what a remedy's text may say of the credential called `name`."""
        return CredentialHints(
            name=name,
            type=self.type,
            client_id=self.client_id or "",
            cloud=self.cloud,
            scope=self.scope,
            inspected=self.inspect is not None,
        )

    def flow(self, login: TokenFile | None = None) -> Flow:  # noqa: ARG002
        """Return the way to the identity's tokens; nothing is asked yet."""
        from smtpcheck.oauth.managed_identity_flow import ManagedIdentityFlow  # noqa: PLC0415 - MSAL is heavy

        named = {"client_id": self.client_id, "object_id": self.object_id, "resource_id": self.resource_id}
        identity = {name: value for name, value in named.items() if value is not None}
        return ManagedIdentityFlow(identity, self.scope)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if sum(each is not None for each in (self.client_id, self.object_id, self.resource_id)) > 1:
            raise ValueError(
                "give client_id, object_id or resource_id, one of them, or none for the system-assigned identity"
            )
        for key in ("authority", "ca_file", "proxy"):
            if getattr(self, key) is not None:
                raise ValueError(f"{key} has no effect here: the machine itself answers")
        return self
