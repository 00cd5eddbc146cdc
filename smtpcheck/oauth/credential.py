"""What every kind of credential has in its configuration.

Rules of this file:
- A credential is the configuration's own model: frozen, an unknown key is an error, and it holds no secret but by
  `SecretSource`. Two that are equal share tokens across a reload.
- A credential opens no connection and reads no secret; its `flow` does, and that only when it is asked for a token.
"""

import re
from abc import abstractmethod
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from smtpcheck.http_client.urls import has_user, origin_of
from smtpcheck.model.credential import CredentialHints
from smtpcheck.oauth.flow import Flow
from smtpcheck.oauth.token_store import TokenFile
from smtpcheck.secrets.source import ConfiguredPath


def _without_user(url: str) -> str:
    if has_user(url):
        raise ValueError("names a user, whose password would be shown with it\nissuers take a client_secret instead")
    if origin_of(url) is None:
        raise ValueError("is not a URL")
    return url


IssuerUrl = Annotated[str, Field(pattern=r"^https://[^\s?#]+$"), AfterValidator(_without_user)]
"""A URL that is shown in errors, and so holds no secret."""
IssuerName = Annotated[str, Field(pattern=r"^https?://[^\s?#]+$"), AfterValidator(_without_user)]
"""What an issuer calls itself, which need not be an address that can be asked."""

_WELL_KNOWN = re.compile(r"/\.well-known/(?:openid-configuration|oauth-authorization-server)(?=/|$)")


def issuer_of(url: str) -> str:
    """Return the issuer where `url` is the address of its discovery document, else `url` itself."""
    return _WELL_KNOWN.sub("", url, count=1)


class Credential(BaseModel):
    """How a token is got. Each kind is a subclass with a `type` of its own, named in `CREDENTIAL_TYPES`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    uses_subject: ClassVar[bool] = False
    """Whether each mailbox has a token of its own."""
    gives_tokens: ClassVar[bool] = True
    """Whether it gives access tokens; else a password, of which no fact may be kept."""

    logs_in: ClassVar[bool] = True
    """Whether SMTP and IMAP can be logged in to with what it gives; a key of a mail API alone cannot."""

    type: str
    ca_file: ConfiguredPath | None = Field(default=None, description="PEM certificates to verify the issuer with.")
    proxy: str | None = Field(
        default=None,
        repr=False,
        pattern=r"^(https?|socks5h?)://[^/\s]+/?$",
        description="The proxy for requests to the issuer, such as http://host:port. Default: that of the environment.",
    )

    @property
    @abstractmethod
    def scope(self) -> str:
        """The scope that is requested, scopes joined by blanks; empty where none is."""

    @property
    def imap_scope(self) -> str:
        """The scope of a token for IMAP; the same one unless the provider has another."""
        return self.scope

    @abstractmethod
    def flow(self, login: TokenFile | None = None) -> Flow:
        """Return the way to this credential's tokens; nothing is read or opened yet.

        A credential that acts for a user keeps its refresh token in `login`; without it no token can be got.
        """

    @property
    def rotates(self) -> bool:
        """Whether it lives on a refresh token, which may change at each use: one agent alone may use it."""
        return False

    @property
    def unknown_expiry(self) -> str:
        """What about this credential ends at a time that is not known, and how to make it known; else empty."""
        return ""

    def hints(self, name: str) -> CredentialHints:
        """Return what a remedy's text may say of the credential called `name`."""
        return CredentialHints(name=name, type=self.type, scope=self.scope)

    def files(self) -> tuple[Path, ...]:
        """Return the files whose change means that the issuer is asked again."""
        return (self.ca_file,) if self.ca_file else ()
