"""Azure Communication Services Email, its REST API (https://learn.microsoft.com/rest/api/communication/email/).

Rules of this file:
- The proof asks for the state of an operation that does not exist: with a good credential that is not found. That the
  credential is looked at first is likely and not documented. Nothing can be sent by it.
- A message has an id of our own (`Operation-Id`), by which a repeated one is the same.
- A token of Entra goes as Bearer; a key of the resource, which is no JWT, signs the request (HMAC-SHA256).
- 202 means queued: what became of the message, a loopback sees.
"""

import base64
import binascii
import hashlib
import hmac
import json
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import SMTPUTF8
from email.utils import format_datetime
from urllib.parse import urlsplit

from smtpcheck.http_client.connection import HttpRequest
from smtpcheck.http_client.exchange import Response
from smtpcheck.mail_api.api import NOTHING, Facts, MailApi, Outgoing, Reading, Ruling, answer_of
from smtpcheck.model.check import Check
from smtpcheck.model.report import ApiAnswer
from smtpcheck.secrets.secret import Secret

VERSION = "2025-09-01"
_REQUEST_ID = "x-ms-request-id"
_NAMES = uuid.UUID("6f3c1c1e-3f5d-5f0e-9a51-6d0b7b3b8f10")
"""Of our own ids for operations (RFC 9562 5.5)."""


class Acs(MailApi):
    """Mail by Azure Communication Services."""

    name = "acs"
    credential_types = frozenset({"microsoft", "microsoft-managed-identity", "oauth2", "token", "api-key"})
    permissions = ("Communication and Email Service Owner",)
    repeats = True
    base_hint = "write the resource's endpoint, such as https://contoso.europe.communication.azure.com"

    def base_in(self, region: str) -> str | None:  # noqa: ARG002
        """Return None: each resource has an address of its own."""
        return None

    kept_headers = (_REQUEST_ID,)

    def proof(self, check: Check) -> tuple[HttpRequest, ...]:
        """Return the question for an operation that does not exist."""
        unknown = uuid.uuid5(_NAMES, f"proof of {check.name}")
        return (HttpRequest("GET", _url(check, f"/emails/operations/{unknown}"), {"Accept": "application/json"}),)

    def message(self, check: Check, outgoing: Outgoing) -> HttpRequest:
        """Return the request that sends the message."""
        message = message_from_bytes(outgoing.content, policy=SMTPUTF8)
        body = message.get_body(("plain",))
        content = {
            "senderAddress": check.sender,
            "recipients": {"to": [{"address": check.recipient}]},
            "content": {
                "subject": str(message["Subject"]),
                "plainText": body.get_content() if body is not None else "",
            },
            "headers": {
                name: " ".join(str(value).split()) for name, value in message.items() if name.lower().startswith("x-")
            },
            "userEngagementTrackingDisabled": True,
        }
        operation = str(uuid.uuid5(_NAMES, outgoing.key))
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Operation-Id": operation}
        return HttpRequest("POST", _url(check, "/emails:send"), headers, json.dumps(content).encode())

    def read_proof(self, check: Check, response: Response, known: Facts = NOTHING) -> Reading:  # noqa: ARG002
        """Return whether the operation was looked for."""
        answer = _answer(response)
        if response.status == 202:
            return Reading(Ruling.SENT, answer)
        looked = response.status == 404 and response.json is not None
        return Reading(Ruling.ACCEPTED if looked else Ruling.REFUSED, answer)

    def read_message(self, check: Check, response: Response) -> Reading:  # noqa: ARG002
        """Return whether the message was queued."""
        return Reading(Ruling.ACCEPTED if response.status == 202 else Ruling.REFUSED, _answer(response))

    def authorized(self, check: Check, request: HttpRequest, secret: Secret, *, now: float) -> HttpRequest:
        """Return the request with the token, or signed with the key."""
        key = _key_of(secret)
        return super().authorized(check, request, secret, now=now) if key is None else _signed(request, key, now)

    def may_be_stale(self, answer: ApiAnswer) -> bool:
        """Return whether the token may be older than the role."""
        return answer.status in {401, 403}


def _url(check: Check, path: str) -> str:
    assert check.via is not None  # noqa: S101 - only a check by an API comes here
    return f"{check.via.base}{path}?api-version={VERSION}"


def _key_of(secret: Secret) -> bytes | None:
    """Return the octets of a resource's key (base64); None for a token, whose parts are joined by dots."""
    text = secret.reveal()
    if "." in text:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _signed(request: HttpRequest, key: bytes, now: float) -> HttpRequest:
    """Return a request with its signature (https://learn.microsoft.com/azure/azure-app-configuration/rest-api-authentication-hmac)."""
    parts = urlsplit(request.url)
    date = format_datetime(datetime.fromtimestamp(now, UTC), usegmt=True)
    digest = base64.b64encode(hashlib.sha256(request.body).digest()).decode()
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    signed = f"{request.method}\n{target}\n{date};{parts.netloc};{digest}"
    signature = base64.b64encode(hmac.digest(key, signed.encode(), "sha256")).decode()
    names = "x-ms-date;host;x-ms-content-sha256"
    headers = {
        **request.headers,
        "x-ms-date": date,
        "x-ms-content-sha256": digest,
        "Authorization": f"HMAC-SHA256 SignedHeaders={names}&Signature={signature}",
    }
    return replace(request, headers=headers)


def _answer(response: Response) -> ApiAnswer:
    body = response.json or {}
    error = body.get("error")
    inner: Mapping[str, object] = error if isinstance(error, Mapping) else {}
    return answer_of(
        response,
        error=inner.get("code"),
        text=inner.get("message"),
        request_id=_REQUEST_ID,
        message_id=body.get("id") if response.status == 202 else "",
    )
