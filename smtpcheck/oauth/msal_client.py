"""MSAL's application objects, tamed: what every flow at Entra asks through.

Rules of this file:
- MSAL decides what is sent; what came back is evaluated by the session's record of it. MSAL's exceptions lose the body
  of a 5xx and of an unknown tenant's refusal.
- Every request reaches the issuer: MSAL keeps no token, and its memory of errors (60 s for a 400, Retry-After for a
  429) is emptied before each.
- The application object, whose making asks for the discovery document, is kept until a request fails (`KeptClient`), so
  that a renewal is one request.
- MSAL never asks a host of its own choosing: no instance discovery, no region from the environment (MSAL_FORCE_REGION).
"""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msal
from msal.authority import WELL_KNOWN_AUTHORITY_HOSTS
from msgspec import structs

from smtpcheck.http_client.blocking import ExchangeError
from smtpcheck.http_client.urls import netloc_of
from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.oauth.answer import TokenResponse, has_token, token_error, token_response
from smtpcheck.oauth.session import IssuerSession, unanswered

Question = Callable[[Any], object]
"""What is asked of MSAL's application object."""


class MsalClient:
    """One application object of MSAL with a session of its own; not for two threads at once."""

    def __init__(
        self, *, authority: str, client_id: str, credential: str | dict[str, Any] | None, session: IssuerSession
    ) -> None:
        """Ask the tenant's URL `authority`; without a credential as a public client. Nothing is asked yet."""
        self._authority = authority
        self._client_id = client_id
        self._credential = credential
        self._session = session
        self._errors: dict[str, object] = {}
        self._msal: Any = None

    def ask(self, question: Question, *, scope: str) -> TokenResponse | TokenError:
        """Ask for tokens, and return what came back, or why nothing of use did."""
        self._errors.clear()
        asked_at = time.time()
        try:
            if self._msal is None:
                self._msal = self._application()
            question(self._msal)
            return self._response(asked_at)
        except ExchangeError as error:
            return unanswered(error.fault, requested_scope=scope)
        except _MismatchError as error:
            return structs.replace(error.error, requested_scope=scope)
        except Exception:
            answer = self._session.response
            discovered = self._msal is not None and answer is not None and answer.method == "GET"
            if answer is None or has_token(answer) or discovered:
                raise
            return token_error(answer, requested_scope=scope)
        finally:
            self._session.forget()

    def _response(self, asked_at: float) -> TokenResponse:
        if self._session.response is None:
            raise ValueError("no answer")
        return token_response(self._session.response, asked_at=asked_at)

    def _application(self) -> Any:
        common = {
            "authority": self._authority,
            "instance_discovery": False,
            "http_client": self._session,
            "http_cache": self._errors,
            "token_cache": NoTokenCache(),
            "app_name": "smtpcheck",
        }
        if self._credential is None:
            made = msal.PublicClientApplication(self._client_id, **common)
        else:
            made = msal.ConfidentialClientApplication(
                self._client_id, client_credential=self._credential, azure_region=False, **common
            )
        self._refuse_another_issuer()
        return made

    def _refuse_another_issuer(self) -> None:
        """Raise _MismatchError where an issuer sends us to another host. Microsoft's own have several names."""
        answer = self._session.response
        document = answer.json if answer else None
        home = urlsplit(self._authority).netloc
        if home in WELL_KNOWN_AUTHORITY_HOSTS or answer is None or document is None:
            return
        for key in ("issuer", "token_endpoint"):
            named = document.get(key)
            if netloc_of(named) != home:
                raise _MismatchError(
                    structs.replace(
                        token_error(answer, requested_scope=""),
                        kind=TokenErrorKind.ISSUER_MISMATCH,
                        body="",
                        description=f"the discovery document names {key} {str(named)[:200]!r}, not one at {home}",
                    )
                )


class KeptClient:
    """The client of one flow, kept from request to request until one fails; not for two threads at once."""

    def __init__(self) -> None:
        self._client: MsalClient | None = None
        self._made_of = ""

    def ask(
        self, question: Question, make: Callable[[], MsalClient], *, made_of: str, scope: str
    ) -> TokenResponse | TokenError:
        """Ask as `MsalClient.ask` does, of a client that `make` returns where `made_of` has changed or none is kept."""
        client = self._client if self._made_of == made_of else None
        self._client, self._made_of = None, made_of
        client = client or make()
        answer = client.ask(question, scope=scope)
        if not isinstance(answer, TokenError):
            self._client = client
        return answer


class _MismatchError(Exception):
    """The discovery document names another issuer."""

    def __init__(self, error: TokenError) -> None:
        super().__init__(error.description)
        self.error = error


class NoTokenCache(msal.TokenCache):  # type: ignore[misc]
    """Keeps nothing: the broker holds the tokens."""

    def add(self, event: Any, now: Any = None) -> None:
        """Forget the token."""

    def search(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        """Find nothing."""
        return iter(())
