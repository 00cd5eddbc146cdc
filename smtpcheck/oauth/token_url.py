"""A ready token that some broker gives out by HTTP."""

import re
import time
from collections.abc import Mapping
from pathlib import Path

from smtpcheck.http_client.exchange import Fault, Response
from smtpcheck.http_client.trust import CaUnusableError
from smtpcheck.http_client.urls import endpoint_of, host_of, query_secrets
from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.oauth.answer import has_token, token_error, token_response
from smtpcheck.oauth.claims import expiry
from smtpcheck.oauth.flow import CredentialLifetime, Flow, IssuedToken
from smtpcheck.oauth.session import IssuerSession, unanswered
from smtpcheck.secrets.secret import Secret
from smtpcheck.secrets.source import SecretSource, SecretUnreadableError

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{8,}")
"""A bearer token (RFC 6750 2.1); what is shorter is a word of some message."""


class TokenUrlFlow(Flow):
    """Asks the broker for the token."""

    def __init__(
        self, url: str, headers: Mapping[str, SecretSource], *, ca_file: Path | None, proxy: str | None, again: float
    ) -> None:
        self._url = url
        self._headers = headers
        self._ca_file = ca_file
        self._proxy = proxy
        self._again = again

    @property
    def issuer(self) -> str:
        """The broker's host."""
        return host_of(self._url)

    @property
    def lifetime(self) -> CredentialLifetime:
        """Nothing: the broker keeps what is behind it."""
        return CredentialLifetime()

    def request(self, subject: str | None, scope: str = "") -> IssuedToken | TokenError:  # noqa: ARG002
        """Ask the broker; `subject` and `scope` have no meaning here."""
        try:
            headers = {name: source.read().reveal() for name, source in self._headers.items()}
            local = self._url.startswith("http:")
            session = IssuerSession(ca_file=self._ca_file, proxy=self._proxy, local=local)
        except SecretUnreadableError as error:
            return self._failure(TokenErrorKind.SECRET_UNREADABLE, str(error))
        except CaUnusableError as error:
            return self._failure(TokenErrorKind.TLS, str(error))
        asked_at = time.time()
        with session:
            answer = session.exchange(
                "GET",
                self._url,
                headers={"Accept": "application/json, text/plain", **headers},
                secrets=[*headers.values(), *query_secrets(self._url)],
            )
        if isinstance(answer, Fault):
            return unanswered(answer, requested_scope="")
        return _granted(answer, asked_at, self._again) or token_error(answer, requested_scope="")

    def _failure(self, kind: TokenErrorKind, description: str) -> TokenError:
        return TokenError(kind, at=time.time(), endpoint=endpoint_of(self._url), description=description)


def _granted(answer: Response, asked_at: float, again: float) -> IssuedToken | None:
    if has_token(answer):
        response = token_response(answer, asked_at=asked_at)
        return IssuedToken(response.token, response.expires_at, refresh_in=again)
    text = answer.text.strip()
    plain = answer.headers.get("content-type", "").partition(";")[0].strip() == "text/plain"
    if answer.status == 200 and plain and _TOKEN.fullmatch(text):
        return IssuedToken(Secret(text), expiry(text), refresh_in=again)
    return None
