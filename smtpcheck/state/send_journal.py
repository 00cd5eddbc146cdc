"""What agent and commands of one state folder share: what was sent in the last day, and how its receivers sign results.

Rules of this file:
- Whoever sends counts here before: reading what was sent, deciding and writing are one transaction, so that two
  processes at the same moment do not pass a cap together. What was counted is on the disk when `reserve` returns.
- The file is opened for each message and closed again: the agent's state file is locked as long as the agent runs,
  this one for milliseconds. A file that was removed is begun again.
- Where it cannot be written, nothing is sent. A damaged one is put aside, and the next message is counted in a new one;
  what the agent itself has sent it knows from its state file too.
- When the wall clock is set, the rows move with it. One from the future all the same is of a clock that was wrong, and
  counts for nothing.
- By what name a receiver gives its results is noted for `validate` to propose it: that it is lost harms nobody.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import structlog

from smtpcheck.limits.mailbox_lock import make_private
from smtpcheck.limits.send_limits import DAY, Caps, Limits, Shares
from smtpcheck.state.database import NotKeptError
from smtpcheck.state.salvage import put_aside

FILE_NAME = "sent.db"
BUSY_SECONDS = 5.0
"""How long one process waits for another that writes."""
FUTURE_SECONDS = 60.0
"""How far ahead of ours the clock of another process may be."""
_TABLE = """
    CREATE TABLE IF NOT EXISTS sent (at REAL NOT NULL, mailbox TEXT NOT NULL, tenant TEXT NOT NULL);
    CREATE INDEX IF NOT EXISTS sent_mailbox ON sent (mailbox, at);
    CREATE INDEX IF NOT EXISTS sent_tenant ON sent (tenant, at);
    CREATE TABLE IF NOT EXISTS receivers (name TEXT PRIMARY KEY, authserv_id TEXT NOT NULL) WITHOUT ROWID;
"""
_COUNTED = (
    "SELECT at, mailbox, tenant FROM sent WHERE (mailbox = ?1 OR tenant = ?2) AND at > ?3 AND at <= ?4"
    " AND typeof(at) IN ('real', 'integer') AND typeof(mailbox) = 'text' AND typeof(tenant) = 'text' ORDER BY at"
)
_SENT = "INSERT INTO sent (at, mailbox, tenant) VALUES (?, ?, ?)"
_MISSING = (
    "INSERT INTO sent (at, mailbox, tenant) SELECT ?1, ?2, ?3"
    " WHERE NOT EXISTS (SELECT 1 FROM sent WHERE at = ?1 AND mailbox = ?2 AND tenant = ?3)"
)
_NOT_SENT = (
    "DELETE FROM sent WHERE rowid = (SELECT rowid FROM sent WHERE at = ? AND mailbox = ? AND tenant = ? LIMIT 1)"
)
_RECEIVER = "INSERT OR REPLACE INTO receivers (name, authserv_id) VALUES (?, ?)"
_RECEIVERS = "SELECT name, authserv_id FROM receivers WHERE typeof(name) = 'text' AND typeof(authserv_id) = 'text'"
_OLD = "DELETE FROM sent WHERE at < ?"
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
"""A file that is no database, or has other tables than ours."""
_log = structlog.get_logger(__name__)

Sent = tuple[float, str, str]
"""When (Unix seconds), by which mailbox, and for which tenant a message was sent."""


class SendJournal:
    """The journal of one state folder. Every method blocks for as long as the disk, or another process, takes."""

    def __init__(self, folder: Path) -> None:
        """Use the file in `folder`; both are made when the first message is counted."""
        self.path = folder / FILE_NAME

    @property
    def is_there(self) -> bool:
        """Return whether there is a file."""
        return os.path.exists(self.path)  # noqa: PTH110 - False where the folder may not be entered

    def reserve(self, sent: Sent, limits: Limits, shares: Shares | None = None) -> float | None:
        """Count one message before it is sent, and return None, or until when none may be (Unix seconds).

        Raises NotKeptError where it cannot be counted.
        """
        at, mailbox, tenant = _folded(sent)
        caps = Caps()
        caps.divide(shares)
        with self._open() as file:
            for row in file.execute(_COUNTED, (mailbox, tenant, at - DAY, at + FUTURE_SECONDS)):
                caps.count(row[1], row[2], row[0])
            if (until := caps.until(mailbox, tenant, at, limits)) is None:
                file.execute(_SENT, (at, mailbox, tenant))
                file.execute(_OLD, (at - 2 * DAY,))
        return until

    def release(self, sent: Sent) -> None:
        """Uncount one message that was not sent after all. Raises NotKeptError."""
        with self._open() as file:
            file.execute(_NOT_SENT, _folded(sent))

    def add(self, messages: Iterable[Sent]) -> None:
        """Count what was sent and is not in the file. Raises NotKeptError."""
        with self._open() as file:
            file.executemany(_MISSING, map(_folded, messages))

    def prove_writable(self) -> None:
        """Write a row and take it away again, which needs room on the disk as a message does. Raises NotKeptError."""
        with self._open() as file:
            added = file.execute(_SENT, (0.0, "", ""))
            file.execute("DELETE FROM sent WHERE rowid = ?", (added.lastrowid,))

    def note_receivers(self, names: Mapping[str, str]) -> None:
        """Note by what name the receivers of these checks' messages give their results. Raises NotKeptError."""
        with self._open() as file:
            file.executemany(_RECEIVER, names.items())

    def receivers(self) -> dict[str, str]:
        """Return what was noted, by the check's name; nothing where it cannot be read."""
        if not self.is_there:
            return {}
        try:
            with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)) as file:
                return dict(file.execute(_RECEIVERS))
        except (sqlite3.Error, UnicodeError):
            return {}

    def move(self, seconds: float) -> None:
        """Move every message by the seconds by which the wall clock was set. Raises NotKeptError."""
        with self._open() as file:
            file.execute("UPDATE sent SET at = at + ?", (seconds,))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction, which is on the disk afterwards."""
        try:
            self._make()
            with closing(sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)) as file:
                file.execute("BEGIN IMMEDIATE")
                for statement in _TABLE.split(";")[:-1]:
                    file.execute(statement)
                yield file
                file.execute("COMMIT")
        except (sqlite3.Error, OSError, UnicodeError) as error:
            if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF in _DAMAGE:
                self._put_aside(error)
            raise NotKeptError(f"{self.path} cannot be written: {error}") from error

    def _make(self) -> None:
        """Make the file for its folder's owner: a command of root's must not take it from the agent."""
        if self.is_there:
            return
        make_private(self.path.parent)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        owner = self.path.parent.stat()
        if hasattr(os, "chown") and os.geteuid() == 0:
            os.chown(self.path, owner.st_uid, owner.st_gid)

    def _put_aside(self, error: Exception) -> None:
        try:
            aside = put_aside(self.path)
        except OSError:
            return
        _log.error("the journal of what was sent is damaged and was put aside", file=str(aside), error=str(error))


def _folded(sent: Sent) -> Sent:
    at, mailbox, tenant = sent
    return at, mailbox.casefold(), tenant.casefold()
