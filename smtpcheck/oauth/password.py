"""Type `password`: for servers that know no OAuth2, and for logins that must be refused.

Rules of this file:
- A password has no issuer and no expiry that is known; it is read when a run needs it, and nothing of it is kept that
  it could be guessed from: no fingerprint and no length.
"""

import time
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.oauth.credential import Credential
from smtpcheck.oauth.flow import CredentialLifetime, Flow, IssuedToken
from smtpcheck.oauth.static_token import READ_AGAIN_SECONDS
from smtpcheck.oauth.token_store import TokenFile
from smtpcheck.secrets.source import SecretSource, SecretUnreadableError, files_of


class Password(Credential):
    """The password of a mailbox."""

    gives_tokens: ClassVar[bool] = False

    type: Literal["password"] = "password"
    user: str | None = Field(
        default=None,
        min_length=1,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="The user that logs in, if it is not the mailbox: at some services an API key's name.",
    )
    password: SecretSource = Field(description="Where the password is read from.")

    @property
    def scope(self) -> str:
        """Empty: nothing is requested."""
        return ""

    def files(self) -> tuple[Path, ...]:
        """Return the file of the password, if it is in one."""
        return (*super().files(), *files_of(self.password))

    def flow(self, login: TokenFile | None = None) -> Flow:  # noqa: ARG002
        """Return the way to the password; nothing is read yet."""
        return PasswordFlow(self.password)


class PasswordFlow(Flow):
    """Reads the password; asks no issuer."""

    issuer = ""
    lifetime = CredentialLifetime()

    def __init__(self, source: SecretSource) -> None:
        self._source = source

    def request(self, subject: str | None, scope: str = "") -> IssuedToken | TokenError:  # noqa: ARG002
        """Read the password; `subject` and `scope` have no meaning here."""
        try:
            password = self._source.read()
        except SecretUnreadableError as error:
            return _unreadable(str(error))
        text = password.reveal()
        if "\0" in text or text.encode("utf-8", "replace").decode() != text:
            return _unreadable(f"{self._source} has a character that SASL cannot transport (RFC 4616 2)")
        return IssuedToken(password, None, refresh_in=READ_AGAIN_SECONDS)


def _unreadable(reason: str) -> TokenError:
    return TokenError(TokenErrorKind.SECRET_UNREADABLE, at=time.time(), description=reason)
