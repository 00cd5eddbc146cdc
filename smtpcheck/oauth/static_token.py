"""Type `token`: a ready access token from elsewhere, for sites that have a broker of their own, and for quick tests."""

import time
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from smtpcheck.http_client.urls import endpoint_of, has_user, origin_of
from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.oauth.claims import expiry
from smtpcheck.oauth.credential import Credential
from smtpcheck.oauth.flow import CredentialLifetime, Flow, IssuedToken
from smtpcheck.oauth.token_store import TokenFile
from smtpcheck.secrets.secret import Secret
from smtpcheck.secrets.source import SecretSource, SecretUnreadableError, SecretWarning, files_of

READ_AGAIN_SECONDS = 300.0
"""How long a token is used before its source is read again; a file that changes is read again at once."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class TokenSource(SecretSource):
    """Where a ready token comes from; exactly one of the five."""

    KINDS: ClassVar[tuple[str, ...]] = (*SecretSource.KINDS, "url")

    url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s#]+$",
        description="An address that answers with the token: as JSON with access_token, or as plain text.",
    )
    headers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")], SecretSource] = Field(
        default={}, description="Headers of the request to that address, such as an API key."
    )

    def __str__(self) -> str:
        return super().__str__() if self.url is None else f"address {endpoint_of(self.url)}"

    def warnings(self) -> frozenset[SecretWarning]:
        """Return what is suspicious about the token; of one behind an address nothing is known, for it is not asked.

        Raises:
            SecretUnreadableError: As `read()`.
        """
        return super().warnings() if self.url is None else frozenset()

    @model_validator(mode="after")
    def _headers_travel_by_tls(self) -> Self:
        if self.headers and self.url is None:
            raise ValueError("headers have no effect without url")
        if self.url is None:
            return self
        if has_user(self.url):
            raise ValueError("url names a user, whose password would be shown; write headers: {Authorization: ...}")
        origin = origin_of(self.url)
        if origin is None:
            raise ValueError("url is not a URL")
        if origin[0] == "http" and origin[1] not in _LOOPBACK:
            raise ValueError("a token is fetched by https; http is for this machine only")
        return self


class StaticToken(Credential):
    """A token that something else keeps fresh."""

    type: Literal["token"] = "token"
    source: TokenSource = Field(alias="from", description="Where the token is read from.")

    @property
    def scope(self) -> str:
        """Empty: nothing is requested."""
        return ""

    def files(self) -> tuple[Path, ...]:
        """Return the files of the token and of what the request for it needs."""
        return (*super().files(), *files_of(self.source, *self.source.headers.values()))

    def flow(self, login: TokenFile | None = None) -> Flow:  # noqa: ARG002
        """Return the way to the token; nothing is read yet."""
        if self.source.url is None:
            return StaticTokenFlow(self.source)
        from smtpcheck.oauth.token_url import TokenUrlFlow  # noqa: PLC0415 - needs requests

        source, again = self.source, READ_AGAIN_SECONDS
        return TokenUrlFlow(self.source.url, source.headers, ca_file=self.ca_file, proxy=self.proxy, again=again)


class StaticTokenFlow(Flow):
    """Reads the token; asks no issuer."""

    issuer = ""
    lifetime = CredentialLifetime()

    def __init__(self, source: SecretSource) -> None:
        self._source = source

    def request(self, subject: str | None, scope: str = "") -> IssuedToken | TokenError:  # noqa: ARG002
        """Read the token, without blanks and line ends around it; `subject` and `scope` have no meaning here."""
        try:
            text = self._source.read().reveal().strip()
        except SecretUnreadableError as error:
            return TokenError(TokenErrorKind.SECRET_UNREADABLE, at=time.time(), description=str(error))
        if not text:
            reason = f"{self._source} has no token"
            return TokenError(TokenErrorKind.SECRET_UNREADABLE, at=time.time(), description=reason)
        return IssuedToken(Secret(text), expiry(text), refresh_in=READ_AGAIN_SECONDS)
