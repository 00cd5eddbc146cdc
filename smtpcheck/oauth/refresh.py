"""A token for a user by a refresh token (RFC 6749 6), and the life of that refresh token.

Rules of this file:
- The refresh token is read, used, and its successor written while its lock is held; see `token_store`.
- A successor that cannot be written is held in memory by the token store, and written as soon as it can be.
- To look at what is kept runs no command: a refresh token from a command is read when it is needed.
- A login that was made with another issuer or client is not used: it would be sent to a third party.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import structlog
from msgspec import structs

from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.oauth.answer import TokenResponse
from smtpcheck.oauth.flow import CredentialLifetime, Flow, IssuedToken
from smtpcheck.oauth.token_store import Login, LoginUnusableError, TokenFile
from smtpcheck.secrets.secret import Secret
from smtpcheck.secrets.source import SecretSource, SecretUnreadableError

Redeem = Callable[[Secret, str], TokenResponse | TokenError]
"""Asks the issuer for tokens by a refresh token, for a scope."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a login must fit, and how it is kept alive."""

    issuer: str
    """The URL that names the issuer."""
    client_id: str
    scope: str
    keep_alive: float
    """Seconds."""
    lifetime: float | None
    """Seconds from the issue of a refresh token to its expiry, where the issuer does not say."""
    configured: SecretSource | None
    """A refresh token from elsewhere."""


class RefreshFlow(Flow):
    """Redeems the refresh token of one credential."""

    def __init__(self, terms: Terms, file: TokenFile | None, redeem: Redeem) -> None:
        self._terms = terms
        self._file = file
        self._redeem = redeem
        self._lifetime = CredentialLifetime()

    @property
    def issuer(self) -> str:
        """The host that is asked."""
        return urlsplit(self._terms.issuer).hostname or ""

    @property
    def lifetime(self) -> CredentialLifetime:
        """The refresh token's last use, its expiry, and when it is used next at the latest."""
        return self._lifetime

    def reload(self) -> None:
        """Look at the login that is kept: a user may have run `smtpcheck login`."""
        try:
            login = self._login(look_only=True)
        except (LoginUnusableError, SecretUnreadableError):
            self._lifetime = CredentialLifetime()
        else:
            self._lifetime = self._lifetime_of(login)

    @property
    def side_request_due(self) -> bool:
        """Whether a refresh token is in memory alone."""
        return self._file is not None and self._file.is_unwritten

    def side_request(self) -> None:
        """Write the refresh token that could not be written."""
        try:
            self._place().write_held()
        except LoginUnusableError as error:
            _log.error("refresh token still not written", reason=str(error))
        else:
            _log.info("refresh token written", credential=self._place().name)

    def request(self, subject: str | None, scope: str = "") -> IssuedToken | TokenError:  # noqa: ARG002
        """Redeem the refresh token; `subject` has no meaning here."""
        scope = scope or self._terms.scope
        try:
            with self._place().held():
                login = self._login()
                answer = self._redeem(login.refresh_token, scope)
                if isinstance(answer, TokenError):
                    return structs.replace(answer, refresh_token_age=max(time.time() - login.login_at, 0.0))
                self._keep(_renewed(login, answer, time.time()))
        except (LoginUnusableError, SecretUnreadableError) as error:
            return TokenError(
                TokenErrorKind.SECRET_UNREADABLE,
                at=time.time(),
                endpoint=self._terms.issuer,
                description=str(error),
                requested_scope=scope,
            )
        return IssuedToken(answer.token, answer.expires_at)

    def _place(self) -> TokenFile:
        if self._file is None:
            raise LoginUnusableError("there is no folder for refresh tokens")
        return self._file

    def _login(self, *, look_only: bool = False) -> Login:
        """Return the login to use: the one that is kept, unless the configuration has a newer one."""
        file, terms = self._place(), self._terms
        kept = file.current()
        if terms.configured is not None and not (look_only and terms.configured.command):
            token = terms.configured.read()
            if kept is None or kept.imported != token.fingerprint:
                now = time.time()
                kept = Login(token, terms.issuer, terms.client_id, now, now, now, imported=token.fingerprint)
        if kept is None:
            raise LoginUnusableError(f"no login for {file.name} yet: run smtpcheck login {file.name}")
        if (kept.issuer, kept.client_id) != (terms.issuer, terms.client_id):
            raise LoginUnusableError(
                f"the login of {file.name} was made with client {kept.client_id} at {kept.issuer}, "
                f"which is not the configured one: run smtpcheck login {file.name}"
            )
        return kept

    def _keep(self, login: Login) -> None:
        try:
            self._place().keep(login)
        except LoginUnusableError as error:
            _log.error("refresh token not written, it is kept in memory", reason=str(error))
        self._lifetime = self._lifetime_of(login)

    def _lifetime_of(self, login: Login) -> CredentialLifetime:
        terms = self._terms
        stated = login.issued_at + terms.lifetime if terms.lifetime is not None else None
        return CredentialLifetime(
            refresh_token_last_refresh_at=login.refreshed_at,
            refresh_token_expires_at=stated if login.expires_at is None else login.expires_at,
            login_at=login.login_at if not login.imported else None,
            keep_alive_at=login.refreshed_at + terms.keep_alive,
        )


def first_login(answer: TokenResponse, *, issuer: str, client_id: str, now: float) -> Login | None:
    """Return what to keep of a login that a user has just made; None where there is no refresh token."""
    if answer.refresh_token is None:
        return None
    return Login(
        answer.refresh_token, issuer, client_id, now, now, now, answer.refresh_token_expires_at, answer.account
    )


def _renewed(login: Login, answer: TokenResponse, now: float) -> Login:
    """Return the login after its refresh token has been redeemed; an issuer may give a successor or not."""
    successor = answer.refresh_token
    changed = successor is not None and successor != login.refresh_token
    return replace(
        login,
        refresh_token=successor or login.refresh_token,
        issued_at=now if changed else login.issued_at,
        refreshed_at=now,
        expires_at=answer.refresh_token_expires_at or (None if changed else login.expires_at),
        account=answer.account or login.account,
    )
