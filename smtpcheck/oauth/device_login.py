"""The device authorization grant (RFC 8628): a person types a code on another device, and we ask until it is done."""

import time
from threading import Event

from smtpcheck.http_client.exchange import Response
from smtpcheck.http_client.parsing import parse_seconds
from smtpcheck.model.printable import printable
from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.oauth.answer import TokenResponse
from smtpcheck.oauth.registration import Client, Registration
from smtpcheck.oauth.user_credential import Invitation, Show

GRANT = "urn:ietf:params:oauth:grant-type:device_code"

_INTERVAL = 5.0
_SLOWER = 5.0
_LONGEST = 3600.0
_PASSING = frozenset({TokenErrorKind.TIMEOUT, TokenErrorKind.CONNECT, TokenErrorKind.REFUSED, TokenErrorKind.THROTTLED})
"""What does not end the waiting, but slows it (RFC 8628 3.5)."""


def sign_in_by_device_code(registration: Registration, show: Show, cancelled: Event) -> TokenResponse | TokenError:
    """Let a user log in; return the tokens, or why there are none. Blocks; see `UserCredential.sign_in`."""
    client = Client(registration)
    begun = client.device_authorization()
    if isinstance(begun, TokenError):
        return begun
    code, invitation, interval = _invitation(begun)
    show(invitation)
    form = {"grant_type": GRANT, "device_code": code}
    while not cancelled.wait(interval) and time.time() < invitation.expires_at:
        answer = client.tokens(form)
        if not isinstance(answer, TokenError):
            return answer
        if answer.error == "slow_down" or _is_passing(answer):
            interval = max(interval + _SLOWER, answer.retry_after or 0.0)
        elif answer.error != "authorization_pending":
            return answer
    reason = "cancelled" if cancelled.is_set() else "it was not approved in time"
    return TokenError(
        TokenErrorKind.OAUTH,
        at=time.time(),
        endpoint=begun.endpoint,
        error="expired_token",
        description=f"the login was not completed: {reason}",
        requested_scope=registration.scope,
    )


def _is_passing(error: TokenError) -> bool:
    return error.kind in _PASSING or (error.kind is TokenErrorKind.HTTP and (error.http_status or 599) >= 500)


def _invitation(answer: Response) -> tuple[str, Invitation, float]:
    """Return the device code, what to show, and the seconds between two requests."""
    body = answer.json or {}
    seconds = min(parse_seconds(body.get("expires_in")) or _LONGEST, _LONGEST)
    # Google's own name for it is older than the RFC.
    address = body.get("verification_uri") or body.get("verification_url") or ""
    invitation = Invitation(
        printable(str(address), limit=2048), printable(str(body.get("user_code", "")), limit=64), answer.at + seconds
    )
    return str(body["device_code"]), invitation, parse_seconds(body.get("interval")) or _INTERVAL
