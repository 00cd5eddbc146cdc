"""The Gmail API: `messages.send` (https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/send).

Rules of this file:
- A token for all of the mail, or for composing, reads the mailbox's profile: that proves scope, delegation and mailbox.
  One for sending alone may not, so the proof is then a message without content, which Gmail answers with 400. That the
  scope is examined before it is likely and not documented.
- A message goes as it is; Gmail keeps a copy in Sent, gives it an id of its own, and knows no idempotency.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from smtpcheck.http_client.connection import HttpRequest
from smtpcheck.http_client.exchange import Response
from smtpcheck.mail_api.api import NOTHING, Facts, MailApi, Outgoing, Reading, Ruling, answer_of
from smtpcheck.model.check import Check
from smtpcheck.model.report import ApiAnswer

_READS_PROFILE = frozenset(
    {
        "https://mail.google.com/",
        "https://www.googleapis.com/auth/gmail.modify",
        "https://www.googleapis.com/auth/gmail.compose",
    }
)
"""Scopes that send and also read the profile (https://developers.google.com/workspace/gmail/api/auth/scopes)."""
_EMPTY = "invalidArgument"
"""The error of a message without content."""


class Gmail(MailApi):
    """Mail by the Gmail API."""

    name = "gmail"
    base = "https://gmail.googleapis.com"
    credential_types = frozenset({"google-service-account", "google-user", "oauth2", "token"})
    permissions = ("https://www.googleapis.com/auth/gmail.send",)

    def proof(self, check: Check) -> tuple[HttpRequest, ...]:
        """Return a request for the profile, or of a message without content."""
        if _READS_PROFILE.isdisjoint(check.scope.split()):
            return (_request(check, "POST", "/messages/send", {"raw": ""}),)
        return (_request(check, "GET", "/profile"),)

    def message(self, check: Check, outgoing: Outgoing) -> HttpRequest:
        """Return the request that sends the message."""
        raw = base64.urlsafe_b64encode(outgoing.content).decode()
        return _request(check, "POST", "/messages/send", {"raw": raw})

    def read_proof(self, check: Check, response: Response, known: Facts = NOTHING) -> Reading:  # noqa: ARG002
        """Return whether the profile came, or Gmail came as far as the message without content."""
        answer = _answer(response)
        if response.method == "POST":
            if response.status // 100 == 2:
                return Reading(Ruling.SENT, answer)
            proven = response.status == 400 and answer.error == _EMPTY
        else:
            proven = response.status == 200 and "emailAddress" in (response.json or {})
        return Reading(Ruling.ACCEPTED if proven else Ruling.REFUSED, answer)

    def read_message(self, check: Check, response: Response) -> Reading:  # noqa: ARG002
        """Return whether Gmail took the message, with the id that it gave it."""
        taken = response.status == 200 and "id" in (response.json or {})
        return Reading(Ruling.ACCEPTED if taken else Ruling.REFUSED, _answer(response))

    def may_be_stale(self, answer: ApiAnswer) -> bool:
        """Return whether the token may have been revoked."""
        return answer.status == 401


def _request(check: Check, method: str, path: str, body: Mapping[str, str] | None = None) -> HttpRequest:
    via = check.via
    assert via is not None  # noqa: S101 - only a check by an API comes here
    url = f"{via.base}/gmail/v1/users/{quote(check.mailbox, safe='@')}{path}"
    headers = {"Accept": "application/json"}
    if body is None:
        return HttpRequest(method, url, headers)
    return HttpRequest(method, url, {**headers, "Content-Type": "application/json"}, json.dumps(body).encode())


def _answer(response: Response) -> ApiAnswer:
    value = response.json or {}
    error = value.get("error")
    if not isinstance(error, Mapping):
        said = "" if response.status // 100 == 2 else response.text
        return answer_of(response, error=error, text=said or "-", message_id=value.get("id"))
    reasons = [*_reasons(error.get("errors")), *_reasons(error.get("details"))]
    return answer_of(response, error=next(iter(reasons), error.get("status")), text=error.get("message"))


def _reasons(items: Any) -> Iterable[str]:
    for item in items if isinstance(items, list) else ():
        if isinstance(item, Mapping) and isinstance(item.get("reason"), str):
            yield item["reason"]
