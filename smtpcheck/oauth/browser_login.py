"""The authorisation code grant in the browser of this machine: PKCE (RFC 7636) and a loopback redirect (RFC 8252 7.3).

Rules of this file:
- The redirect is taken on 127.0.0.1 alone. What does not have our `state` is refused, and the waiting goes on.
- The code leaves by the token endpoint only, with the verifier that nobody else has.
"""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Event
from urllib.parse import parse_qsl, urlencode

from smtpcheck.model.printable import printable
from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.oauth.answer import TokenResponse
from smtpcheck.oauth.registration import Client, Registration
from smtpcheck.oauth.user_credential import Invitation, Show

LOGIN_SECONDS = 600.0
"""How long a user may take to log in."""

_POLL_SECONDS = 0.5
_MAX_TEXT = 1024
_DONE = b"<!doctype html><title>smtpcheck</title><p>smtpcheck has the answer. You may close this window."


def sign_in_by_browser(
    registration: Registration, show: Show, cancelled: Event, *, port: int, scope: str, parameters: Mapping[str, str]
) -> TokenResponse | TokenError:
    """Let a user log in; return the tokens, or why there are none. Blocks; see `UserCredential.sign_in`.

    `scope` and `parameters` are those of the authorisation request.
    """
    client = Client(registration)
    endpoints = client.endpoints()
    if isinstance(endpoints, TokenError):
        return endpoints
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
    try:
        waiting = _Server(port, state)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        text = f"the browser cannot be redirected to port {port} of 127.0.0.1: {reason}; use another --port"
        return TokenError(TokenErrorKind.CONNECT, at=time.time(), description=text, requested_scope=registration.scope)
    with waiting as server:
        query = {
            **parameters,
            "response_type": "code",
            "client_id": registration.client_id,
            "redirect_uri": server.address,
            "scope": scope,
            "state": state,
            "code_challenge": base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        show(Invitation(f"{endpoints.authorization}?{urlencode(query)}", "", time.time() + LOGIN_SECONDS))
        answer = server.wait(cancelled)
    code = answer.get("code")
    if code is None:
        return _failure(registration, answer)
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": server.address, "code_verifier": verifier}
    return client.tokens(form)


def _failure(registration: Registration, answer: Mapping[str, str]) -> TokenError:
    return TokenError(
        TokenErrorKind.OAUTH,
        at=time.time(),
        endpoint=registration.url,
        error=printable(answer.get("error", "access_denied"), limit=_MAX_TEXT),
        description=printable(answer.get("error_description", "the login was not completed"), limit=_MAX_TEXT),
        requested_scope=registration.scope,
    )


class _Server(HTTPServer):
    """Waits for one redirect."""

    def __init__(self, port: int, state: str) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.timeout = _POLL_SECONDS
        self.state = state
        self.answer: dict[str, str] = {}
        self.address = f"http://127.0.0.1:{self.server_port}/"

    def wait(self, cancelled: Event) -> dict[str, str]:
        """Return the parameters of the redirect; none if nobody came in time."""
        end = time.monotonic() + LOGIN_SECONDS
        while not self.answer and not cancelled.is_set() and time.monotonic() < end:
            self.handle_request()
        return self.answer


class _Handler(BaseHTTPRequestHandler):
    """Takes the redirect."""

    server: _Server
    timeout = 5

    def do_GET(self) -> None:
        answer = dict(parse_qsl(self.path.partition("?")[2]))
        ours = hmac.compare_digest(answer.get("state", "").encode(), self.server.state.encode())
        if ours:
            self.server.answer = answer
        self.send_response(200 if ours else 400)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(_DONE if ours else b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: the path holds the code."""
