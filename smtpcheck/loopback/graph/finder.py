"""Finds messages again by Microsoft Graph (https://learn.microsoft.com/graph/api/resources/message).

Rules of this file:
- Messages are requested by `internetMessageId`, many in one request, in the folders with a well-known name; what is
  missing there is requested in the whole mailbox. What a message says of itself decides whether it is ours.
- A message is deleted for good (`permanentDelete`); where that does not exist, as in the national clouds, it goes to
  Deleted Items, from which a purge removes it.
- A message that Graph does not show yet is just not seen yet, and one that is gone before it is deleted is deleted.
"""

import asyncio
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from smtpcheck.loopback.finder import FinderError, FinderStep, FolderKind, Match, Search, SearchRequest
from smtpcheck.loopback.graph.bounces import BounceSearch
from smtpcheck.loopback.graph.client import GraphClient, GraphError, timestamp
from smtpcheck.loopback.graph.limits import IDS_PER_REQUEST, PAGE, WELL_KNOWN
from smtpcheck.mail.headers import Field, clean, correlation_id_of, route_fields
from smtpcheck.mail.message import SUBJECT_WORD
from smtpcheck.secrets.secret import Secret

_EVERYWHERE = ""
_SELECT = "id,parentFolderId,subject,receivedDateTime,internetMessageId,internetMessageHeaders"
_TOO_COMPLEX = frozenset({"InefficientFilter", "ErrorInvalidRestriction"})
_GONE = frozenset({"ErrorItemNotFound"})
_NO_FOLDER = frozenset({"ErrorFolderNotFound", "ErrorItemNotFound"})


class GraphFinder:
    """Searches one mailbox by Graph."""

    def __init__(self, url: str, mailbox: str, *, context: ssl.SSLContext, proxy: str | None) -> None:
        """Take the URL in front of `/v1.0/`, the mailbox's address, what to trust, and the proxy if there is one."""
        self._root = f"{url}/v1.0/users/{quote(mailbox, safe='@')}"
        self._context = context
        self._proxy = proxy

    async def search(self, request: SearchRequest, token: Secret, *, timeout: float) -> Search:  # noqa: ASYNC109
        """Search for all messages of the request over one connection; nothing is raised but cancellation.

        `timeout` bounds the whole search, in seconds.
        """
        begin = time.monotonic()
        search = _Search(request)
        try:
            async with (
                asyncio.timeout(timeout),
                GraphClient(self._root, token, context=self._context, proxy=self._proxy) as client,
            ):
                await search.through_all(client)
        except GraphError as error:
            search.note(error.error)
        except TimeoutError:
            search.note(FinderError(FinderStep.SEARCH, f"not done within {timeout:g} s"))
        return replace(search.result(), seconds=time.monotonic() - begin)


@dataclass(frozen=True, slots=True)
class GraphMessage:
    """One message as Graph describes it."""

    id: str
    folder_id: str
    arrived_at: float | None
    fields: tuple[Field, ...]
    """Its subject and the header fields that it arrived with; a sent one may have none."""


class _Search:
    """One search as it goes on."""

    def __init__(self, request: SearchRequest) -> None:
        self._request = request
        self._targets = {one.correlation_id.lower(): one.correlation_id for one in request.targets}
        self._matches: list[Match] = []
        self._searched: list[str] = []
        self._names: dict[str, str] = {}
        self._handled: set[str] = set()
        self._purged = 0
        self._error: FinderError | None = None
        self._bounces = BounceSearch(request)
        self._removed: list[str] = []

    def result(self) -> Search:
        """Return what has been seen so far."""
        bounces = self._bounces
        return Search(
            tuple(self._matches),
            self._error,
            tuple(self._searched),
            self._purged,
            bounces=tuple(bounces.matches),
            foreign=tuple(bounces.foreign),
            removed=tuple(self._removed),
        )

    def note(self, error: FinderError) -> None:
        """Keep the first error."""
        self._error = self._error or error

    async def through_all(self, client: GraphClient) -> None:
        """Search folder by folder, then everywhere for what is missing, then for bounces and for left-overs."""
        for identity in self._request.removals:
            if await self._delete(client, identity):
                self._removed.append(identity)
        if self._targets:
            for name, kind in WELL_KNOWN.items():
                await self._search(client, name, kind, set(self._targets))
            if missing := self._missing():
                await self._search(client, _EVERYWHERE, FolderKind.OTHER, missing)
        await self._bounces.through_all(client)
        if self._request.purge_before is not None:
            for identity in self._bounces.left_over:
                self._purged += await self._delete(client, identity)
            await self._purge(client, self._request.purge_before)

    def _missing(self) -> set[str]:
        seen = {one.correlation_id.lower() for one in self._matches if one.kind is not FolderKind.SENT}
        return self._targets.keys() - seen

    async def _search(self, client: GraphClient, folder: str, kind: FolderKind, missing: set[str]) -> None:
        targets = [one for one in self._request.targets if one.correlation_id.lower() in missing]
        ids = [each for one in targets for each in one.message_ids]
        path = f"/mailFolders/{folder}/messages" if folder else "/messages"
        self._searched.append(folder or "all folders")
        for some in _batches(ids, IDS_PER_REQUEST):
            for message in await self._with_ids(client, path, some):
                found = correlation_id_of(message.fields, self._request.is_ours)
                if found is not None and found.lower() in self._targets and message.id not in self._handled:
                    self._handled.add(message.id)
                    await self._see(client, message, self._targets[found.lower()], kind)

    async def _with_ids(self, client: GraphClient, path: str, ids: Sequence[str]) -> list[GraphMessage]:
        wanted = " or ".join(f"internetMessageId eq '{each.replace(chr(39), chr(39) * 2)}'" for each in ids)
        try:
            return await _messages(client, path, wanted)
        except GraphError as refused:
            if refused.error.code in _NO_FOLDER:
                return []
            if refused.error.code not in _TOO_COMPLEX or len(ids) == 1:
                raise
        half = len(ids) // 2
        return [*await self._with_ids(client, path, ids[:half]), *await self._with_ids(client, path, ids[half:])]

    async def _see(self, client: GraphClient, message: GraphMessage, correlation_id: str, kind: FolderKind) -> None:
        """Take note of a message, and delete it if that is wanted."""
        deleted = False
        folder = await self._name_of(client, message.folder_id)
        try:
            if self._request.delete:
                deleted = await self._delete(client, message.id)
        finally:
            fields = route_fields(message.fields)
            self._matches.append(Match(correlation_id, folder, kind, message.arrived_at, fields, deleted))

    async def _name_of(self, client: GraphClient, folder_id: str) -> str:
        if folder_id not in self._names:
            try:
                folder = await client.get(f"/mailFolders/{quote(folder_id, safe='')}?$select=displayName")
            except GraphError as refused:
                if refused.error.code not in _NO_FOLDER:
                    raise
                folder = {}
            self._names[folder_id] = str(folder.get("displayName") or folder_id)[:200]
        return self._names[folder_id]

    async def _delete(self, client: GraphClient, identity: str) -> bool:
        """Delete a message and return whether it is gone; a refusal is noted."""
        path = f"/messages/{quote(identity, safe='')}"
        try:
            try:
                await client.delete(f"{path}/permanentDelete", method="POST")
            except GraphError as refused:
                if refused.status not in {400, 404, 405, 501} or refused.error.code in _GONE:
                    raise
                await client.delete(path)
        except GraphError as refused:
            if refused.error.code in _GONE:
                return True
            if refused.status is None:
                raise
            self.note(refused.error)
            return False
        return True

    async def _purge(self, client: GraphClient, before: float) -> None:
        moment = f"{datetime.fromtimestamp(before, UTC):%Y-%m-%dT%H:%M:%SZ}"
        for message in await _messages(
            client, "/messages", f"receivedDateTime lt {moment} and contains(subject,'{SUBJECT_WORD}')"
        ):
            old = message.arrived_at is not None and message.arrived_at < before
            ours = correlation_id_of(message.fields, self._request.is_ours) is not None
            if old and ours and message.id not in self._handled:
                self._purged += await self._delete(client, message.id)


async def _messages(client: GraphClient, path: str, wanted: str) -> list[GraphMessage]:
    query = f"$filter={quote(wanted, safe='')}&$select={_SELECT}&$top={PAGE}"
    return [message async for value in client.pages(f"{path}?{query}") if (message := read_message(value)) is not None]


def read_message(value: Mapping[str, Any]) -> GraphMessage | None:
    """Return a message as Graph describes it, None where it lacks what every message has."""
    identity, folder = value.get("id"), value.get("parentFolderId")
    if not (isinstance(identity, str) and identity and isinstance(folder, str) and folder):
        return None
    listed = value.get("internetMessageHeaders")
    headers = [
        (str(each["name"]), str(each["value"]))
        for each in (listed if isinstance(listed, list) else ())
        if isinstance(each, Mapping) and "name" in each and "value" in each
    ]
    names = {name.lower() for name, _ in headers}
    for name, key in (("Subject", "subject"), ("Message-ID", "internetMessageId")):
        if name.lower() not in names and isinstance(value.get(key), str):
            headers.append((name, value[key]))
    return GraphMessage(identity, folder, timestamp(value.get("receivedDateTime")), clean(headers))


def _batches(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))
