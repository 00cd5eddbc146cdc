"""Tokens of any issuer: for the client itself, or for a user by a refresh token."""

from smtpcheck.model.report import TokenError
from smtpcheck.oauth.answer import TokenResponse
from smtpcheck.oauth.flow import CredentialLifetime, Flow, IssuedToken
from smtpcheck.oauth.refresh import RefreshFlow, Terms
from smtpcheck.oauth.registration import Client, Registration
from smtpcheck.oauth.token_store import TokenFile
from smtpcheck.secrets.secret import Secret


class ClientCredentialsFlow(Flow):
    """A token for the client itself (RFC 6749 4.4)."""

    def __init__(self, registration: Registration) -> None:
        self._registration = registration
        self._client = Client(registration)

    @property
    def issuer(self) -> str:
        """The host that is asked."""
        return self._registration.host

    @property
    def lifetime(self) -> CredentialLifetime:
        """Nothing: it is not known when a client's secret expires."""
        return CredentialLifetime()

    def request(self, subject: str | None, scope: str = "") -> IssuedToken | TokenError:  # noqa: ARG002
        """Ask for a token; `subject` has no meaning here."""
        answer = self._client.tokens({"grant_type": "client_credentials", "scope": scope or self._registration.scope})
        return answer if isinstance(answer, TokenError) else IssuedToken(answer.token, answer.expires_at)


def refresh_flow(registration: Registration, terms: Terms, login: TokenFile | None) -> RefreshFlow:
    """Return the flow that redeems a refresh token at the issuer of the registration."""
    client = Client(registration)

    def redeem(token: Secret, scope: str) -> TokenResponse | TokenError:
        return client.tokens({"grant_type": "refresh_token", "refresh_token": token.reveal(), "scope": scope})

    return RefreshFlow(terms, login, redeem)
