"""What Microsoft Graph says of the mail in a mailbox: folders, messages by filter and page by page, and their removal.

Rules of this file:
- It is at the issuer's own address, under `/v1.0/users/`, and takes that issuer's tokens for Graph alone.
- Answers and refusals are Graph's (https://learn.microsoft.com/graph/api/user-list-messages); of `$filter` it knows
  what a finder may ask: `eq`, `lt` and `ge` of a property, `contains` and `startswith`, joined by `and` or `or`.
- A message shows itself only after `lag` seconds, as it may in a farm of servers.
"""

import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parseaddr
from typing import NamedTuple
from urllib.parse import quote, urlencode

from aiohttp import web

from smtpcheck.sandbox.graph import AUDIENCES, refusal
from smtpcheck.sandbox.mail_store import Box, Folder, MailStore, Stored, Use
from smtpcheck.sandbox.tokens import SigningKey

_READS = frozenset({"Mail.Read", "Mail.ReadWrite"})
_WRITES = frozenset({"Mail.ReadWrite"})
_COMPARISON = re.compile(r"(\w+) (eq|lt|ge) (?:'((?:[^']|'')*)'|(\S+))")
_FUNCTION = re.compile(r"(contains|startswith)\((\w+),'((?:[^']|'')*)'\)")

Test = Callable[[Mapping[str, object]], bool]


class Asked(NamedTuple):
    """One request."""

    client: object
    """The other end of its connection: requests over the same one have the same."""
    method: str
    path: str
    """Without the query."""


class GraphMail:
    """Mail in the mailboxes of a store.

    Attributes:
        denied: addresses of mailboxes that no application may open, as when an access policy leaves them out.
        throttled: how many of the next requests are answered with 429, each of which asks to wait `retry_after` s.
        lag: seconds until a message that has arrived is shown.
        page_size: how many messages a page has at most, whatever `$top` says.
        most_clauses: how many comparisons a filter may have before it is refused as inefficient.
        permanent: whether `permanentDelete` exists; in the national clouds it does not.
        throttles_each: whether each request is answered so too, until it is made again.
        requests: how many requests there were so far.
        asked: the last of them.
    """

    def __init__(self, store: MailStore, key: SigningKey) -> None:
        """Show the store to a client with a token that `key` verifies."""
        self.denied: set[str] = set()
        self.throttled = 0
        self.throttles_each = False
        self.retry_after = 1
        self.lag = 0.0
        self.page_size = 10
        self.most_clauses = 30
        self.permanent = True
        self.requests = 0
        self.asked: deque[Asked] = deque(maxlen=10_000)
        self._store, self._key = store, key
        self._put_off: set[tuple[str, str]] = set()

    def serve(self, app: web.Application) -> None:
        """Add its addresses to an application."""
        root = "/v1.0/users/{mailbox}"
        app.router.add_get(root + "/mailFolders/{folder}", self._show_folder)
        app.router.add_get(root + "/mailFolders/{folder}/messages", self._list)
        app.router.add_get(root + "/messages", self._list)
        app.router.add_get(root + "/messages/{message}/$value", self._show_content)
        app.router.add_delete(root + "/messages/{message}", self._delete)
        app.router.add_post(root + "/messages/{message}/permanentDelete", self._purge)

    async def _show_folder(self, request: web.Request) -> web.Response:
        box = self._opened(request, _READS)
        if isinstance(box, web.Response):
            return box
        folder = _folder(box, request.match_info["folder"])
        return _no_item(request) if folder is None else web.json_response(_described(folder))

    async def _show_content(self, request: web.Request) -> web.Response:
        """Answer with a message in MIME (https://learn.microsoft.com/graph/api/message-get)."""
        found = self._found(request, _READS)
        return (
            found if isinstance(found, web.Response) else web.Response(body=found[2].content, content_type="text/plain")
        )

    async def _list(self, request: web.Request) -> web.Response:
        box = self._opened(request, _READS)
        if isinstance(box, web.Response):
            return box
        name = request.match_info.get("folder")
        folder = _folder(box, name) if name else None
        if name and folder is None:
            return _no_item(request)
        wanted = request.query.get("$filter", "")
        test = _test(wanted)
        if test is None:
            return refusal(request, 400, "BadRequest", f"Invalid filter clause: {wanted}")
        if len(_COMPARISON.findall(wanted)) > self.most_clauses:
            message = "The restriction or sort order is too complex for this operation."
            return refusal(request, 400, "InefficientFilter", message)
        shown = [
            entry
            for where, stored in box.everything()
            if (folder is None or where is folder) and time.time() >= stored.arrived_at + self.lag
            if test(entry := _entry(where, stored))
        ]
        if request.query.get("$orderby") == "receivedDateTime desc":
            shown.sort(key=lambda entry: str(entry["receivedDateTime"]), reverse=True)
        return self._page(request, shown)

    def _page(self, request: web.Request, entries: list[Mapping[str, object]]) -> web.Response:
        top = min(int(request.query.get("$top", "10")), self.page_size)
        skip = int(request.query.get("$skip", "0"))
        names = request.query.get("$select", "").split(",")
        value = [{name: entry[name] for name in names if name in entry} for entry in entries[skip : skip + top]]
        page: dict[str, object] = {"@odata.context": f"https://{request.host}/v1.0/$metadata#messages", "value": value}
        if skip + top < len(entries):
            query = {**request.query, "$skip": str(skip + top)}
            page["@odata.nextLink"] = f"https://{request.host}{quote(request.path)}?{urlencode(query)}"
        return web.json_response(page)

    async def _delete(self, request: web.Request) -> web.Response:
        """Move a message to Deleted Items; one that is there already is gone."""
        found = self._found(request)
        if isinstance(found, web.Response):
            return found
        box, folder, stored = found
        if folder.use is Use.DELETED:
            folder.messages.remove(stored)
        else:
            box.move(stored, folder, box.folders[Use.DELETED])
        return web.Response(status=204)

    async def _purge(self, request: web.Request) -> web.Response:
        """Remove a message for good."""
        if not self.permanent:
            return refusal(request, 400, "BadRequest", "Resource not found for the segment 'permanentDelete'.")
        found = self._found(request)
        if isinstance(found, web.Response):
            return found
        _, folder, stored = found
        folder.messages.remove(stored)
        return web.Response(status=204)

    def _found(
        self, request: web.Request, rights: frozenset[str] = _WRITES
    ) -> tuple[Box, Folder, Stored] | web.Response:
        box = self._opened(request, rights)
        if isinstance(box, web.Response):
            return box
        identity = request.match_info["message"]
        found = next(((folder, stored) for folder, stored in box.everything() if stored.id == identity), None)
        return _no_item(request) if found is None else (box, *found)

    def _opened(self, request: web.Request, rights: frozenset[str]) -> Box | web.Response:
        """Return the mailbox that the request names, or the refusal."""
        self.requests += 1
        client = request.transport.get_extra_info("peername") if request.transport else None
        self.asked.append(Asked(client, request.method, request.path))
        if self._is_throttled(request):
            message = "Application is over its MailboxConcurrency limit."
            answer = refusal(request, 429, "ApplicationThrottled", message)
            answer.headers["Retry-After"] = str(self.retry_after)
            return answer
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        claims = self._key.verify(token, AUDIENCES)
        if claims is None:
            message = "Access token validation failure. Invalid audience."
            return refusal(request, 401, "InvalidAuthenticationToken", message)
        address = request.match_info["mailbox"]
        roles, scopes = claims.get("roles"), frozenset(str(claims.get("scp", "")).split())
        as_application = isinstance(roles, list) and bool(rights & set(roles))
        as_user = bool(rights & scopes) and str(claims.get("upn", "")).casefold() == address.casefold()
        if not (as_application or as_user) or address.casefold() in self.denied:
            return refusal(request, 403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
        return self._store.box(address)

    def _is_throttled(self, request: web.Request) -> bool:
        if self.throttled > 0:
            self.throttled -= 1
            return True
        what = (request.method, request.path_qs)
        if not self.throttles_each or what in self._put_off:
            self._put_off.discard(what)
            return False
        self._put_off.add(what)
        return True


def _folder(box: Box, name: str) -> Folder | None:
    return next((one for use, one in box.folders.items() if name in {use.value, one.id}), None)


def _described(folder: Folder) -> dict[str, object]:
    name = "Inbox" if folder.use is Use.INBOX else folder.name
    return {"id": folder.id, "displayName": name, "totalItemCount": len(folder.messages)}


def _entry(folder: Folder, stored: Stored) -> Mapping[str, object]:
    header = stored.header
    first = {name.lower(): value for name, value in reversed(header)}
    arrived = f"{datetime.fromtimestamp(stored.arrived_at, UTC):%Y-%m-%dT%H:%M:%SZ}"
    entry: dict[str, object] = {
        "id": stored.id,
        "parentFolderId": folder.id,
        "subject": first.get("subject", ""),
        "receivedDateTime": arrived,
        "internetMessageId": first.get("message-id", ""),
        "from": {"emailAddress": dict(zip(("name", "address"), parseaddr(first.get("from", "")), strict=True))},
    }
    if folder.use is not Use.SENT:  # a copy in Sent Items has come by no transport
        entry["internetMessageHeaders"] = [{"name": name, "value": value} for name, value in header]
    return entry


def _test(wanted: str) -> Test | None:
    """Return what a filter tests, None for one that is not understood."""
    if not wanted:
        return lambda _: True
    either = " or " in wanted
    parts = re.split(" or | and ", wanted)
    tests = [test for part in parts if (test := _clause(part)) is not None]
    if len(tests) < len(parts) or (either and " and " in wanted):
        return None
    return lambda entry: (any if either else all)(test(entry) for test in tests)


def _clause(text: str) -> Test | None:
    if (match := _FUNCTION.fullmatch(text)) is not None:
        name, key, value = match[1], match[2], match[3].replace("''", "'").casefold()
        if name == "contains":
            return lambda entry: value in str(entry[key]).casefold()
        return lambda entry: str(entry[key]).casefold().startswith(value)
    if (match := _COMPARISON.fullmatch(text)) is None:
        return None
    key, comparison, given = match[1], match[2], (match[3] or "").replace("''", "'") or (match[4] or "")
    return lambda entry: _holds(str(entry[key]), comparison, given)


def _holds(value: str, comparison: str, given: str) -> bool:
    return {"eq": value == given, "lt": value < given, "ge": value >= given}[comparison]


def _no_item(request: web.Request) -> web.Response:
    return refusal(request, 404, "ErrorItemNotFound", "The specified object was not found in the store.")
