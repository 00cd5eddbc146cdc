"""Type `token`: a ready access token from elsewhere, for sites that have a broker of their own, and for quick tests."""

import time
from pathlib import Path
from typing import Literal

from pydantic import Field

from smtpcheck.model import TokenError, TokenErrorKind
from smtpcheck.oauth.claims import expiry
from smtpcheck.oauth.credential import Credential
from smtpcheck.oauth.flow import Flow, Granted, Life
from smtpcheck.oauth.token_store import TokenFile
from smtpcheck.secret import Secret
from smtpcheck.secret_source import SecretSource, SecretUnreadableError, files_of

READ_AGAIN_SECONDS = 300.0
"""How long a token is used before its source is read again; a file that changes is read again at once."""


class ReadyToken(Credential):
    """A token that something else keeps fresh."""

    type: Literal["token"] = "token"
    source: SecretSource = Field(alias="from", description="Where the token is read from.")

    @property
    def scope(self) -> str:
        """Empty: nothing is requested."""
        return ""

    def files(self) -> tuple[Path, ...]:
        """Return the token's file, if it is one."""
        return (*super().files(), *files_of(self.source))

    def flow(self, login: TokenFile | None = None) -> Flow:  # noqa: ARG002
        """Return the way to the token; nothing is read yet."""
        return ReadyTokenFlow(self.source)


class ReadyTokenFlow(Flow):
    """Reads the token; asks no issuer."""

    issuer = ""
    life = Life()

    def __init__(self, source: SecretSource) -> None:
        """Take where the token is read from."""
        self._source = source

    def request(self, subject: str | None) -> Granted | TokenError:  # noqa: ARG002
        """Read the token, without blanks and line ends around it; `subject` has no meaning here."""
        try:
            text = self._source.read().reveal().strip()
        except SecretUnreadableError as error:
            return TokenError(TokenErrorKind.SECRET_UNREADABLE, at=time.time(), description=str(error))
        if not text:
            reason = f"{self._source} holds no token"
            return TokenError(TokenErrorKind.SECRET_UNREADABLE, at=time.time(), description=reason)
        return Granted(Secret(text), expiry(text), refresh_in=READ_AGAIN_SECONDS)
