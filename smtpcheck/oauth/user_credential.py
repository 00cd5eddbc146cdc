"""What the credentials of a user have in common: a user logs in once, and a refresh token lives on.

Rules of this file:
- The refresh token comes from `smtpcheck login` or from the configuration, and is kept in the token store.
- A login is made by a `SignIn`: it says what to show to the person, and waits.
"""

from abc import abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Annotated

from pydantic import Field, PlainValidator, WithJsonSchema

from smtpcheck.model.duration import DURATION_JSON, parse_period
from smtpcheck.model.report import TokenError
from smtpcheck.oauth.answer import TokenResponse
from smtpcheck.oauth.credential import Credential
from smtpcheck.oauth.refresh import Terms
from smtpcheck.secrets.source import SecretSource, files_of

_WEEK = 7 * 86400.0
_Period = Annotated[float, PlainValidator(parse_period), WithJsonSchema(DURATION_JSON)]


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a person needs to log in."""

    address: str
    """To open in a browser."""
    code: str
    """To type there; empty where the address holds all."""
    expires_at: float
    """Unix seconds."""


Show = Callable[[Invitation], None]


class UserCredential(Credential):
    """A credential that acts for a user."""

    client_id: str
    refresh_token: SecretSource | None = Field(
        default=None, description="An existing refresh token, instead of `smtpcheck login`."
    )
    keep_alive: _Period = Field(
        default=_WEEK, description="The refresh token is used at least this often, even if no token is needed."
    )
    lifetime: _Period | None = Field(
        default=None, description="The lifetime of a refresh token from its issue, if the issuer does not state it."
    )

    @property
    def needs_login(self) -> bool:
        """Whether a user has to run `smtpcheck login`."""
        return self.refresh_token is None

    @property
    def rotates(self) -> bool:
        """Whether it acts for a user: then by a refresh token."""
        return self.needs_login or self.refresh_token is not None

    @property
    def unknown_expiry(self) -> str:
        """How to make known when the refresh token expires."""
        if self.lifetime is not None or not self.rotates:
            return ""
        return "the refresh token's expiry is known only if the issuer states it: set lifetime if you know it"

    def files(self) -> tuple[Path, ...]:
        """Return the file of a refresh token from elsewhere."""
        return (*super().files(), *files_of(self.refresh_token))

    @property
    def terms(self) -> Terms:
        """What a login must fit, and how it is kept alive."""
        return Terms(
            issuer=self.login_issuer,
            client_id=self.client_id,
            scope=self.scope,
            keep_alive=self.keep_alive,
            lifetime=self.lifetime,
            configured=self.refresh_token,
        )

    @abstractmethod
    def sign_in(
        self, show: Show, cancelled: Event, port: int = 0, further: Collection[str] = ()
    ) -> TokenResponse | TokenError:
        """Let a user log in and return the tokens: `show` is called with what to do, and the answer is waited for.

        Blocks until the login is complete, refused, too late, or `cancelled` (looked at every second or so). Where the
        browser comes back to this machine it comes to `port` on 127.0.0.1, 0 for a free one. Consent is asked for the
        scopes in `further` too, as far as one login can be for all of them.
        """

    @property
    @abstractmethod
    def login_issuer(self) -> str:
        """The URL that names the issuer of the login."""
