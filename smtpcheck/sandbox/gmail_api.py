"""What the Gmail API does with a profile and a message (https://developers.google.com/workspace/gmail/api/reference/rest).

Rules of this file:
- It is at the issuer's own address, under `/gmail/v1/`, and takes that issuer's tokens.
- Answers and refusals are Gmail's. The scope is examined before the message; a profile needs more than `gmail.send`.
"""

import base64
import binascii
import secrets
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes
from email.utils import getaddresses
from typing import Any, NamedTuple

from aiohttp import web

from smtpcheck.sandbox.mail_store import AT_ONCE, MailStore

_MAIL, _API = "https://mail.google.com/", "https://www.googleapis.com/auth/gmail."
_SENDS = frozenset({_MAIL, f"{_API}send", f"{_API}compose", f"{_API}modify"})
_SETS = frozenset({_MAIL, f"{_API}modify", f"{_API}readonly", f"{_API}settings.basic"})
_SHOWS = frozenset({_MAIL, f"{_API}compose", f"{_API}modify", f"{_API}metadata", f"{_API}readonly"})


class Bearer(NamedTuple):
    """Whose token it is, and for what."""

    address: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class MailboxSettings:
    """What a mailbox is set to."""

    imap: bool = True
    forwards_to: str = ""
    unverified: tuple[str, ...] = ()
    """Addresses to send as that wait to be confirmed."""


@dataclass(slots=True)
class GmailApi:
    """The API for the users of one issuer.

    Attributes:
        bearer: returns what is behind a token; None for one that is unknown or has expired.
        disabled: whether the API is not enabled in the project.
        without_gmail: addresses whose users have no mailbox at Gmail.
        settings: what mailboxes are set to, by their addresses in lower case.
        throttled: how many of the next requests are answered with 429.
        takes_anything: whether whatever is to be sent is answered with 200.
        asked: how often each mailbox was named in a request so far.
        sent: the last messages that were taken, each with its mailbox.
    """

    store: MailStore
    bearer: Callable[[str], Bearer | None]
    disabled: bool = False
    without_gmail: set[str] = field(default_factory=set)
    settings: dict[str, MailboxSettings] = field(default_factory=dict)
    throttled: int = 0
    takes_anything: bool = False
    asked: Counter[str] = field(default_factory=Counter)
    sent: deque[tuple[str, bytes]] = field(default_factory=lambda: deque(maxlen=1000))

    def serve(self, app: web.Application) -> None:
        """Add its addresses to an application."""
        app.router.add_get("/gmail/v1/users/{user}/profile", self._profile)
        app.router.add_post("/gmail/v1/users/{user}/messages/send", self._send)
        app.router.add_get("/gmail/v1/users/{user}/settings/{setting}", self._setting)

    async def _profile(self, request: web.Request) -> web.Response:
        opened = self._opened(request, _SHOWS)
        if isinstance(opened, web.Response):
            return opened
        return web.json_response({"emailAddress": opened, "messagesTotal": 1, "threadsTotal": 1, "historyId": "1"})

    async def _setting(self, request: web.Request) -> web.Response:
        opened = self._opened(request, _SETS)
        if isinstance(opened, web.Response):
            return opened
        settings = self.settings.get(opened.casefold(), MailboxSettings())
        senders = [{"sendAsEmail": opened, "isPrimary": True, "isDefault": True}]
        senders += [{"sendAsEmail": each, "verificationStatus": "pending"} for each in settings.unverified]
        forwarding = {"emailAddress": settings.forwards_to, "disposition": "leaveInInbox"}
        known: dict[str, dict[str, Any]] = {
            "imap": {"enabled": settings.imap, "autoExpunge": True, "expungeBehavior": "archive", "maxFolderSize": 0},
            "autoForwarding": {"enabled": True, **forwarding} if settings.forwards_to else {"enabled": False},
            "sendAs": {"sendAs": senders},
        }
        found = known.get(request.match_info["setting"])
        return web.json_response(found) if found else refusal(404, "NOT_FOUND", "notFound", "Not Found")

    async def _send(self, request: web.Request) -> web.Response:
        opened = self._opened(request, _SENDS)
        if isinstance(opened, web.Response):
            return opened
        if self.takes_anything:
            return web.json_response({"id": secrets.token_hex(8)})
        try:
            raw = (await request.json())["raw"]
            content = base64.urlsafe_b64decode(raw)
        except (ValueError, KeyError, TypeError, binascii.Error):
            content = b""
        if not content:
            message = "'raw' RFC822 payload message string or uploading message via /upload/* URL required"
            return refusal(400, "INVALID_ARGUMENT", "invalidArgument", message)
        recipients = tuple(address for _, address in getaddresses(message_from_bytes(content).get_all("To", [])))
        if not recipients:
            return refusal(400, "INVALID_ARGUMENT", "invalidArgument", "Recipient address required")
        self.sent.append((opened, content))
        self.store.send(opened, recipients, content, AT_ONCE)
        identity = secrets.token_hex(8)
        return web.json_response({"id": identity, "threadId": identity, "labelIds": ["SENT"]})

    def _opened(self, request: web.Request, scopes: frozenset[str]) -> str | web.Response:
        """Return the mailbox that the request names, or the refusal."""
        user = request.match_info["user"].casefold()
        self.asked[user] += 1
        bearer = self.bearer(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if bearer is None:
            message = (
                "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other"
            )
            return refusal(401, "UNAUTHENTICATED", "authError", f"{message} valid authentication credential.")
        if self.disabled:
            message = (
                "Gmail API has not been used in project 123456789012 before or it is disabled. Enable it by visiting"
            )
            return refusal(403, "PERMISSION_DENIED", "accessNotConfigured", f"{message} the console.")
        if self.throttled > 0:
            self.throttled -= 1
            message = "User-rate limit exceeded. Retry after a minute."
            answer = refusal(429, "RESOURCE_EXHAUSTED", "rateLimitExceeded", message)
            answer.headers["Retry-After"] = "60"
            return answer
        if scopes.isdisjoint(bearer.scopes):
            message = "Request had insufficient authentication scopes."
            return refusal(403, "PERMISSION_DENIED", "insufficientPermissions", message)
        if user not in {"me", bearer.address.casefold()}:
            return refusal(403, "PERMISSION_DENIED", "forbidden", f"Delegation denied for {bearer.address}")
        if bearer.address.casefold() in self.without_gmail:
            return refusal(400, "FAILED_PRECONDITION", "failedPrecondition", "Precondition check failed.")
        return bearer.address


def refusal(status: int, name: str, reason: str, message: str) -> web.Response:
    """Return a refusal in the form of Google's APIs."""
    errors: list[dict[str, Any]] = [{"message": message, "domain": "global", "reason": reason}]
    error = {"code": status, "message": message, "errors": errors, "status": name}
    return web.json_response({"error": error}, status=status)
