"""Client credentials at Entra by MSAL, with a secret, a certificate or an assertion of another issuer.

Rules of this file:
- Secret, certificate and assertion are read at each request; a changed one gets a new application object of MSAL.
- The expiry of a client secret is read from Graph apart from the requests for tokens, for it may take its time and fail
  without any harm: at most once a day, and after a change of the secret.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from smtpcheck.http_client.trust import CaUnusableError
from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.oauth.certificate import CertificateUnusableError, load_client_key
from smtpcheck.oauth.flow import CredentialLifetime, Flow, IssuedToken
from smtpcheck.oauth.kept_key import KeptKey
from smtpcheck.oauth.msal_client import KeptClient, MsalClient
from smtpcheck.oauth.secret_expiry import Graph, read_secret_expiry
from smtpcheck.oauth.session import IssuerSession, trust_of
from smtpcheck.secrets.secret import Secret
from smtpcheck.secrets.source import SecretSource, SecretUnreadableError

_DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Application:
    """What a registered application asks with."""

    authority: str
    """The tenant's URL at the issuer."""
    client_id: str
    scope: str
    secret: SecretSource | None
    certificate: Path | None
    passphrase: SecretSource | None
    secret_expires_at: float | None
    ca_file: Path | None
    proxy: str | None
    assertion: SecretSource | None = None
    """A token of another issuer that proves the application (federated credential)."""
    graph: Graph | None = None
    """Where the expiry of the secret is read; None: nowhere."""


class EntraFlow(Flow):
    """A token for the application itself (RFC 6749 4.4)."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._lifetime = CredentialLifetime(client_secret_expires_at=application.secret_expires_at)
        self._client = KeptClient()
        self._key = KeptKey(application.certificate, load_client_key) if application.certificate else None
        self._assertion: Secret | None = None
        self._accepted: Secret | None = None
        self._looked_up: tuple[Secret | None, float] = (None, 0.0)

    @property
    def issuer(self) -> str:
        """The host that is asked."""
        return urlsplit(self._application.authority).hostname or ""

    @property
    def lifetime(self) -> CredentialLifetime:
        """The expiry of the secret or certificate."""
        return self._lifetime

    def request(self, subject: str | None, scope: str = "") -> IssuedToken | TokenError:  # noqa: ARG002
        """Ask for a token; `subject` has no meaning here."""
        scope = scope or self._application.scope
        try:
            credential, fingerprint = self._credential()
            answer = self._client.ask(
                lambda app: app.acquire_token_for_client([scope]),
                lambda: self._made_client(credential),
                made_of=fingerprint,
                scope=scope,
            )
        except SecretUnreadableError as error:
            return self._failure(TokenErrorKind.SECRET_UNREADABLE, str(error), scope)
        except CertificateUnusableError as error:
            return self._failure(TokenErrorKind.CERTIFICATE_UNUSABLE, str(error), scope)
        except CaUnusableError as error:
            return self._failure(TokenErrorKind.TLS, str(error), scope)
        return answer if isinstance(answer, TokenError) else IssuedToken(answer.token, answer.expires_at)

    @property
    def side_request_due(self) -> bool:
        """Whether the expiry of the secret is to be read from Graph."""
        secret, at = self._looked_up
        changed, old = secret != self._accepted, time.monotonic() - at >= _DAY
        return self._application.graph is not None and self._accepted is not None and (changed or old)

    def side_request(self) -> None:
        """Read the expiry of the secret from Graph; without the right to do so nothing is known of it."""
        application, secret = self._application, self._accepted
        if application.graph is None or secret is None:
            return
        self._looked_up = (secret, time.monotonic())
        try:
            session = IssuerSession(ca_file=application.ca_file, proxy=application.proxy)
        except CaUnusableError:
            return
        client = MsalClient(
            authority=application.authority,
            client_id=application.client_id,
            credential=secret.reveal(),
            session=session,
        )
        end = read_secret_expiry(client, session, application.graph, application.client_id, secret)
        if end is not None:
            self._lifetime = replace(self._lifetime, client_secret_expires_at=end.at, client_secret_name=end.name)

    def _made_client(self, credential: str | dict[str, Any]) -> MsalClient:
        return MsalClient(
            authority=self._application.authority,
            client_id=self._application.client_id,
            credential=credential,
            session=IssuerSession(ca_file=self._application.ca_file, proxy=self._application.proxy),
        )

    def _credential(self) -> tuple[str | dict[str, Any], str]:
        """Return what MSAL takes as `client_credential`, and what distinguishes it from another."""
        application = self._application
        trust = trust_of(application.ca_file)
        if application.assertion is not None:
            self._assertion = application.assertion.read()
            return {"client_assertion": self._current_assertion}, trust
        if self._key is None:
            assert application.secret is not None  # noqa: S101 - the configuration has one of the three
            secret = self._accepted = application.secret.read()
            return secret.reveal(), f"{secret.fingerprint} {trust}"
        passphrase = application.passphrase.read() if application.passphrase else None
        key = self._key.read(passphrase)
        self._lifetime = replace(self._lifetime, client_certificate_expires_at=key.not_after)
        return (
            {"private_key": key.private_key, "public_certificate": key.certificate},
            f"{key.fingerprint} {trust}",
        )

    def _current_assertion(self) -> str:
        assert self._assertion is not None  # noqa: S101 - it has just been read
        return self._assertion.reveal().strip()

    def _failure(self, kind: TokenErrorKind, description: str, scope: str) -> TokenError:
        return TokenError(
            kind=kind,
            at=time.time(),
            endpoint=self._application.authority,
            description=description,
            requested_scope=scope,
        )
