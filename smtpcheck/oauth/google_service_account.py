"""Type `google-service-account`: tokens for the mailboxes of a Workspace by domain-wide delegation."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from smtpcheck.model.credential import CredentialHints
from smtpcheck.oauth.credential import Credential
from smtpcheck.oauth.flow import Flow
from smtpcheck.oauth.google_key_file import AccountIdentity, read_identity
from smtpcheck.oauth.google_user import MAIL_SCOPE
from smtpcheck.oauth.inspect_keys import Inspect
from smtpcheck.oauth.token_store import TokenFile
from smtpcheck.secrets.source import ConfiguredPath


class GoogleServiceAccount(Credential):
    """A service account of Google that acts for each mailbox."""

    uses_subject: ClassVar[bool] = True

    type: Literal["google-service-account"] = "google-service-account"
    key_file: ConfiguredPath = Field(
        description="JSON of the service account's key, or of a workload identity federation without any key."
    )
    service_account: str | None = Field(
        default=None,
        pattern=r"^[^\s@]+@[^\s@]+$",
        description="The service account's address, if the JSON of a federation does not name it.",
    )

    inspect: Inspect | None = Field(
        default=None, description="Read-only questions to Google about the service account and its mailboxes."
    )

    @property
    def scope(self) -> str:
        """The scope for mail."""
        return MAIL_SCOPE

    def hints(self, name: str) -> CredentialHints:
        """Return what a remedy's text may say of the credential called `name`."""
        return CredentialHints(name=name, type=self.type, client_id=self.service_account or "", scope=self.scope)

    def identity(self) -> AccountIdentity:
        """Read who the service account is from its key's file."""
        return read_identity(self.key_file, self.service_account)

    def files(self) -> tuple[Path, ...]:
        """Return the key's file."""
        return (*super().files(), self.key_file)

    def flow(self, login: TokenFile | None = None) -> Flow:  # noqa: ARG002
        """Return the way to the mailboxes' tokens; nothing is read or opened yet."""
        from smtpcheck.oauth.google_delegation import Delegation, DelegationFlow  # noqa: PLC0415 - google-auth is heavy

        return DelegationFlow(
            Delegation(self.key_file, self.service_account, self.scope, ca_file=self.ca_file, proxy=self.proxy)
        )
