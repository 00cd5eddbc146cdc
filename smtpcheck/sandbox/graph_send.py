"""What Microsoft Graph does with `sendMail` (https://learn.microsoft.com/graph/api/user-sendmail).

Rules of this file:
- It is at the issuer's own address, under `/v1.0/`, and takes that issuer's tokens for Graph alone.
- Answers and refusals are Graph's. 202 has no body and no id of the message; nothing is idempotent.
- The right to send is examined before the message, unless `message_first` says otherwise: no page documents the order.
- One mailbox has four requests at once; what is beyond is 429 with Retry-After.
"""

import asyncio
import base64
import binascii
import json
import uuid
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, getaddresses
from typing import Any

from aiohttp import web

from smtpcheck.sandbox.graph import AUDIENCES, refusal
from smtpcheck.sandbox.mail_store import AT_ONCE, Delivery, MailStore
from smtpcheck.sandbox.tokens import SigningKey

MOST_AT_ONCE = 4
_LARGEST = 4 * 1024 * 1024
_SEND = "Mail.Send"


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that was taken."""

    mailbox: str
    recipients: tuple[str, ...]
    content: bytes
    is_saved: bool
    """Whether a copy goes to Sent Items."""


@dataclass(slots=True)
class SendingMailbox:
    """What is special about one mailbox."""

    excluded: bool = False
    """Whether the application's scope (RBAC, or an access policy) leaves it out."""
    missing: bool = False
    """Whether it is not in the cloud, or not there at all."""
    throttled: int = 0
    """How many of the next requests are answered with 429."""
    send_as: frozenset[str] = frozenset()
    """Further addresses that it may send as."""
    delivery: Delivery = AT_ONCE


@dataclass(slots=True)
class GraphSend:
    """Sending by Graph.

    Attributes:
        mailboxes: what is special, by address in small letters.
        message_first: whether the message is examined before the right to send.
        takes_anything: whether whatever comes is answered with 202, as by a gateway that lies.
        retry_after: how many seconds a request that is throttled must wait.
        delay: how many seconds an answer takes.
        asked: how often each mailbox was named in a request so far.
        most_at_once: how many requests of each mailbox were there at once so far.
        sent: the last messages that were taken.
    """

    store: MailStore
    key: SigningKey
    mailboxes: dict[str, SendingMailbox] = field(default_factory=dict)
    message_first: bool = False
    takes_anything: bool = False
    retry_after: int = 30
    delay: float = 0.0
    asked: Counter[str] = field(default_factory=Counter)
    most_at_once: Counter[str] = field(default_factory=Counter)
    sent: deque[Sent] = field(default_factory=lambda: deque(maxlen=1000))
    _under_way: Counter[str] = field(default_factory=Counter)

    def serve(self, app: web.Application) -> None:
        """Add its addresses to an application."""
        app.router.add_post("/v1.0/users/{mailbox}/sendMail", self._send)
        app.router.add_post("/v1.0/me/sendMail", self._send)

    def mailbox(self, address: str) -> SendingMailbox:
        """Return what is special about a mailbox, to be changed."""
        return self.mailboxes.setdefault(address.casefold(), SendingMailbox())

    async def _send(self, request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        claims = self.key.verify(token, AUDIENCES)
        if claims is None:
            message = "Access token validation failure. Invalid audience."
            return refusal(request, 401, "InvalidAuthenticationToken", message)
        user = str(claims.get("upn", ""))
        if "mailbox" not in request.match_info and not user:
            message = "/me request is only valid with delegated authentication flow."
            return refusal(request, 400, "BadRequest", message)
        address = request.match_info.get("mailbox", user).casefold()
        self.asked[address] += 1
        self._under_way[address] += 1
        self.most_at_once[address] = max(self.most_at_once[address], self._under_way[address])
        try:
            await asyncio.sleep(self.delay)
            return await self._answer(request, claims, address)
        finally:
            self._under_way[address] -= 1

    async def _answer(self, request: web.Request, claims: Mapping[str, Any], address: str) -> web.Response:
        mailbox = self.mailboxes.get(address, SendingMailbox())
        if self._under_way[address] > MOST_AT_ONCE or mailbox.throttled > 0:
            mailbox.throttled = max(mailbox.throttled - 1, 0)
            message = "Application is over its MailboxConcurrency limit."
            answer = refusal(request, 429, "ApplicationThrottled", message)
            answer.headers["Retry-After"] = str(self.retry_after)
            return answer
        refused = _without_right(request, claims, address, mailbox)
        if refused is not None and not self.message_first:
            return refused
        read = await _read(request)
        if self.takes_anything:
            return web.Response(status=202)
        if isinstance(read, web.Response):
            return read
        return refused or self._take(request, address, mailbox, read)

    def _take(self, request: web.Request, address: str, mailbox: SendingMailbox, read: "_Read") -> web.Response:
        if not read.recipients:
            return refusal(request, 400, "ErrorInvalidRecipients", "At least one recipient isn't valid.")
        sender = read.sender.casefold()
        if sender and sender not in {address, *(each.casefold() for each in mailbox.send_as)}:
            message = (
                "The user account which was used to submit this request does not have the right to send mail on behalf "
                "of the specified sending account., Cannot submit message."
            )
            return refusal(request, 403, "ErrorSendAsDenied", message)
        self.sent.append(Sent(address, read.recipients, read.content, read.is_saved))
        delivery = mailbox.delivery if read.is_saved else replace(mailbox.delivery, keeps_sent=False)
        self.store.send(address, read.recipients, read.content, delivery)
        return web.Response(status=202, headers={"request-id": str(uuid.uuid4())})


@dataclass(frozen=True, slots=True)
class _Read:
    """A message as the request has it."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    is_saved: bool


def _without_right(
    request: web.Request, claims: Mapping[str, Any], address: str, mailbox: SendingMailbox
) -> web.Response | None:
    """Return the refusal of a token that may not send from the mailbox, None for one that may."""
    roles, scopes = claims.get("roles"), str(claims.get("scp", "")).split()
    as_application = isinstance(roles, list) and _SEND in roles
    as_user = _SEND in scopes and str(claims.get("upn", "")).casefold() == address
    if not (as_application or as_user) or mailbox.excluded:
        return refusal(request, 403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
    if mailbox.missing:
        message = "The mailbox is either inactive, soft-deleted, or is hosted on-premise."
        return refusal(request, 404, "MailboxNotEnabledForRESTAPI", message)
    return None


async def _read(request: web.Request) -> _Read | web.Response:
    body = await request.content.read(_LARGEST + 1)
    if len(body) > _LARGEST:
        return refusal(request, 413, "RequestEntityTooLarge", "Maximum request length exceeded.")
    if request.content_type == "text/plain":
        try:
            content = base64.b64decode(body, validate=True)
        except binascii.Error:
            code = "ErrorMimeContentInvalidBase64String"
            return refusal(request, 400, code, "Invalid base64 string for MIME content.")
        message = message_from_bytes(content)
        recipients = tuple(address for _, address in getaddresses(message.get_all("To", [])))
        sender = next((address for _, address in getaddresses([str(message["From"] or "")])), "")
        return _Read(sender, recipients, content, is_saved=True)
    try:
        return _from_json(json.loads(body))
    except (ValueError, KeyError, TypeError):
        return refusal(request, 400, "BadRequest", "Unable to read JSON request payload.")


def _from_json(value: dict[str, Any]) -> _Read:
    message, mime = value["message"], EmailMessage(SMTP)
    recipients = tuple(str(each["emailAddress"]["address"]) for each in message["toRecipients"])
    sender = str(message.get("from", {}).get("emailAddress", {}).get("address", ""))
    mime["From"], mime["To"], mime["Subject"] = sender, ", ".join(recipients), message["subject"]
    mime["Date"] = formatdate()
    for header in message.get("internetMessageHeaders", []):
        if not str(header["name"]).lower().startswith("x-"):
            raise ValueError
        mime[header["name"]] = header["value"]
    mime.set_content(str(message["body"]["content"]))
    return _Read(sender, recipients, mime.as_bytes(), bool(value.get("saveToSentItems", True)))
