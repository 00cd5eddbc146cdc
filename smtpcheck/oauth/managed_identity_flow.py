"""Tokens of a managed identity, by MSAL's ManagedIdentityClient.

Rule of this file: the endpoint is of this machine, so it is asked without TLS and never by a proxy. MSAL finds it by
the environment (App Service, Functions, Service Fabric, Arc, Machine Learning), else at 169.254.169.254.
"""

import os
import time
from collections.abc import Mapping
from typing import Any

import msal
from msgspec import structs

from smtpcheck.http_client.blocking import ExchangeError
from smtpcheck.http_client.parsing import parse_seconds
from smtpcheck.http_client.urls import host_of
from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.oauth.answer import has_token, token_error, token_response
from smtpcheck.oauth.flow import CredentialLifetime, Flow, IssuedToken
from smtpcheck.oauth.msal_client import NoTokenCache
from smtpcheck.oauth.session import IssuerSession, unanswered

_VARIABLES = ("IDENTITY_ENDPOINT", "MSI_ENDPOINT", "AZURE_POD_IDENTITY_AUTHORITY_HOST")
_METADATA_SERVICE = "169.254.169.254"


class ManagedIdentityFlow(Flow):
    """A token for the machine or service itself."""

    def __init__(self, identity: Mapping[str, str], scope: str) -> None:
        self._identity = identity
        self._scope = scope

    @property
    def issuer(self) -> str:
        """The host of the endpoint."""
        named = (os.environ.get(name) for name in _VARIABLES)
        return next((host for url in named if (host := host_of(url))), _METADATA_SERVICE)

    @property
    def lifetime(self) -> CredentialLifetime:
        """Nothing: Azure renews what is behind it."""
        return CredentialLifetime()

    def request(self, subject: str | None, scope: str = "") -> IssuedToken | TokenError:  # noqa: ARG002
        """Ask for a token; `subject` has no meaning here."""
        scope = scope or self._scope
        session = IssuerSession(local=True)
        asked_at = time.time()
        try:
            result = self._client(session).acquire_token_for_client(resource=scope.removesuffix("/.default"))
        except ExchangeError as error:
            return unanswered(error.fault, requested_scope=scope)
        except Exception:
            if session.response is None or has_token(session.response):
                raise
            return self._refusal(session, scope)
        finally:
            session.close()
        if session.response is None or not has_token(session.response):
            return self._refusal(session, scope)
        # App Service says `expires_on`, which MSAL has made `expires_in`.
        answer = token_response(session.response, asked_at=asked_at, seconds=parse_seconds(result.get("expires_in")))
        return IssuedToken(answer.token, answer.expires_at)

    def _client(self, session: IssuerSession) -> Any:
        named = self._identity
        who = msal.UserAssignedManagedIdentity(**named) if named else msal.SystemAssignedManagedIdentity()
        return msal.ManagedIdentityClient(who, http_client=session, token_cache=NoTokenCache(), http_cache={})

    def _refusal(self, session: IssuerSession, scope: str) -> TokenError:
        if session.response is None:
            raise RuntimeError("the managed identity endpoint was not asked")
        error = token_error(session.response, requested_scope=scope)
        return structs.replace(error, kind=TokenErrorKind.HTTP) if error.kind is TokenErrorKind.DISCOVERY else error
