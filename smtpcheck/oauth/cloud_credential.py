"""What the credentials at Microsoft Entra have in common: a cloud, or an issuer of one's own that speaks like it."""

from pydantic import Field

from smtpcheck.oauth.clouds import CLOUDS, Cloud
from smtpcheck.oauth.credential import Credential, IssuerUrl
from smtpcheck.oauth.inspect_keys import Inspect

CLIENT_ID = r"^[!-~]+$"
TENANT = r"^[A-Za-z0-9][A-Za-z0-9.-]*$"


class CloudCredential(Credential):
    """A credential at Microsoft Entra."""

    cloud: Cloud = Field(default=Cloud.GLOBAL, description="The cloud of the tenant.")
    authority: IssuerUrl | None = Field(
        default=None,
        description="An issuer that speaks like Entra, instead of the cloud's; the tenant is appended.",
    )
    inspect: Inspect | None = Field(
        default=None, description="Read-only questions to the provider about the application and its mailboxes."
    )

    @property
    def smtp_host(self) -> str | None:
        """The host of client submission; None with an issuer of one's own."""
        return None if self.authority else CLOUDS[self.cloud].smtp_host

    @property
    def graph_url(self) -> str:
        """The URL of Microsoft Graph, in front of `/v1.0/`; an issuer of one's own has it at its own address."""
        return (self.authority or f"https://{CLOUDS[self.cloud].graph}").rstrip("/")

    @property
    def exchange_url(self) -> str:
        """The URL of Exchange Online's administration, in front of `/adminapi/`; an issuer of one's own has it too."""
        return (self.authority or CLOUDS[self.cloud].scope.removesuffix("/.default")).rstrip("/")

    @property
    def graph_scope(self) -> str:
        """The scope of a token for the mail in Microsoft Graph."""
        return f"https://{CLOUDS[self.cloud].graph}/.default"

    @property
    def graph_sending_scope(self) -> str:
        """The scope of a token that sends mail by Microsoft Graph."""
        return self.graph_scope

    def at_authority(self, tenant: str) -> str:
        """Return the tenant's URL at the issuer."""
        root = self.authority or f"https://{CLOUDS[self.cloud].authority}"
        return f"{root.rstrip('/')}/{tenant}"
