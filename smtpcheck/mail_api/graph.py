"""Microsoft Graph: `sendMail` of a mailbox (https://learn.microsoft.com/graph/api/user-sendmail).

Rules of this file:
- The proof is a request whose message is not base64: Graph answers 400 `ErrorMimeContentInvalidBase64String`, and
  without the right to send 403. That the right is examined first is likely and not documented.
- A message that a loopback looks for goes as MIME, the only form that has a Message-ID of our own; Graph then keeps a
  copy in Sent Items. Any other goes as JSON, which can ask for none.
- Graph answers 202 to what it takes, with no id of the message, and knows no idempotency.
"""

import base64
import json
from collections.abc import Mapping
from email import message_from_bytes
from email.policy import SMTPUTF8
from typing import ClassVar
from urllib.parse import quote

from smtpcheck.http_client.connection import HttpRequest
from smtpcheck.http_client.exchange import Response
from smtpcheck.mail_api.api import NOTHING, Facts, MailApi, Outgoing, Reading, Ruling, answer_of
from smtpcheck.model.check import Check
from smtpcheck.model.report import ApiAnswer

PROVEN = "ErrorMimeContentInvalidBase64String"
_NO_BASE64 = b"!"
"""The least that is not base64 (RFC 4648): nothing can be made of it, so nothing can be sent."""
_REQUEST_ID = "request-id"
_STALE = frozenset({"ErrorAccessDenied", "NoPermissionsInAccessToken", "InvalidAuthenticationToken"})


class Graph(MailApi):
    """Mail by Microsoft Graph."""

    name = "graph"
    base = "https://graph.microsoft.com"
    credential_types = frozenset({"microsoft", "microsoft-user", "microsoft-managed-identity", "oauth2", "token"})
    permissions = ("Mail.Send",)
    kept_headers = (_REQUEST_ID,)
    accepted: ClassVar[int] = 202

    def proof(self, check: Check) -> tuple[HttpRequest, ...]:
        """Return a request to send what is no message."""
        return (_send_mail(check, "text/plain", _NO_BASE64),)

    def message(self, check: Check, outgoing: Outgoing) -> HttpRequest:
        """Return the request that sends the message."""
        if outgoing.is_searched_for:
            return _send_mail(check, "text/plain", base64.b64encode(outgoing.content))
        return _send_mail(check, "application/json", json.dumps(_as_json(check, outgoing.content)).encode())

    def read_proof(self, check: Check, response: Response, known: Facts = NOTHING) -> Reading:  # noqa: ARG002
        """Return whether Graph came as far as the message that is none."""
        answer = _answer(response)
        if response.status // 100 == 2:
            return Reading(Ruling.SENT, answer)
        proven = response.status == 400 and answer.error == PROVEN
        return Reading(Ruling.ACCEPTED if proven else Ruling.REFUSED, answer)

    def read_message(self, check: Check, response: Response) -> Reading:  # noqa: ARG002
        """Return whether Graph took the message."""
        taken = response.status == self.accepted
        return Reading(Ruling.ACCEPTED if taken else Ruling.REFUSED, _answer(response))

    def may_be_stale(self, answer: ApiAnswer) -> bool:
        """Return whether the token may be older than the consent, or was revoked."""
        return answer.status in {401, 403} and answer.error in _STALE


def _send_mail(check: Check, content_type: str, body: bytes) -> HttpRequest:
    via = check.via
    assert via is not None  # noqa: S101 - only a check by an API comes here
    user = "me" if via.as_user else f"users/{quote(check.mailbox, safe='@')}"
    headers = {"Content-Type": content_type, "Accept": "application/json"}
    return HttpRequest("POST", f"{via.base}/v1.0/{user}/sendMail", headers, body)


def _answer(response: Response) -> ApiAnswer:
    error = (response.json or {}).get("error")
    inner: Mapping[str, object] = error if isinstance(error, Mapping) else {"code": error}
    return answer_of(response, error=inner.get("code"), text=inner.get("message"), request_id=_REQUEST_ID)


def _as_json(check: Check, content: bytes) -> dict[str, object]:
    """Return the message as Graph describes one, with the headers that Graph takes: those that begin with x-."""
    message = message_from_bytes(content, policy=SMTPUTF8)
    body = message.get_body(("plain",))
    headers = [
        {"name": name, "value": " ".join(str(value).split())}
        for name, value in message.items()
        if name.lower().startswith("x-")
    ][:5]
    return {
        "message": {
            "subject": str(message["Subject"]),
            "body": {"contentType": "text", "content": body.get_content() if body is not None else ""},
            "from": {"emailAddress": {"address": check.sender}},
            "toRecipients": [{"emailAddress": {"address": check.recipient}}],
            "internetMessageHeaders": headers,
        },
        "saveToSentItems": False,
    }
