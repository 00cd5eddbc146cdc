"""Type `aws`: an access key of AWS, by which requests to Amazon SES are signed."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from smtpcheck.model.credential import CredentialHints
from smtpcheck.oauth.api_key import KeyFlow
from smtpcheck.oauth.credential import Credential
from smtpcheck.oauth.flow import Flow
from smtpcheck.oauth.token_store import TokenFile
from smtpcheck.secrets.source import SecretSource, files_of


class Aws(Credential):
    """An access key of AWS."""

    gives_tokens: ClassVar[bool] = False
    logs_in: ClassVar[bool] = False

    type: Literal["aws"] = "aws"
    access_key_id: str = Field(pattern=r"^[A-Z0-9]{16,128}$", description="The id of the access key, such as AKIA....")
    secret_access_key: SecretSource = Field(description="Where the secret access key is read from.")
    session_token: SecretSource | None = Field(
        default=None, description="The session token, for temporary credentials (ids that begin with ASIA)."
    )
    region: str = Field(pattern=r"^[a-z]{2,6}(-[a-z]{2,12}){1,3}-\d$", description="The region, such as eu-central-1.")

    @property
    def scope(self) -> str:
        """Empty: nothing is requested."""
        return ""

    def hints(self, name: str) -> CredentialHints:
        """Return what a remedy's text may say of it."""
        return CredentialHints(name=name, type=self.type, client_id=self.access_key_id)

    def files(self) -> tuple[Path, ...]:
        """Return the files of the key."""
        return (*super().files(), *files_of(self.secret_access_key, self.session_token))

    def flow(self, login: TokenFile | None = None) -> Flow:  # noqa: ARG002
        """Return the way to the key; nothing is read yet."""
        parts = (self.access_key_id, self.secret_access_key)
        return KeyFlow(parts if self.session_token is None else (*parts, self.session_token))
