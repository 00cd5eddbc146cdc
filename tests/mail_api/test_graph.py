"""What is requested of Microsoft Graph, and what its answers mean."""

import base64
import binascii
import json
from collections.abc import Mapping

import pytest

from smtpcheck.http_client.connection import HttpRequest
from smtpcheck.http_client.exchange import Response
from smtpcheck.mail.message import own_message
from smtpcheck.mail_api.api import Outgoing, Ruling
from smtpcheck.mail_api.graph import Graph
from smtpcheck.model.check import Check, Depth, Via
from tests.worlds.samples import NOW, check

GRAPH = Graph()
BASE = "https://graph.microsoft.com"


def by_graph(**changes: object) -> Check:
    via = Via("graph", BASE, as_user=bool(changes.pop("as_user", False)))
    return check("invoices", via=via, depth=Depth.SEND, recipient="probe@example.org", **changes)


def response(status: int, body: object = b"", **headers: str) -> Response:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response("POST", f"{BASE}/x", status, headers, text, frozenset({"s3cret-token"}), NOW)


def error(code: object, message: object = "No.") -> Mapping[str, object]:
    return {"error": {"code": code, "message": message}}


def content(asked: Check) -> bytes:
    from datetime import UTC, datetime

    return own_message(asked, now=datetime.fromtimestamp(NOW, UTC), unique="abc123", agent="smtpcheck/1")


def test_the_proof_is_a_request_that_nothing_can_be_made_of() -> None:
    (request,) = GRAPH.proof(by_graph())
    assert request.url == f"{BASE}/v1.0/users/invoices@example.org/sendMail"
    assert request.headers["Content-Type"] == "text/plain"
    with pytest.raises(binascii.Error):
        base64.b64decode(request.body, validate=True)
    assert base64.b64decode(request.body, validate=False) == b""


@pytest.mark.parametrize(("mailbox", "path"), [("a/b@x.org", "a%2Fb@x.org"), ("o'neil?@x.org", "o%27neil%3F@x.org")])
def test_an_address_cannot_leave_its_place_in_the_path(mailbox: str, path: str) -> None:
    (request,) = GRAPH.proof(by_graph(mailbox=mailbox))
    assert request.url == f"{BASE}/v1.0/users/{path}/sendMail"


def test_a_personal_account_is_me() -> None:
    (request,) = GRAPH.proof(by_graph(as_user=True))
    assert request.url == f"{BASE}/v1.0/me/sendMail"


def test_a_message_that_nobody_looks_for_leaves_no_copy() -> None:
    asked = by_graph()
    request: HttpRequest = GRAPH.message(asked, Outgoing(content(asked), "abc123", is_searched_for=False))
    value = json.loads(request.body)
    assert value["saveToSentItems"] is False
    message = value["message"]
    assert message["toRecipients"] == [{"emailAddress": {"address": "probe@example.org"}}]
    assert message["from"] == {"emailAddress": {"address": "invoices@example.org"}}
    assert {"name": "X-Smtpcheck-Id", "value": "abc123"} in message["internetMessageHeaders"]
    assert all(header["name"].startswith("X-") for header in message["internetMessageHeaders"])
    assert "abc123" in message["body"]["content"]


def test_a_message_that_is_looked_for_goes_as_it_is() -> None:
    asked = by_graph()
    request = GRAPH.message(asked, Outgoing(content(asked), "abc123", is_searched_for=True))
    assert base64.b64decode(request.body, validate=True) == content(asked)


@pytest.mark.parametrize(
    ("status", "body", "ruling"),
    [
        (400, error("ErrorMimeContentInvalidBase64String"), Ruling.ACCEPTED),
        (400, error("ErrorInvalidRecipients"), Ruling.REFUSED),
        (403, error("ErrorMimeContentInvalidBase64String"), Ruling.REFUSED),
        (403, error("ErrorAccessDenied"), Ruling.REFUSED),
        (202, b"", Ruling.SENT),
        (200, b"<html>", Ruling.SENT),
        (302, b"", Ruling.REFUSED),
        (500, b"<html>Bad</html>", Ruling.REFUSED),
        (400, b"[]", Ruling.REFUSED),
        (400, {"error": "text"}, Ruling.REFUSED),
        (400, {"error": {"code": ["list"], "message": {}}}, Ruling.REFUSED),
    ],
)
def test_only_the_one_answer_proves_the_right_to_send(status: int, body: object, ruling: Ruling) -> None:
    assert GRAPH.read_proof(by_graph(), response(status, body)).ruling is ruling


@pytest.mark.parametrize(("status", "ruling"), [(202, Ruling.ACCEPTED), (200, Ruling.REFUSED), (504, Ruling.REFUSED)])
def test_only_202_takes_a_message(status: int, ruling: Ruling) -> None:
    assert GRAPH.read_message(by_graph(), response(status)).ruling is ruling


def test_an_answer_is_kept_with_what_finds_it_again_and_without_the_token() -> None:
    headers = {"request-id": "abcd-1234", "retry-after": "17"}
    said = response(429, error("ApplicationThrottled", "Slow\ndown s3cret-token \x1b[31m"), **headers)
    answer = GRAPH.read_message(by_graph(), said).answer
    assert (answer.status, answer.error, answer.request_id) == (429, "ApplicationThrottled", "abcd-1234")
    assert answer.retry_after == 17
    assert "s3cret" not in answer.text
    assert answer.text.isprintable()


@pytest.mark.parametrize(
    ("status", "code", "stale"),
    [
        (403, "ErrorAccessDenied", True),
        (401, "InvalidAuthenticationToken", True),
        (403, "ErrorSendAsDenied", False),
        (429, "ApplicationThrottled", False),
    ],
)
def test_a_fresh_token_is_worth_a_request_only_where_it_may_help(status: int, code: str, stale: bool) -> None:
    answer = GRAPH.read_proof(by_graph(), response(status, error(code))).answer
    assert GRAPH.may_be_stale(answer) is stale
