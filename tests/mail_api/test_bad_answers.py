"""What answers in the place of a mail API: pages, redirects, bombs and nothing, over real sockets, by every service."""

import gzip
import json
from pathlib import Path
from time import monotonic

import pytest
from msgspec import structs

from smtpcheck.diagnosis.catalogue import load
from smtpcheck.diagnosis.explain import explain
from smtpcheck.diagnosis.observation import observe
from smtpcheck.mail_api.api import Outgoing
from smtpcheck.mail_api.apis import NAMES, api_named
from smtpcheck.mail_api.call import Call, Task, call
from smtpcheck.mail_api.connections import Connections
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Depth, Security, Server, Via
from smtpcheck.network.network import Network
from smtpcheck.sandbox.certificates import Authority, Certificate
from smtpcheck.secrets.secret import Secret
from tests.worlds.mail_apis import MESSAGE
from tests.worlds.raw_server import RawServer, serving
from tests.worlds.samples import check, report

KEY = "key-that-no-answer-may-show"
SERVICES = tuple(name for name in NAMES if name not in {"graph", "gmail", "http"})
CATALOGUE = load()
PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>proxy</body></html>"


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    head = "\r\n".join((f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers))
    return head.encode() + b"\r\n\r\n" + body


async def made(api: str, octets: bytes, folder: Path, depth: Depth = Depth.AUTH) -> tuple[Call, RawServer, Cause]:
    """Return what a run sees of the octets, what was asked, and the cause that it comes to."""
    authority = Authority()
    (folder / "ca.pem").write_bytes(authority.pem)
    with serving([[octets]], context=authority.server_context(Certificate.VALID)) as raw:
        ca_file = str(folder / "ca.pem")
        server = Server("localhost", raw.port, Security.IMPLICIT, "localhost", "", ca_file=ca_file)
        via = Via(api, f"https://localhost:{raw.port}", region="eu-central-1", template="E_1")
        asked = check(server=server, depth=depth, via=via, timeout=5.0, recipient="probe@example.org")
        network, connections = Network.for_servers([server]), Connections()
        outgoing = Outgoing(MESSAGE, "abc", is_searched_for=True) if depth is Depth.SEND else None
        secret = f"eyJ.{KEY}-half.x" if api == "acs" else f"{KEY}\n{KEY}-half"
        task = Task(api_named(api), asked, Secret(secret), outgoing)
        try:
            seen = await call(task, origin=monotonic(), network=network, connections=connections)
        finally:
            connections.close()
            network.close()
    whole = structs.replace(report(), steps=seen.steps)
    cause = explain(observe(asked, whole, None, now=0.0), CATALOGUE)[0].cause
    return seen, raw, cause


@pytest.mark.parametrize("api", SERVICES)
@pytest.mark.parametrize("depth", [Depth.AUTH, Depth.SEND])
async def test_a_redirect_is_never_followed_and_its_cause_is_named(api: str, depth: Depth, tmp_path: Path) -> None:
    if depth is Depth.AUTH and not api_named(api).proves:
        depth = Depth.SEND
    octets = answer("307 Temporary Redirect", b"", "Location: https://elsewhere.example/")
    seen, raw, cause = await made(api, octets, tmp_path, depth)
    assert seen.steps[-1].fault is not None
    assert cause is Cause.API_ANSWER_INVALID
    assert len(raw.requests) == 1


@pytest.mark.parametrize("api", SERVICES)
@pytest.mark.parametrize(
    "octets",
    [
        answer("200 OK", PAGE, "Content-Type: text/html"),
        answer("403 Forbidden", PAGE, "Content-Type: text/html"),
        answer("404 Not Found", PAGE),
        answer("200 OK", gzip.compress(bytes(50_000_000)), "Content-Encoding: gzip"),
        answer("200 OK", b'{"a":' * 100_000),
        answer("401 Unauthorized", json.dumps({"message": KEY, "errors": [{"message": f"{KEY}-half"}]}).encode()),
        answer("500 Internal Server Error", b"\xff\x00\x1b[31m"),
    ],
    ids=["page", "page-403", "page-404", "bomb", "deep", "echo", "garbage"],
)
async def test_what_is_not_the_apis_answer_is_a_failure_that_shows_no_key(
    api: str, octets: bytes, tmp_path: Path
) -> None:
    seen, _, cause = await made(api, octets, tmp_path, Depth.AUTH if api_named(api).proves else Depth.SEND)
    assert seen.steps[-1].fault is not None
    assert api == "acs" or f"{KEY}-half" not in repr(seen)
    assert api in {"ses", "acs"} or KEY not in repr(seen)  # the id of AWS's key, and a part of a token
    assert "\x1b" not in str(seen.steps[-1].exchanges[-1].answer)
    assert cause is not Cause.UNKNOWN
