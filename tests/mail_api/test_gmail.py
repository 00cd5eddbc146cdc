"""What is requested of the Gmail API, and what its answers mean."""

import base64
import json

import pytest

from smtpcheck.http_client.exchange import Response
from smtpcheck.mail_api.api import Outgoing, Ruling
from smtpcheck.mail_api.gmail import Gmail
from smtpcheck.model.check import Check, Depth, Via
from tests.worlds.samples import NOW, check

GMAIL = Gmail()
BASE = "https://gmail.googleapis.com"
MAIL = "https://mail.google.com/"
SEND = "https://www.googleapis.com/auth/gmail.send"


def by_gmail(scope: str = MAIL) -> Check:
    return check("anna", via=Via("gmail", BASE, scope=scope), depth=Depth.SEND, recipient="probe@example.org")


def response(status: int, body: object, method: str = "POST") -> Response:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(method, f"{BASE}/x", status, {}, text, frozenset({"ya29.s3cret"}), NOW)


def error(reason: str, status: str = "PERMISSION_DENIED", message: str = "No.") -> dict[str, object]:
    return {"error": {"code": 403, "message": message, "errors": [{"reason": reason}], "status": status}}


def test_who_may_read_the_profile_reads_it() -> None:
    (request,) = GMAIL.proof(by_gmail())
    assert (request.method, request.url) == ("GET", f"{BASE}/gmail/v1/users/anna@example.org/profile")
    assert not request.body


@pytest.mark.parametrize("scope", [SEND, "https://www.googleapis.com/auth/gmail.readonly", ""])
def test_who_may_only_send_sends_a_message_without_content(scope: str) -> None:
    (request,) = GMAIL.proof(by_gmail(scope))
    assert (request.method, request.url) == ("POST", f"{BASE}/gmail/v1/users/anna@example.org/messages/send")
    assert json.loads(request.body) == {"raw": ""}


def test_a_message_goes_as_it_is() -> None:
    content = "From: a\r\n\r\n??>>ä".encode()
    request = GMAIL.message(by_gmail(), Outgoing(content, "key", is_searched_for=True))
    assert base64.urlsafe_b64decode(json.loads(request.body)["raw"]) == content


@pytest.mark.parametrize(
    ("method", "status", "body", "ruling"),
    [
        ("GET", 200, {"emailAddress": "anna@example.org"}, Ruling.ACCEPTED),
        ("GET", 200, b"<html>", Ruling.REFUSED),
        ("GET", 200, error("forbidden"), Ruling.REFUSED),
        ("GET", 400, error("invalidArgument"), Ruling.REFUSED),
        ("GET", 400, error("failedPrecondition"), Ruling.REFUSED),
        ("POST", 400, error("invalidArgument"), Ruling.ACCEPTED),
        ("POST", 400, error("failedPrecondition"), Ruling.REFUSED),
        ("POST", 403, error("insufficientPermissions"), Ruling.REFUSED),
        ("POST", 200, {"id": "1"}, Ruling.SENT),
        ("POST", 202, b"", Ruling.SENT),
        ("POST", 400, {"error": "invalid"}, Ruling.REFUSED),
        ("POST", 400, {"error": {"errors": "x", "details": [1]}}, Ruling.REFUSED),
    ],
)
def test_what_proves_the_right_to_send(method: str, status: int, body: object, ruling: Ruling) -> None:
    assert GMAIL.read_proof(by_gmail(), response(status, body, method)).ruling is ruling


def test_a_message_is_taken_with_an_id() -> None:
    taken = GMAIL.read_message(by_gmail(), response(200, {"id": "18c5", "threadId": "18c5"}))
    assert (taken.ruling, taken.answer.message_id) == (Ruling.ACCEPTED, "18c5")
    assert GMAIL.read_message(by_gmail(), response(200, b"{}")).ruling is Ruling.REFUSED


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (error("insufficientPermissions"), "insufficientPermissions"),
        ({"error": {"details": [{"reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT"}]}}, "ACCESS_TOKEN_SCOPE_INSUFFICIENT"),
        ({"error": {"status": "UNAUTHENTICATED", "message": "x ya29.s3cret"}}, "UNAUTHENTICATED"),
    ],
)
def test_the_most_telling_word_is_the_error(body: object, code: str) -> None:
    answer = GMAIL.read_message(by_gmail(), response(403, body)).answer
    assert answer.error == code
    assert "s3cret" not in str(answer)
