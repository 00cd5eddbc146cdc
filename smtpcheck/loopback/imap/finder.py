"""Finds messages again by IMAP (RFC 9051, RFC 3501).

Rules of this file:
- One connection for all targets in a mailbox, with a few commands for each folder: one search for
  whatever has a correlation id, and header fields in batches. How many targets there are makes no difference.
- A message is touched only if its correlation id is ours, and deleted only if it is a target or a left-over. Bounces
  are searched for by `imap/bounces`, over the same connection.
- What was seen before an error still counts. A folder that cannot be searched does not keep the others from it.
- The thread of the search ends when the search does: a search that is cancelled cuts its connection.
"""

import asyncio
import ssl
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

from smtpcheck.loopback.finder import FinderError, FinderStep, FolderKind, Match, Search, SearchRequest
from smtpcheck.loopback.imap.bounces import BUDGET as BOUNCE_BUDGET
from smtpcheck.loopback.imap.bounces import BounceSearch
from smtpcheck.loopback.imap.client import ImapConnection, ImapError
from smtpcheck.loopback.imap.folders import Folder, in_order, trash_of
from smtpcheck.loopback.imap.stream import Stream
from smtpcheck.mail.headers import ID_HEADERS, ROUTE_HEADERS, Field, correlation_id_of, read_fields, route_fields
from smtpcheck.model.check import Mechanism, Security, Server
from smtpcheck.model.report import Attempt, Fault, FaultKind
from smtpcheck.network.connecting import race, summed_up
from smtpcheck.network.network import Network
from smtpcheck.network.system_faults import os_fault
from smtpcheck.secrets.secret import Secret

CONNECT_SECONDS = 10.0
MOST_OTHER_FOLDERS = 30
MOST_CANDIDATES = 5000
"""Of one folder, the newest."""

_Item = TypeVar("_Item")

_BATCH = 100
_LONGEST_NAME = 200
"""What is kept of a folder's name."""
_IDS_PER_SEARCH = 25
_BUDGET = 8 * 1024 * 1024
_BUDGET_PER_MESSAGE = 64 * 1024


class ImapFinder:
    """Searches one mailbox by IMAP."""

    def __init__(
        self,
        server: Server,
        mailbox: str,
        mechanism: Mechanism | None,
        *,
        network: Network,
        threads: Executor,
        password: bool = False,
    ) -> None:
        """Search `mailbox` at a server that `network` has been built for; log in by a token, or by a password."""
        self._server = server
        self._mailbox = mailbox
        self._mechanism = mechanism
        self._password = password
        self._network = network
        self._threads = threads

    async def search(self, request: SearchRequest, token: Secret, *, timeout: float) -> Search:  # noqa: ASYNC109
        """Search for all messages of the request over one connection; nothing is raised but cancellation.

        `timeout` bounds the whole search, in seconds; waiting for a thread is part of it.
        """
        begin = time.monotonic()
        budget = _BUDGET + _BUDGET_PER_MESSAGE * (len(request.targets) + len(request.returned)) + BOUNCE_BUDGET
        stream = await self._stream(begin + timeout, min(timeout, CONNECT_SECONDS), budget)
        if isinstance(stream, FinderError):
            return Search(error=stream, seconds=time.monotonic() - begin)
        try:
            job = self._threads.submit(self._search, stream, request, token)
        except RuntimeError as error:
            stream.close()
            return Search(error=FinderError(FinderStep.AGENT, str(error)), seconds=time.monotonic() - begin)
        work = asyncio.wrap_future(job)
        try:
            found = await asyncio.shield(work)
        except asyncio.CancelledError:
            if job.cancel():
                stream.close()
            else:
                stream.cut()
                await asyncio.wait([work])
            raise
        return replace(found, seconds=time.monotonic() - begin)

    async def _stream(self, end: float, seconds: float, budget: int) -> Stream | FinderError:
        """Return a connection within so many seconds, or why there is none."""
        server = self._server
        try:
            async with asyncio.timeout(seconds):
                return await self._connect(end, budget)
        except TimeoutError:
            if self._network.resolver.is_queued(server.host, server.port, server.ip_version):
                detail = f"no slot for a name lookup became free within {seconds:g} s"
                return FinderError(FinderStep.AGENT, detail)
            return FinderError(FinderStep.CONNECT, f"no connection within {seconds:g} s")

    async def _connect(self, end: float, budget: int) -> Stream | FinderError:
        """Return a connection, or why there is none."""
        server = self._server
        answer = await self._network.resolver.resolve(server.host, server.port, server.ip_version)
        if answer.fault is not None:
            return _connect_error(answer.fault)
        attempts: list[Attempt] = []
        try:
            opened, _ = await race(answer.addresses, attempts)
        except OSError as error:
            return _connect_error(summed_up(attempts) or os_fault(error))
        try:
            return Stream(opened, end=end, budget=budget)
        except OSError as error:
            opened.close()
            return _connect_error(os_fault(error))

    def _search(self, stream: Stream, request: SearchRequest, token: Secret) -> Search:
        """Do all of it; blocks."""
        server = self._server
        context: ssl.SSLContext | None = None
        if server.security is not Security.NONE:
            context = self._network.contexts.verified(server)
        connection = ImapConnection(stream, user=self._mailbox, token=token, host=server.host, port=server.port)
        search = _Search(connection, request)
        try:
            connection.begin(context, server.server_name, early=server.security is Security.IMPLICIT)
            connection.login(self._mechanism, password=self._password)
            search.through_all()
        except ImapError as error:
            search.note(error)
        finally:
            connection.logout()
        return search.result()


@dataclass(frozen=True, slots=True)
class _Ours:
    """One message of ours in the folder."""

    uid: int
    correlation_id: str
    """In lower case."""
    arrived_at: float | None
    fields: tuple[Field, ...]


class _Search:
    """One search as it goes on."""

    def __init__(self, connection: ImapConnection, request: SearchRequest) -> None:
        self._connection = connection
        self._request = request
        self._targets = {one.correlation_id.lower(): one.correlation_id for one in request.targets}
        self._matches: list[Match] = []
        self._searched: list[str] = []
        self._purged = 0
        self._error: FinderError | None = None
        self._trash: str | None = None
        self._removes = True
        self._bounces = BounceSearch(connection, request)
        self._moved: dict[str, Sequence[str]] = {}
        """What has been moved to the trash: its Message-IDs by its correlation id."""

    def result(self) -> Search:
        """Return what has been seen so far."""
        bounces = self._bounces
        return Search(
            tuple(self._matches),
            self._error,
            tuple(self._searched),
            self._purged + bounces.purged,
            bounces=tuple(bounces.matches),
            foreign=tuple(bounces.foreign),
            removed=tuple(bounces.removed),
            removes=self._removes,
        )

    def note(self, error: ImapError) -> None:
        """Keep the first error."""
        self._error = self._error or FinderError(error.step, error.detail, error.code)

    def through_all(self) -> None:
        """Search folder by folder, the trash last: at Gmail it holds by then what has been removed from the others."""
        listed = self._connection.folders()
        self._removes = self._connection.can_expunge_by_uid
        self._trash = trash_of(listed) if self._connection.keeps_all_mail else None
        for folder in in_order(listed, MOST_OTHER_FOLDERS):
            if folder.name != self._trash and (folder.kind is not FolderKind.OTHER or self._goes_on()):
                self._go_through(folder)
        if self._trash is not None and (self._moved or self._bounces.goes_to_trash or self._goes_on()):
            self._go_through(Folder(self._trash, FolderKind.OTHER))

    def _goes_on(self) -> bool:
        """Return whether folders that are nothing special are of interest."""
        seen = {match.correlation_id for match in self._matches if match.kind is not FolderKind.SENT}
        return self._request.purge_before is not None or not seen.issuperset(self._targets.values())

    def _go_through(self, folder: Folder) -> None:
        """Search a folder; its refusal ends nothing, and is reported except for a folder without a purpose."""
        try:
            self._search(folder)
        except ImapError as error:
            if error.over:
                raise
            if folder.kind is not FolderKind.OTHER or error.step is FinderStep.DELETE:
                self.note(error)

    def _search(self, folder: Folder) -> None:
        request = self._request
        touches = request.delete or request.purge_before is not None or bool(request.removals)
        validity = self._connection.select(folder.name, readonly=not touches)
        self._searched.append(folder.name[:_LONGEST_NAME])
        if request.targets or request.purge_before is not None:
            self._search_messages(folder)
        self._bounces.through(folder, validity, self._trash)

    def _search_messages(self, folder: Folder) -> None:
        request = self._request
        ours = self._ours(self._connection.candidates(self._since()))
        if self._connection.keeps_all_mail:
            ours |= self._ours(self._by_message_id({one.correlation_id for one in ours.values()}))
        moved = [one for one in ours.values() if folder.name == self._trash and one.correlation_id in self._moved]
        rest = [one for one in ours.values() if one not in moved]
        found = self._with_route([one for one in rest if one.correlation_id in self._targets])
        left_over = [one for one in rest if one.correlation_id not in self._targets and self._is_old(one)]
        removed: set[int] = set()
        try:
            doomed = found if request.delete else filter(self._is_old, found)
            self._remove([*moved, *doomed, *left_over], folder, removed)
        finally:
            self._purged += sum(one.uid in removed for one in left_over)
            self._matches += [self._match(one, folder, deleted=one.uid in removed) for one in found]

    def _since(self) -> date | None:
        """Return the day from which on messages are of interest: a day early, for servers have time zones."""
        if self._request.purge_before is not None:
            return None
        earliest = min(one.sent_at for one in self._request.targets)
        return (datetime.fromtimestamp(earliest, UTC) - timedelta(days=1)).date()

    def _by_message_id(self, seen: set[str]) -> Sequence[int]:
        """Return the UIDs of targets and of what was moved that no other search has seen."""
        wanted = {one.correlation_id.lower(): one.message_ids for one in self._request.targets} | self._moved
        ids = [each for key, message_ids in wanted.items() if key not in seen for each in message_ids]
        return [uid for some in _batches(ids, _IDS_PER_SEARCH) for uid in self._connection.by_message_id(some)]

    def _ours(self, uids: Sequence[int]) -> dict[int, _Ours]:
        """Return those of the messages that are ours, by their UIDs."""
        ours: dict[int, _Ours] = {}
        for batch in _batches(uids[-MOST_CANDIDATES:], _BATCH):
            for message in self._connection.fetch(batch, ID_HEADERS):
                fields = read_fields(message.header)
                correlation_id = correlation_id_of(fields, self._request.is_ours)
                if correlation_id is not None:
                    ours[message.uid] = _Ours(message.uid, correlation_id.lower(), message.arrived_at, fields)
        return ours

    def _with_route(self, found: Sequence[_Ours]) -> list[_Ours]:
        """Return messages with the fields that a match has: thousands of other messages may be beside them."""
        fields = {
            message.uid: read_fields(message.header)
            for batch in _batches([one.uid for one in found], _BATCH)
            for message in self._connection.fetch(batch, ROUTE_HEADERS)
        }
        return [replace(one, fields=fields.get(one.uid, one.fields)) for one in found]

    def _is_old(self, one: _Ours) -> bool:
        before = self._request.purge_before
        return before is not None and one.arrived_at is not None and one.arrived_at < before

    def _remove(self, doomed: Sequence[_Ours], folder: Folder, removed: set[int]) -> None:
        """Delete messages and add their UIDs to `removed`; at Gmail they go to the trash first."""
        for batch in _batches(doomed, _BATCH):
            uids = [one.uid for one in batch]
            if self._trash is None or folder.name == self._trash:
                self._connection.remove(uids)
            else:
                self._connection.move(uids, self._trash)
                self._moved |= {one.correlation_id: _message_ids(one.fields) for one in batch}
            removed.update(uids)

    def _match(self, one: _Ours, folder: Folder, *, deleted: bool) -> Match:
        correlation_id, name = self._targets[one.correlation_id], folder.name[:_LONGEST_NAME]
        return Match(correlation_id, name, folder.kind, one.arrived_at, route_fields(one.fields), deleted)


def _connect_error(fault: Fault) -> FinderError:
    step = FinderStep.AGENT if fault.kind is FaultKind.OUT_OF_RESOURCES else FinderStep.CONNECT
    return FinderError(step, f"{fault.kind}: {fault.detail}")


def _message_ids(fields: Sequence[Field]) -> Sequence[str]:
    return [value for name, value in fields if name.lower() == "message-id"]


def _batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))
