"""What is special to Graph: pages, throttling, refusals, what shows itself late, and answers that are none."""

import asyncio
import contextlib
import gzip
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.loopback.finder import FinderStep, FolderKind, Search, SearchRequest, Target
from smtpcheck.loopback.graph.client import LIMITS, LONGEST_WAIT
from smtpcheck.loopback.graph.finder import GraphFinder, read_message
from smtpcheck.sandbox.graph_mail import GraphMail
from smtpcheck.sandbox.mail_store import Use
from smtpcheck.secrets.secret import Secret
from tests.worlds.finders import PROBE, Site, by_graph, running

TOKEN = Secret("eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ0aGUgdGVzdHMifQ.c2lnbmF0dXJlLW9mLXRoZS10ZXN0cw")
MARK = "sc1abcdefghijklmnop"
REQUEST = SearchRequest((Target((f"<{MARK}@x>",), MARK, 0.0),), {MARK}.__contains__)
DAY = 86400.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running(tmp_path) as (world, finders):
        yield Site(world, finders, by_graph(world))


@pytest.fixture
def graph(site: Site) -> GraphMail:
    return site.world.issuer.graph_mail


async def test_pages_are_followed(site: Site, graph: GraphMail) -> None:
    graph.page_size = 2
    target = [site.send() for _ in range(7)]
    found = await site.search(*target)
    assert (found.error, len(found.matches), site.lying()) == (None, 7, [])


async def test_a_short_wait_at_graphs_word_is_kept(site: Site, graph: GraphMail) -> None:
    graph.throttled, graph.retry_after = 1, 0
    found = await site.search(site.send())
    assert (found.error, len(found.matches)) == (None, 1)


async def test_a_long_wait_is_told_and_not_waited_for(site: Site, graph: GraphMail) -> None:
    graph.throttled, graph.retry_after = 1, int(LONGEST_WAIT) + 60
    found = await site.search(site.send())
    assert found.error is not None
    assert (found.error.step, found.error.code, found.error.retry_after) == (
        FinderStep.SEARCH,
        "ApplicationThrottled",
        LONGEST_WAIT + 60,
    )
    assert graph.requests == 1


async def test_a_mailbox_that_a_policy_leaves_out_is_told_in_graphs_words(site: Site, graph: GraphMail) -> None:
    graph.denied.add(PROBE)
    found = await site.search(site.send())
    assert found.error is not None
    assert (found.error.step, found.error.code) == (FinderStep.LOGIN, "ErrorAccessDenied")
    assert found.error.detail.startswith("Access is denied. Check credentials and try again.")


async def test_a_token_for_something_else_is_refused(site: Site) -> None:
    found = await site.search(site.send(), find=replace(site.find, scope=""))
    assert found.error is not None
    assert (found.error.step, found.error.code) == (FinderStep.LOGIN, "InvalidAuthenticationToken")


async def test_a_message_that_shows_itself_late_is_not_seen_before(site: Site, graph: GraphMail) -> None:
    graph.lag = 3600.0
    target = site.send()
    assert (await site.search(target)).matches == ()
    graph.lag = 0.0
    assert len((await site.search(target)).matches) == 1


async def test_where_nothing_is_deleted_for_good_a_message_goes_to_the_trash_and_is_swept_from_there(
    site: Site, graph: GraphMail
) -> None:
    """As in the national clouds."""
    graph.permanent = False
    target = site.put_ours(Use.INBOX, age=2 * DAY)
    found = await site.search(target)
    assert [(one.kind, one.deleted) for one in found.matches] == [(FolderKind.INBOX, True)]
    assert site.lying() == [("deleteditems", 1)]
    purged = await site.search(purge_before=time.time() - DAY)
    assert (purged.error, purged.purged, site.lying()) == (None, 1, [])


async def test_a_filter_that_is_too_complex_is_asked_in_parts(site: Site, graph: GraphMail) -> None:
    graph.most_clauses = 2
    target = [site.send() for _ in range(9)]
    found = await site.search(*target)
    assert (found.error, len(found.matches)) == (None, 9)


async def test_an_application_that_may_only_read_finds_and_says_that_it_cannot_delete(site: Site) -> None:
    for app in site.world.issuer.tenants[0].apps.values():
        app.graph_roles = ("Mail.Read",)
    found = await site.search(site.send())
    assert [one.deleted for one in found.matches] == [False]
    assert found.error is not None
    assert (found.error.step, found.error.code) == (FinderStep.DELETE, "ErrorAccessDenied")


async def test_another_id_that_the_server_gave_is_looked_for_too(site: Site) -> None:
    target = site.send()
    renamed = f"<renamed-{target.correlation_id}@eurprd05.prod.outlook.com>"
    stored = site.box.folders[Use.INBOX].messages[0]
    stored.content = stored.content.replace(target.message_ids[0].encode(), renamed.encode())
    found = await site.search(replace(target, message_ids=(*target.message_ids, renamed)))
    assert [one.correlation_id for one in found.matches] == [target.correlation_id]


# -- answers that are none --------------------------------------------------------------------------------------------


@asynccontextmanager
async def answering(
    handler: Handler,
    *,
    request: SearchRequest = REQUEST,
    timeout: float = 5,  # noqa: ASYNC109
) -> AsyncIterator[Search]:
    """Search by a Graph that answers everything by the handler."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    finder = GraphFinder(f"https://localhost:{runner.addresses[0][1]}", PROBE, context=trust, proxy=None)
    try:
        yield await finder.search(request, TOKEN, timeout=timeout)
    finally:
        await runner.cleanup()


def _says(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(body=body, status=status, headers=headers)

    return handler


async def _hangs(_request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


async def _leads_elsewhere(request: web.Request) -> web.Response:
    return web.json_response({"value": [], "@odata.nextLink": f"https://graph.example.org{request.path}"})


async def _never_ends(request: web.Request) -> web.Response:
    link = f"https://{request.host}{request.path}?$skip={time.monotonic_ns()}"
    return web.json_response({"value": [], "@odata.nextLink": link})


async def _cuts(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"value": [')
    assert request.transport
    request.transport.abort()
    return response


async def _knows_the_inbox_alone(request: web.Request) -> web.Response:
    if request.method == "POST":
        return web.Response(status=204)
    if request.path.endswith("/mailFolders/folder"):
        return web.json_response({"displayName": "Posteingang"})
    if not request.path.endswith("/inbox/messages"):
        return web.json_response({"error": {"code": "ErrorInternalServerError", "message": "later"}}, status=500)
    headers = [{"name": "X-Smtpcheck-Id", "value": MARK}]
    letter = {"id": "a/b", "parentFolderId": "folder", "internetMessageHeaders": headers}
    return web.json_response({"value": [letter]})


async def test_what_was_seen_before_an_error_counts() -> None:
    async with answering(_knows_the_inbox_alone) as found:
        assert [(one.correlation_id, one.folder, one.deleted) for one in found.matches] == [(MARK, "Posteingang", True)]
        assert found.error is not None and found.error.code == "ErrorInternalServerError"


async def test_what_a_filter_lets_through_is_swept_only_if_it_is_old_and_ours() -> None:
    deleted: list[str] = []

    async def knows_no_filter(request: web.Request) -> web.Response:
        if request.method != "GET":
            deleted.append(request.path)
            return web.Response(status=204)
        letters = [("old", MARK, "2026-11-01"), ("young", MARK, "2026-11-25"), ("foreign", "sc1x", "2026-11-01")]
        value = [
            {
                "id": name,
                "parentFolderId": "folder",
                "receivedDateTime": f"{day}T10:00:00Z",
                "internetMessageHeaders": [{"name": "X-Smtpcheck-Id", "value": mark}],
            }
            for name, mark, day in letters
        ]
        return web.json_response({"value": value})

    before = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
    async with answering(knows_no_filter, request=replace(REQUEST, targets=(), purge_before=before)) as found:
        assert (found.error, found.purged) == (None, 1)
    assert [path.split("/")[-2] for path in deleted] == ["old"]


@pytest.mark.parametrize(
    ("handler", "step", "words"),
    [
        (_says(b"<html>"), FinderStep.SEARCH, "not a JSON object"),
        (_says(b"[]"), FinderStep.SEARCH, "not a JSON object"),
        (_says(b"[" * 100_000), FinderStep.SEARCH, "not a JSON object"),
        (_says(b"x" * (LIMITS.octets + 1)), FinderStep.SEARCH, "the answer has more than"),
        (_says(b"", 302, {"Location": "https://graph.example.org/"}), FinderStep.SEARCH, "HTTP 302"),
        (_says(b"<html>", 502), FinderStep.SEARCH, "HTTP 502"),
        (_says(b"{}", 503, {"Retry-After": "Wed, 25 Nov 2026 10:00:00 GMT"}), FinderStep.SEARCH, "HTTP 503"),
        (_says(b'{"error": {"code": 7, "message": ["x"]}}', 500), FinderStep.SEARCH, "['x']"),
        (_leads_elsewhere, FinderStep.SEARCH, "at another address"),
        (_says(b'{"value": [], "@odata.nextLink": "https://[::1"}'), FinderStep.SEARCH, "at another address"),
        (_says(b'{"value": [], "@odata.nextLink": 7}'), FinderStep.SEARCH, "at another address"),
        (_cuts, FinderStep.SEARCH, ""),
    ],
)
async def test_an_answer_that_is_none_is_told(handler: Handler, step: FinderStep, words: str) -> None:
    async with answering(handler) as found:
        assert found.error is not None and found.error.step is step
        assert words in found.error.detail
        assert found.matches == ()


BOMB = gzip.compress(bytes(20 * LIMITS.octets))


@pytest.mark.parametrize(
    "raw",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\xff\xfe: x\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 999 No\r\nRetry-After: -1e9\r\n\r\n",
        b"",
    ],
)
async def test_bytes_that_are_no_http_are_told(raw: bytes) -> None:
    authority = trustme.CA()
    context, trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(trust)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(raw)
            await writer.drain()
        writer.transport.abort()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        finder = GraphFinder(f"https://localhost:{port}", PROBE, context=trust, proxy=None)
        found = await finder.search(REQUEST, TOKEN, timeout=5)
    assert found.error is not None and found.matches == ()
    assert TOKEN.reveal() not in repr(found)


async def test_pages_without_end_are_left() -> None:
    async with answering(_never_ends) as found:
        assert (found.error, found.matches) == (None, ())


async def test_a_search_ends_in_its_time() -> None:
    async with answering(_hangs, timeout=0.3) as found:
        assert found.error is not None
        assert (found.error.step, found.error.detail) == (FinderStep.SEARCH, "not done within 0.3 s")


async def test_a_token_that_graph_repeats_is_not_told() -> None:
    message = {"error": {"code": "X", "message": f"bad token {TOKEN.reveal()}"}}
    async with answering(_says(json.dumps(message).encode(), 401)) as found:
        assert found.error is not None and "bad token" in found.error.detail
        assert "eyJ" not in repr(found)


async def test_a_certificate_that_is_not_trusted_gets_no_token(site: Site) -> None:
    assert site.find.server
    finder = GraphFinder(site.find.graph, PROBE, context=ssl.create_default_context(), proxy=None)
    found = await finder.search(REQUEST, TOKEN, timeout=5)
    assert found.error is not None and found.error.step is FinderStep.TLS
    assert "issuer" in found.error.detail or "self-signed" in found.error.detail


async def test_a_host_that_nobody_answers_at_is_told() -> None:
    finder = GraphFinder("https://127.0.0.1:1", PROBE, context=ssl.create_default_context(), proxy=None)
    found = await finder.search(REQUEST, TOKEN, timeout=5)
    assert found.error is not None and found.error.step is FinderStep.CONNECT


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
)
KEYS = ["id", "parentFolderId", "subject", "receivedDateTime", "internetMessageId", "internetMessageHeaders"]
HEADERS = st.lists(st.fixed_dictionaries({"name": JSON, "value": JSON}) | JSON, max_size=4)


@given(st.dictionaries(st.sampled_from(KEYS), JSON | HEADERS | st.just("2026-11-25T10:00:00Z")))
def test_whatever_graph_says_of_a_message_is_read_or_left(value: dict[str, object]) -> None:
    letter = read_message(value)
    assert (letter is None) == (
        not (isinstance(value.get("id"), str) and value["id"])
        or not (isinstance(value.get("parentFolderId"), str) and value["parentFolderId"])
    )
    if letter is not None:
        assert all("\n" not in part and "\r" not in part for field in letter.fields for part in field)
