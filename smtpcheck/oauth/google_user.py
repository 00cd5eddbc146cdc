"""Type `google-user`: a token for one Gmail mailbox, after `smtpcheck login` or with a refresh token from elsewhere.

Rules of this file:
- The login is made in a browser. Google gives no scope of Gmail to a device code
  (https://developers.google.com/identity/protocols/oauth2/limited-input-device#allowedscopes).
- `openid email` is asked for at the login, so that it is known whose mailbox it is.
"""

from collections.abc import Collection
from pathlib import Path
from threading import Event
from typing import Literal

from pydantic import Field

from smtpcheck.model.credential import CredentialHints
from smtpcheck.model.report import TokenError
from smtpcheck.oauth.answer import TokenResponse
from smtpcheck.oauth.credential import IssuerUrl
from smtpcheck.oauth.flow import Flow
from smtpcheck.oauth.inspect_keys import Inspect
from smtpcheck.oauth.registration import AuthMethod, Endpoints, Registration
from smtpcheck.oauth.token_store import TokenFile
from smtpcheck.oauth.user_credential import Show, UserCredential
from smtpcheck.secrets.source import SecretSource, files_of

MAIL_SCOPE = "https://mail.google.com/"
"""The only scope that SMTP takes (https://developers.google.com/workspace/gmail/imap/xoauth2-protocol)."""

_AUTHORIZATION = "https://accounts.google.com/o/oauth2/v2/auth"
_TOKEN = "https://oauth2.googleapis.com/token"
_CONSENT = {"access_type": "offline", "prompt": "consent"}


class GoogleUser(UserCredential):
    """A user of Gmail or Google Workspace."""

    type: Literal["google-user"] = "google-user"
    client_id: str = Field(pattern=r"^[!-~]+$", description="The OAuth client's id, of the kind desktop app.")
    client_secret: SecretSource = Field(description="The OAuth client's secret.")
    issuer: IssuerUrl | None = Field(default=None, description="An issuer that speaks like Google, instead of it.")
    inspect: Inspect | None = Field(
        default=None, description="Read-only questions to Google about the user and the mailbox."
    )

    @property
    def scope(self) -> str:
        """The scope for mail."""
        return MAIL_SCOPE

    @property
    def login_issuer(self) -> str:
        """The token endpoint, or the issuer that is configured."""
        return self.registration.url

    @property
    def registration(self) -> Registration:
        """The client as Google knows it."""
        return Registration(
            client_id=self.client_id,
            auth_method=AuthMethod.POST,
            issuer=self.issuer,
            endpoints=Endpoints() if self.issuer else Endpoints(token=_TOKEN, authorization=_AUTHORIZATION),
            secret=self.client_secret,
            scope=self.scope,
            ca_file=self.ca_file,
            proxy=self.proxy,
        )

    def hints(self, name: str) -> CredentialHints:
        """Return what a remedy's text may say of the credential called `name`."""
        return CredentialHints(name=name, type=self.type, client_id=self.client_id, scope=self.scope)

    def files(self) -> tuple[Path, ...]:
        """Return the files of the secret, and of a refresh token from elsewhere."""
        return (*super().files(), *files_of(self.client_secret))

    def flow(self, login: TokenFile | None = None) -> Flow:
        """Return the way to the user's tokens; nothing is read or opened yet."""
        from smtpcheck.oauth.oauth2_flow import refresh_flow  # noqa: PLC0415 - needs requests

        return refresh_flow(self.registration, self.terms, login)

    def sign_in(
        self,
        show: Show,
        cancelled: Event,
        port: int = 0,
        further: Collection[str] = (),  # noqa: ARG002
    ) -> TokenResponse | TokenError:
        """Let a user log in with a browser that comes back to this machine."""
        from smtpcheck.oauth.browser_login import sign_in_by_browser  # noqa: PLC0415 - needs requests

        return sign_in_by_browser(
            self.registration,
            show,
            cancelled,
            port=port,
            scope=f"{self.scope} openid email",
            parameters=_CONSENT,
        )
