"""Type `microsoft-user`: a token for a user of Entra or a personal account, by MSAL, after `smtpcheck login`."""

from collections.abc import Collection
from threading import Event
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from smtpcheck.model.credential import CredentialHints
from smtpcheck.model.report import TokenError
from smtpcheck.oauth.answer import TokenResponse
from smtpcheck.oauth.cloud_credential import CLIENT_ID, TENANT, CloudCredential
from smtpcheck.oauth.clouds import CLOUDS, Cloud
from smtpcheck.oauth.flow import Flow
from smtpcheck.oauth.token_store import TokenFile
from smtpcheck.oauth.user_credential import Show, UserCredential

if TYPE_CHECKING:
    from smtpcheck.oauth.entra_user import UserApplication

_PERSONAL_HOST = "smtp-mail.outlook.com"


class MicrosoftUser(CloudCredential, UserCredential):
    """A user of Microsoft Entra, or a personal Microsoft account."""

    type: Literal["microsoft-user"] = "microsoft-user"
    tenant: str = Field(
        default="common",
        pattern=TENANT,
        description="The tenant; or common (any account), organizations (work or school), consumers (personal).",
    )
    client_id: str = Field(pattern=CLIENT_ID, description="The application (client) id; it allows public client flows.")
    configured_scope: str | None = Field(
        default=None, alias="scope", pattern=r"^[!-~]+$", description="The scope, instead of the cloud's for SMTP."
    )

    @property
    def scope(self) -> str:
        """The scope that is requested: the cloud's for SMTP unless configured."""
        return self.configured_scope or CLOUDS[self.cloud].delegated_scope

    @property
    def imap_scope(self) -> str:
        """The scope of a user's token for IMAP."""
        return CLOUDS[self.cloud].delegated_imap_scope

    @property
    def graph_scope(self) -> str:
        """The scope of a user's token for the mail in Microsoft Graph."""
        return f"https://{CLOUDS[self.cloud].graph}/Mail.ReadWrite"

    @property
    def graph_sending_scope(self) -> str:
        """The scope of a user's token that sends mail by Microsoft Graph."""
        return f"https://{CLOUDS[self.cloud].graph}/Mail.Send"

    @property
    def smtp_host(self) -> str | None:
        """The host of client submission; personal accounts have their own."""
        return _PERSONAL_HOST if self.tenant == "consumers" and self.authority is None else super().smtp_host

    @property
    def login_issuer(self) -> str:
        """The tenant's URL at the issuer."""
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

    def flow(self, login: TokenFile | None = None) -> Flow:
        """Return the way to the user's tokens; nothing is read or opened yet."""
        from smtpcheck.oauth.entra_user import entra_user_flow  # noqa: PLC0415 - MSAL is heavy

        return entra_user_flow(self._application(), self.terms, login)

    def sign_in(
        self,
        show: Show,
        cancelled: Event,
        port: int = 0,  # noqa: ARG002
        further: Collection[str] = (),
    ) -> TokenResponse | TokenError:
        """Let a user log in by a device code; it is for one resource, so scopes of another one are not asked for."""
        from smtpcheck.oauth.entra_user import sign_in  # noqa: PLC0415 - MSAL is heavy

        resource = urlsplit(self.scope).netloc
        beside = [scope for scope in further if urlsplit(scope).netloc == resource]
        return sign_in(self._application(), show, cancelled, beside)

    def _application(self) -> "UserApplication":
        from smtpcheck.oauth.entra_user import UserApplication  # noqa: PLC0415 - MSAL is heavy

        return UserApplication(self.login_issuer, self.client_id, self.scope, self.ca_file, self.proxy)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.tenant in {"common", "consumers"} and self.cloud is not Cloud.GLOBAL and self.authority is None:
            raise ValueError(f"tenant {self.tenant} means personal accounts, which cloud {self.cloud} does not have")
        return self
