"""Azure Communication Services Email, its REST API: operations by our own id, tokens of Entra or a key that signs.

Rule of this file: answers and refusals are those of the service's specification (Email/stable/2025-09-01).
"""

import base64
import hashlib
import hmac
import json
import re
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from email.message import EmailMessage

from aiohttp import web

from smtpcheck.sandbox.api_account import ApiMessage
from smtpcheck.sandbox.mail_store import FROM_THIRD_PARTY, MailStore

_SIGNED = re.compile(r"HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=(?P<signature>[\w+/=]+)")

Claims = Callable[[str], Mapping[str, object] | None]
"""Returns the claims of a token for the service, None for any other."""


class AcsEmail:
    """One resource.

    Attributes:
        key: the resource's key (base64).
        domains: the domains that are linked to it.
        permitted: ids of applications that have the role.
        throttled: how many of the next requests are answered with 429.
        operations: what was asked for, by its id.
        messages: the last messages that were taken.
    """

    def __init__(self, store: MailStore, claims: Claims) -> None:
        """Deliver into `store`; `claims` reads tokens."""
        self.key = base64.b64encode(secrets.token_bytes(64)).decode()
        self.domains = {"contoso.example"}
        self.permitted: set[str] = set()
        self.throttled = 0
        self.operations: dict[str, str] = {}
        self.messages: deque[ApiMessage] = deque(maxlen=1000)
        self._store, self._claims = store, claims

    def serve(self, app: web.Application, prefix: str) -> None:
        """Add its addresses to an application."""
        app.router.add_post(prefix + "/emails:send", self._send)
        app.router.add_get(prefix + "/emails/operations/{operation}", self._operation)

    async def _operation(self, request: web.Request) -> web.Response:
        if (refusal := await self._refusal(request)) is not None:
            return refusal
        status = self.operations.get(request.match_info["operation"])
        if status is None:
            return _error(404, "NotFound", "The requested operation was not found.")
        return web.json_response({"id": request.match_info["operation"], "status": status, "error": None})

    async def _send(self, request: web.Request) -> web.Response:
        if (refusal := await self._refusal(request)) is not None:
            return refusal
        body = json.loads(await request.read())
        sender, recipient = str(body["senderAddress"]), str(body["recipients"]["to"][0]["address"])
        operation = request.headers.get("Operation-Id", secrets.token_hex(16))
        if sender.rpartition("@")[2] not in self.domains:
            return _error(404, "DomainNotLinked", "The specified sender domain has not been linked.")
        if operation not in self.operations:
            self.operations[operation] = "Succeeded"
            self._take(sender, recipient, body["content"], body.get("headers", {}))
        return web.json_response({"id": operation, "status": "Running", "error": None}, status=202)

    def _take(self, sender: str, recipient: str, content: Mapping[str, str], headers: Mapping[str, str]) -> None:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = sender, recipient, content.get("subject", "")
        message["Message-ID"] = f"<{secrets.token_hex(12)}@azurecomm.net>"
        for name, value in headers.items():
            message[name] = value
        message.set_content(content.get("plainText", ""))
        self.messages.append(ApiMessage("acs", sender, recipient, message.as_bytes()))
        self._store.send(sender, [recipient], message.as_bytes(), FROM_THIRD_PARTY)

    async def _refusal(self, request: web.Request) -> web.Response | None:
        given = request.headers.get("Authorization", "")
        if given.startswith("Bearer "):
            claims = self._claims(given.removeprefix("Bearer "))
            if claims is None:
                return _error(401, "Denied", "Denied by the resource provider.")
            if claims.get("appid") not in self.permitted:
                return _error(403, "AuthorizationFailed", "The client does not have authorization to perform action.")
        elif not await self._is_signed(request, given):
            return _error(401, "Denied", "Denied by the resource provider.")
        if self.throttled > 0:
            self.throttled -= 1
            refusal = _error(429, "TooManyRequests", "Too many requests.")
            refusal.headers["Retry-After"] = "1"
            return refusal
        return None

    async def _is_signed(self, request: web.Request, given: str) -> bool:
        found = _SIGNED.fullmatch(given)
        digest = base64.b64encode(hashlib.sha256(await request.read()).digest()).decode()
        if found is None or request.headers.get("x-ms-content-sha256") != digest:
            return False
        text = f"{request.method}\n{request.raw_path}\n{request.headers['x-ms-date']};{request.host};{digest}"
        expected = base64.b64encode(hmac.digest(base64.b64decode(self.key), text.encode(), "sha256")).decode()
        return hmac.compare_digest(found["signature"], expected)


def _error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"error": {"code": code, "message": message}}, status=status)
