"""Client credentials at Entra by MSAL.

Rules of this file:
- MSAL decides what is sent; what came back is judged by the session's record of it. MSAL's exceptions lose the body
  of a 5xx and of an unknown tenant's refusal.
- Every request reaches the issuer: MSAL keeps no token, and its memory of errors (60 s for a 400, Retry-After for a
  429) is emptied before each. The application object, whose making asks for the discovery document, is kept until the
  secret changes or a request fails.
- MSAL never asks a host of its own choosing: no instance discovery, no region from the environment (MSAL_FORCE_REGION).
- MSAL's loggers are silent, for one of them writes answers to the log.
"""

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msal
import requests
from msal.authority import WELL_KNOWN_AUTHORITY_HOSTS

from smtpcheck.model import TokenError, TokenErrorKind
from smtpcheck.oauth.answer import token_error
from smtpcheck.oauth.certificate import CertificateUnusableError, ClientKey, load_client_key
from smtpcheck.oauth.claims import expiry
from smtpcheck.oauth.flow import Flow, Granted, Life
from smtpcheck.oauth.session import CaUnusableError, IssuerSession
from smtpcheck.secret import Secret
from smtpcheck.secret_source import SecretSource, SecretUnreadableError

logging.getLogger("msal").setLevel(logging.CRITICAL)

_ASSUMED_SECONDS = 3600.0
"""The life of a token whose answer does not say it (RFC 6749 5.1 recommends that it does)."""


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


class EntraFlow(Flow):
    """A token for the application itself (RFC 6749 4.4)."""

    def __init__(self, application: Application) -> None:
        """Take what to ask with; nothing is read or opened yet."""
        self._application = application
        self._life = Life(client_secret_expires_at=application.secret_expires_at)
        self._client: _Client | None = None

    @property
    def issuer(self) -> str:
        """The host that is asked."""
        return urlsplit(self._application.authority).hostname or ""

    @property
    def life(self) -> Life:
        """The end of the secret or certificate."""
        return self._life

    def request(self, subject: str | None) -> Granted | TokenError:  # noqa: ARG002
        """Ask for a token; `subject` has no meaning here."""
        try:
            credential, fingerprint = self._credential()
            client = self._client
            if client is None or client.fingerprint != fingerprint:
                session = IssuerSession(ca_file=self._application.ca_file, proxy=self._application.proxy)
                client = _Client(self._application, credential, fingerprint, session)
        except SecretUnreadableError as error:
            return self._failure(TokenErrorKind.SECRET_UNREADABLE, str(error))
        except CertificateUnusableError as error:
            return self._failure(TokenErrorKind.CERTIFICATE_UNUSABLE, str(error))
        except CaUnusableError as error:
            return self._failure(TokenErrorKind.TLS, str(error))
        answer = client.ask()
        self._client = client if isinstance(answer, Granted) else None
        return answer

    def _credential(self) -> tuple[str | dict[str, Any], str]:
        """Return what MSAL takes as `client_credential`, and what tells it from another."""
        trust = _stamp(self._application.ca_file)
        if self._application.certificate is None:
            assert self._application.secret is not None  # noqa: S101 - the configuration has one of the two
            secret = self._application.secret.read()
            return secret.reveal(), f"{secret.fingerprint} {trust}"
        passphrase = self._application.passphrase.read() if self._application.passphrase else None
        key: ClientKey = load_client_key(self._application.certificate, passphrase)
        self._life = replace(self._life, client_certificate_expires_at=key.not_after)
        return (
            {"private_key": key.private_key, "public_certificate": key.certificate},
            f"{key.fingerprint} {trust}",
        )

    def _failure(self, kind: TokenErrorKind, description: str) -> TokenError:
        return TokenError(
            kind=kind,
            at=time.time(),
            endpoint=self._application.authority,
            description=description,
            requested_scope=self._application.scope,
        )


class _Client:
    """MSAL's application object with a session of its own."""

    def __init__(
        self, application: Application, credential: str | dict[str, Any], fingerprint: str, session: IssuerSession
    ) -> None:
        self.fingerprint = fingerprint
        self._application = application
        self._credential = credential
        self._session = session
        self._errors: dict[str, object] = {}
        self._msal: msal.ConfidentialClientApplication | None = None

    def ask(self) -> Granted | TokenError:
        scope = self._application.scope
        self._errors.clear()
        try:
            return self._granted(time.time())
        except requests.RequestException as error:
            return self._session.trouble(error, requested_scope=scope)
        except _MismatchError as error:
            return error.error
        except Exception:
            answer = self._session.last
            discovered = self._msal is not None and answer is not None and answer.method == "GET"
            if answer is None or answer.granted or discovered:
                raise
            return token_error(answer, requested_scope=scope)
        finally:
            self._session.forget()

    def _granted(self, begin: float) -> Granted:
        if self._msal is None:
            self._msal = self._application_object()
        result = self._msal.acquire_token_for_client([self._application.scope])
        answer = self._session.last
        if answer is None or not answer.granted:
            raise ValueError("no token response")
        token = result["access_token"]
        seconds = _seconds(result.get("expires_in"))
        end = begin + seconds if seconds is not None else expiry(token) or begin + _ASSUMED_SECONDS
        return Granted(Secret(token), end)

    def _application_object(self) -> msal.ConfidentialClientApplication:
        made = msal.ConfidentialClientApplication(
            self._application.client_id,
            client_credential=self._credential,
            authority=self._application.authority,
            instance_discovery=False,
            azure_region=False,
            http_client=self._session,
            http_cache=self._errors,
            token_cache=_NoTokenCache(),
            app_name="smtpcheck",
        )
        self._refuse_another_issuer()
        return made

    def _refuse_another_issuer(self) -> None:
        """Raise _MismatchError where an issuer sends us to another host. Microsoft's own have several names."""
        answer = self._session.last
        document = answer.json if answer else None
        home = urlsplit(self._application.authority).netloc
        if home in WELL_KNOWN_AUTHORITY_HOSTS or answer is None or document is None:
            return
        for key in ("issuer", "token_endpoint"):
            named = document.get(key)
            if not isinstance(named, str) or urlsplit(named).netloc != home:
                error = token_error(answer, requested_scope=self._application.scope)
                raise _MismatchError(
                    replace(
                        error,
                        kind=TokenErrorKind.ISSUER_MISMATCH,
                        body="",
                        description=f"the discovery document names {key} {str(named)[:200]!r}, not one at {home}",
                    )
                )


class _MismatchError(Exception):
    """The discovery document names another issuer."""

    def __init__(self, error: TokenError) -> None:
        super().__init__(error.description)
        self.error = error


class _NoTokenCache(msal.TokenCache):  # type: ignore[misc]
    """Keeps nothing: the broker holds the tokens."""

    def add(self, event: Any, now: Any = None) -> None:
        """Forget the token."""

    def search(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        """Find nothing."""
        return iter(())


def _seconds(value: object) -> float | None:
    """Return `expires_in`, which some issuers send as text."""
    try:
        seconds = float(value) if isinstance(value, int | float | str) else None
    except ValueError:
        return None
    return seconds if seconds is not None and 0 <= seconds < 1e9 else None


def _stamp(path: Path | None) -> str:
    try:
        return str(path.stat().st_mtime_ns) if path else ""
    except OSError:
        return ""
