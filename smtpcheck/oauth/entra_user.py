"""A user's login and tokens at Entra by MSAL: a device code once, then the refresh token.

Rule of this file: MSAL asks for offline_access, openid and profile by itself, and refuses to be told so.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from smtpcheck.http_client.trust import CaUnusableError
from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.oauth.answer import TokenResponse
from smtpcheck.oauth.msal_client import KeptClient, MsalClient, Question
from smtpcheck.oauth.refresh import RefreshFlow, Terms
from smtpcheck.oauth.session import IssuerSession, trust_of
from smtpcheck.oauth.token_store import TokenFile
from smtpcheck.oauth.user_credential import Invitation, Show
from smtpcheck.secrets.secret import Secret


@dataclass(frozen=True, slots=True)
class UserApplication:
    """The public client that a user logs in to."""

    authority: str
    """The tenant's URL at the issuer."""
    client_id: str
    scope: str
    ca_file: Path | None
    proxy: str | None


def entra_user_flow(user: UserApplication, terms: Terms, login: TokenFile | None) -> RefreshFlow:
    """Return the flow that redeems the user's refresh token."""
    kept = KeptClient()

    def redeem(token: Secret, scope: str) -> TokenResponse | TokenError:
        return _ask(user, lambda app: app.acquire_token_by_refresh_token(token.reveal(), [scope]), scope, kept)

    return RefreshFlow(terms, login, redeem)


def sign_in(
    user: UserApplication, show: Show, cancelled: Event, further: Iterable[str] = ()
) -> TokenResponse | TokenError:
    """Let a user log in by a device code; blocks, see `UserCredential.sign_in`."""

    def by_device_code(app: object) -> object:
        flow = app.initiate_device_flow([user.scope, *further])  # type: ignore[attr-defined]
        show(Invitation(flow["verification_uri"], flow["user_code"], flow["expires_at"]))
        return app.acquire_token_by_device_flow(  # type: ignore[attr-defined]
            flow, exit_condition=lambda flow: cancelled.is_set() or time.time() > flow["expires_at"]
        )

    return _ask(user, by_device_code, user.scope, KeptClient())


def _ask(user: UserApplication, question: Question, scope: str, kept: KeptClient) -> TokenResponse | TokenError:
    def client() -> MsalClient:
        session = IssuerSession(ca_file=user.ca_file, proxy=user.proxy)
        return MsalClient(authority=user.authority, client_id=user.client_id, credential=None, session=session)

    try:
        return kept.ask(question, client, made_of=trust_of(user.ca_file), scope=scope)
    except CaUnusableError as error:
        return TokenError(
            TokenErrorKind.TLS,
            at=time.time(),
            endpoint=user.authority,
            description=str(error),
            requested_scope=scope,
        )
