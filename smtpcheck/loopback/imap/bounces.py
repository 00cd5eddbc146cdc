"""Finds bounces of our messages in the folders that an IMAP search goes through.

Rules of this file:
- What may be a bounce is asked of the server by sender and subject; a header decides who is read first, and only the
  beginning of a message is read, whatever its size. One search reads `MOST_READ` of them, the next one the others.
- A bounce is ours by proof alone (`mail/bounce_proof`). What was read and is not ours is named, so that it is not read
  again: a mailbox may hold thousands of bounces of others.
- A bounce is deleted by the UID and the UIDVALIDITY under which it was proven to be ours.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

from smtpcheck.loopback.finder import BounceMatch, FolderKind, SearchRequest
from smtpcheck.loopback.imap.client import Fetched, ImapConnection
from smtpcheck.loopback.imap.folders import Folder
from smtpcheck.mail.bounce import Bounce, may_be_bounce, read_bounce
from smtpcheck.mail.bounce_proof import Sent, answered_id, is_about, returned_correlation_id
from smtpcheck.mail.headers import BOUNCE_HEADERS, read_fields

MAX_OCTETS = 128 * 1024
"""Of one bounce: it says why before it returns the message, and ours is small."""
MOST_READ = 20
"""In one search."""
MOST_CANDIDATES = 500
"""Of one folder, the newest."""
BUDGET = MOST_READ * MAX_OCTETS + 2 * 1024 * 1024
"""How many octets more a connection may receive that looks for bounces."""

_CLOCKS = 300.0
"""Seconds by which the mailbox's clock and ours may differ."""
_PURGED_DAYS = 7
_BATCH = 100
_LONGEST_NAME = 200


class BounceSearch:
    """One search for bounces as it goes on."""

    def __init__(self, connection: ImapConnection, request: SearchRequest) -> None:
        self.matches: list[BounceMatch] = []
        self.foreign: list[str] = []
        self.removed: list[str] = []
        self.purged = 0
        self._moved: set[str] = set()
        """The Message-IDs of what was moved to the trash."""
        self._connection, self._request = connection, request
        self._sent = [Sent(one.message_ids, one.correlation_id, one.recipient) for one in request.returned]
        self._ids = {each.strip("<>").lower() for one in request.returned for each in one.message_ids}
        self._left = MOST_READ

    @property
    def is_wanted(self) -> bool:
        """Return whether there is anything to find or to delete."""
        request = self._request
        return bool(request.returned or request.removals) or request.purge_before is not None

    @property
    def goes_to_trash(self) -> bool:
        """Return whether something was moved to the trash that must go from there."""
        return bool(self._moved)

    def through(self, folder: Folder, validity: int, trash: str | None) -> None:
        """Go through the selected folder; `trash` is where a message must go first to be gone, as at Gmail."""
        if not self.is_wanted or folder.kind is FolderKind.SENT:
            return
        prefix = f"{folder.name}/{validity}/"
        doomed = [int(key.removeprefix(prefix)) for key in self._request.removals if key.startswith(prefix)]
        if validity:
            self._remove(doomed, prefix, None if folder.name == trash else trash)
        if folder.name == trash:
            self._empty_trash()
        if self._request.returned or self._request.purge_before is not None:
            self._read(folder, prefix, trash)

    def _read(self, folder: Folder, prefix: str, trash: str | None) -> None:
        uids = self._connection.bounce_candidates(self._since())
        news = [uid for uid in uids[-MOST_CANDIDATES:] if f"{prefix}{uid}" not in self._request.foreign]
        for candidate in sorted(self._candidates(news), key=self._rank):
            key = f"{prefix}{candidate.uid}"
            if self._left <= 0:
                return
            self._left -= 1
            bounce = read_bounce(self._connection.beginning(candidate.uid, MAX_OCTETS))
            ours = bounce is not None and returned_correlation_id(bounce, self._request.is_ours) is not None
            if bounce is not None and self._is_about_target(bounce, candidate, folder, key):
                continue
            if ours and self._is_old(candidate):
                self._remove([candidate.uid], prefix, None if folder.name == trash else trash)
                self.purged += 1
            elif not ours:
                self.foreign.append(key)

    def _candidates(self, uids: Sequence[int]) -> Iterator[Fetched]:
        for start in range(0, len(uids), _BATCH):
            for one in self._connection.fetch(uids[start : start + _BATCH], BOUNCE_HEADERS):
                if may_be_bounce(read_fields(one.header)):
                    yield one

    def _rank(self, candidate: Fetched) -> tuple[int, float]:
        """Return what orders candidates: first what answers our messages, last what answers others; newest first."""
        answered = answered_id(read_fields(candidate.header))
        return (0 if answered in self._ids else 1 if not answered else 2), -(candidate.arrived_at or 0.0)

    def _is_about_target(self, bounce: Bounce, candidate: Fetched, folder: Folder, key: str) -> bool:
        """Return whether a bounce is about one of the messages, and note it then."""
        for target, sent in zip(self._request.returned, self._sent, strict=True):
            after = candidate.arrived_at is None or candidate.arrived_at >= target.sent_at - _CLOCKS
            if after and is_about(bounce, sent):
                name = folder.name[:_LONGEST_NAME]
                self.matches.append(BounceMatch(target.correlation_id, bounce, name, candidate.arrived_at, key))
                return True
        return False

    def _is_old(self, candidate: Fetched) -> bool:
        before = self._request.purge_before
        return before is not None and candidate.arrived_at is not None and candidate.arrived_at < before

    def _since(self) -> date:
        """Return the day from which on mail is of interest: a day early, for servers have time zones."""
        request = self._request
        begin = min((one.sent_at for one in request.returned), default=request.purge_before or 0.0)
        if request.purge_before is not None:
            begin = min(begin, request.purge_before - _PURGED_DAYS * 86400.0)
        return (datetime.fromtimestamp(max(begin, 0.0), UTC) - timedelta(days=1)).date()

    def _remove(self, uids: Sequence[int], prefix: str, trash: str | None) -> None:
        if not uids:
            return
        if trash is None:
            self._connection.remove(uids)
        else:
            for one in self._connection.fetch(uids, ("Message-ID",)):
                self._moved |= {value for name, value in read_fields(one.header) if name.lower() == "message-id"}
            self._connection.move(uids, trash)
        self.removed += [f"{prefix}{uid}" for uid in uids]

    def _empty_trash(self) -> None:
        """Delete what this search has moved to the trash."""
        uids = self._connection.by_message_id(sorted(self._moved)) if self._moved else ()
        if uids:
            self._connection.remove(uids)
