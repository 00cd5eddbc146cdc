"""Reads from Microsoft Graph when the client secret in use expires, and which of the application's secrets it is.

Rules of this file:
- It needs the application permission Application.Read.All, and works in the application's home tenant alone
  (https://learn.microsoft.com/graph/api/application-get).
- Graph shows the first three characters of each secret as its `hint`; by that the secret in use is found. Of several
  with the same hint the one that expires first counts, if it has not expired: the one in use has just been accepted.
- A failure is logged and harms nothing.
"""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import structlog

from smtpcheck.http_client.exchange import Fault
from smtpcheck.model.printable import printable
from smtpcheck.model.report import TokenError
from smtpcheck.oauth.msal_client import MsalClient
from smtpcheck.oauth.secret_hint import hint_of
from smtpcheck.oauth.session import IssuerSession
from smtpcheck.secrets.secret import Secret

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Graph:
    """Where Graph is, and what a token for it is asked with."""

    url: str
    scope: str


@dataclass(frozen=True, slots=True)
class SecretExpiry:
    """The expiry of one client secret."""

    at: float
    """Unix seconds."""
    name: str
    """How the portal shows it: its description and the hint."""


def read_secret_expiry(
    client: MsalClient, session: IssuerSession, graph: Graph, client_id: str, secret: Secret
) -> SecretExpiry | None:
    """Return when `secret` expires, None where Graph does not say. Blocks on three requests."""
    token = client.ask(lambda app: app.acquire_token_for_client([graph.scope]), scope=graph.scope)
    if isinstance(token, TokenError):
        _log.warning("no token for Graph, the secret's expiry stays unknown", client_id=client_id, error=token.error)
        return None
    url = f"{graph.url}/v1.0/applications(appId='{quote(client_id, safe='')}')?$select=id,appId,passwordCredentials"
    headers = {"Authorization": f"Bearer {token.token.reveal()}", "Accept": "application/json"}
    answer = session.exchange("GET", url, headers=headers)
    session.forget()
    if isinstance(answer, Fault):
        _log.warning("Graph not reached, the secret's expiry stays unknown", client_id=client_id, kind=str(answer.kind))
        return None
    body = answer.json if answer.status == 200 else None
    if body is None:
        reason = "the application needs Application.Read.All" if answer.status == 403 else ""
        _log.warning(
            "Graph does not state the secret's expiry", client_id=client_id, status=answer.status, reason=reason
        )
        return None
    return _expiry_of(secret, body.get("passwordCredentials"), time.time())


def _expiry_of(secret: Secret, listed: Any, now: float) -> SecretExpiry | None:
    hint = hint_of(secret)
    found = [
        SecretExpiry(end, f"{printable(str(each.get('displayName') or 'without a name'), limit=100)} ({hint}...)")
        for each in (listed if isinstance(listed, list) else [])
        if isinstance(each, dict) and each.get("hint") == hint and (end := _time(each.get("endDateTime"))) > now
    ]
    return min(found, key=lambda end: end.at, default=None)


def _time(text: object) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError):
        return 0.0
