"""Type `api-key`: the key of a mail API, for `via:`; two halves where the service gives a pair.

Rules of this file:
- A key has no issuer and no expiry that is known; it is read when a run needs it, and nothing of it is kept that it
  could be guessed from: no fingerprint and no length.
- A line end or a blank within it is refused here, with the source's name: it could end a header and begin another.
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
from smtpcheck.secrets.secret import Secret
from smtpcheck.secrets.source import SecretSource, SecretUnreadableError, files_of

SEPARATOR = "\n"
"""Between the parts of a key that has several; no part can hold it."""


class ApiKey(Credential):
    """The key of a mail API."""

    gives_tokens: ClassVar[bool] = False
    logs_in: ClassVar[bool] = False

    type: Literal["api-key"] = "api-key"
    key: SecretSource = Field(description="Where the key is read from.")
    secret: SecretSource | None = Field(
        default=None, description="Its second half, where the service gives a pair, such as Mailjet."
    )

    @property
    def scope(self) -> str:
        """Empty: nothing is requested."""
        return ""

    def files(self) -> tuple[Path, ...]:
        """Return the files of the key."""
        return (*super().files(), *files_of(self.key, self.secret))

    def flow(self, login: TokenFile | None = None) -> Flow:  # noqa: ARG002
        """Return the way to the key; nothing is read yet."""
        return KeyFlow((self.key,) if self.secret is None else (self.key, self.secret))


class KeyFlow(Flow):
    """Reads the parts of a key, of which one may be public; asks no issuer."""

    issuer = ""
    lifetime = CredentialLifetime()

    def __init__(self, sources: tuple[SecretSource | str, ...]) -> None:
        self._sources = sources

    def request(self, subject: str | None, scope: str = "") -> IssuedToken | TokenError:  # noqa: ARG002
        """Read the parts and join them by `SEPARATOR`; `subject` and `scope` have no meaning here."""
        parts = []
        for source in self._sources:
            try:
                part = source if isinstance(source, str) else source.read().reveal().strip(" \t")
            except SecretUnreadableError as error:
                return _unreadable(str(error))
            if not part.isascii() or not part.isprintable() or " " in part:
                return _unreadable(f"{source} has a line end, a blank or a character that no header may hold")
            if not part:
                return _unreadable(f"{source} is empty")
            parts.append(part)
        return IssuedToken(Secret(SEPARATOR.join(parts)), None, refresh_in=READ_AGAIN_SECONDS)


def _unreadable(reason: str) -> TokenError:
    return TokenError(TokenErrorKind.SECRET_UNREADABLE, at=time.time(), description=reason)
