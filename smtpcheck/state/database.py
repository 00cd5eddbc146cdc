"""The state file: SQLite behind one thread, so that the event loop never waits for a disk.

Rules of this file:
- One thread holds the one connection. Rows are put from the event loop and written in batches; of several rows for one
  key only the last is written. What was put is in the file at the latest `Write.every` seconds later, and whoever needs
  to know that it is on the disk waits for `commit`.
- What was asked of the thread is done, though whoever asked no longer waits for it.
- Rows that were put together are written together: a file never knows one without the other.
- A transaction is whole or not there, whenever the process is killed (WAL; https://www.sqlite.org/wal.html). Only
  `commit` waits for the disk itself; after a loss of power the last batches may be gone, as a whole.
- Trouble is said loudly and stops nothing: a file that cannot be written is tried again, and the rows are kept until
  then. A damaged file is renamed and a new one is begun. A file that could not even be opened is left alone until the
  next start, for to write into what was never read would be to forget it.
- One process uses the file: it is locked exclusively, which also needs no shared memory.
"""

import asyncio
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import structlog

from smtpcheck.state.history import merged_hours
from smtpcheck.state.schema import NewerFileError, migrate

BUSY_SECONDS = 15.0
"""How long a start waits for an agent before it that is still ending."""
RETRY_SECONDS = 10.0
"""How long after a failed write the next is tried."""
REMIND_SECONDS = 3600.0
"""How often the log repeats that nothing is being kept."""
CLOSE_SECONDS = 10.0
"""How long the end waits for the last rows to be written."""

_IDLE_SECONDS = 0.5
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_CACHE_KIB = 8192
_log = structlog.get_logger(__name__)
_T = TypeVar("_T")

Values = Sequence[object]
Make = Callable[[], Values]
"""Makes the values of a row; called in the thread."""


class NotKeptError(Exception):
    """What had to be on the disk is not; the message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Write:
    """One kind of row: the statement that writes it, with a place for each of its values."""

    statement: str
    every: float
    """Seconds within which such rows are gathered. Kinds with the same number are written in one transaction."""


class Database:
    """One state file and its thread."""

    def __init__(self, path: Path, on_new_file: Callable[["Database"], object]) -> None:
        """Take the file's path, and what to call in the event loop when a new file has taken a damaged one's place.

        Nothing is opened before `open`.
        """
        self.path = path
        self.error = ""
        """What hinders the keeping of the state, as a sentence; empty when nothing does."""
        self._on_new_file = on_new_file
        self._connection: sqlite3.Connection | None = None
        self._usable = True
        self._pending: dict[Write, dict[Hashable, Make]] = {}
        self._due: dict[float, float] = {}
        self._guard = threading.Lock()
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._retry_at = self._remind_at = 0.0
        self._renewed = threading.Event()
        self._renewed.set()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="state", daemon=True)

    async def open(self) -> None:
        """Open the file, or begin it. Where that fails `trouble` says why, and nothing will be kept."""
        self._thread.start()
        await self._call(self._open)

    def put(self, *rows: tuple[Write, Hashable, Make], at_once: bool = False) -> None:
        """Have rows written soon, or at once, each in place of one with the same key that is still waiting."""
        if not self._usable:
            return
        with self._guard:
            for write, key, make in rows:
                self._pending.setdefault(write, {})[key] = make
                if at_once:
                    self._due[write.every] = 0.0
        if at_once:
            self._jobs.put(_nothing)

    async def commit(self, statement: str, values: Values, *more: tuple[str, Values]) -> None:
        """Write a row, and more with it, and wait until all are on the disk, before what must not happen without them.

        Raises NotKeptError, and sqlite3.IntegrityError where the tables forbid a row; then none is written.
        """
        await self._call(lambda: self._commit_durably(((statement, values), *more)))

    async def read(self, statement: str, values: Values = (), *, settled: bool = True) -> list[tuple[Any, ...]]:
        """Return the rows of a query; none where the file cannot be read.

        When `settled`, all that was put before is in them; else what waits is not waited for, which is quick.
        """
        return await self._call(lambda: self._read(statement, values, settled=settled))

    async def close(self) -> None:
        """Write what is waiting, and close the file; at most `CLOSE_SECONDS`."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join, CLOSE_SECONDS)
        if self._thread.is_alive():
            _log.error("the state file was not closed in time; what was found last is not kept", file=str(self.path))

    # -- in the thread ------------------------------------------------------------------------------------------------

    async def _call(self, job: Callable[[], _T]) -> _T:
        """Do something in the thread and return what comes of it."""
        future: Future[_T] = Future()
        future.set_running_or_notify_cancel()  # from here on it cannot be cancelled, only be waited for no longer

        def run() -> None:
            try:
                future.set_result(job())
            except BaseException as error:  # noqa: BLE001
                future.set_exception(error)

        self._jobs.put(run)
        return await asyncio.wrap_future(future)

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                job = _nothing
            if job is None:
                break
            job()
            self._flush()
        self._retry_at = 0.0
        self._flush(everything=True)
        if not self._renewed.is_set():  # the file turned out to be damaged at the end
            self._renewed.wait(CLOSE_SECONDS / 2)
            self._flush(everything=True)
        self._close()

    def _flush(self, *, everything: bool = False) -> None:
        """Write what is due in one transaction; what cannot be written waits on."""
        now = time.monotonic()
        if self._connection is None or now < self._retry_at:
            return
        rows = self._take(now, everything=everything)
        if not rows:
            return
        try:
            with self._connection as connection:
                connection.execute("BEGIN IMMEDIATE")
                for write, waiting in rows.items():
                    connection.executemany(write.statement, _made(waiting))
        except sqlite3.Error as error:
            self._put_back(rows)
            self._failed(error)
        else:
            self._succeeded()

    def _take(self, now: float, *, everything: bool) -> dict[Write, dict[Hashable, Make]]:
        """Take away the rows that are due."""
        with self._guard:
            due = {write.every for write in self._pending if everything or self._due.get(write.every, 0.0) <= now}
            self._due |= {every: now + every for every in due}
            return {write: self._pending.pop(write) for write in tuple(self._pending) if write.every in due}

    def _put_back(self, rows: dict[Write, dict[Hashable, Make]]) -> None:
        with self._guard:
            for write, older in rows.items():
                self._pending[write] = older | self._pending.get(write, {})
                self._due[write.every] = 0.0

    def _commit_durably(self, rows: Sequence[tuple[str, Values]]) -> None:
        if self._connection is None:
            raise NotKeptError(self.error)
        try:
            self._connection.execute("PRAGMA synchronous = FULL")
            try:
                with self._connection as connection:
                    connection.execute("BEGIN IMMEDIATE")
                    for statement, values in rows:
                        connection.execute(statement, values)
            finally:
                self._connection.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            self._failed(error)
            raise NotKeptError(self.error) from error
        self._succeeded()

    def _read(self, statement: str, values: Values, *, settled: bool) -> list[tuple[Any, ...]]:
        if settled:
            self._flush(everything=True)
        if self._connection is None:
            return []
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            self._failed(error)
            return []

    def _open(self) -> None:
        try:
            self._connect()
        except sqlite3.Error as error:
            self._failed(error)
        except (OSError, NewerFileError) as error:
            self._report_error(str(error))
        if self._connection is None:
            self._usable = False

    def _connect(self) -> None:
        """Open the file, made with mode 0600 if it is missing, and bring it to this version."""
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600))
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            connection.create_function("merged_hours", 2, merged_hours, deterministic=True)
            migrate(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _close(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _failed(self, error: sqlite3.Error) -> None:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE:
            self._replace_damaged(error)
        else:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            self._report_error(str(error))

    def _replace_damaged(self, error: sqlite3.Error) -> None:
        """Keep the damaged file aside, and begin a new one with what is in memory."""
        self._close()
        aside = f"{self.path}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        try:
            self.path.replace(aside)
            for suffix in ("-wal", "-shm"):
                with suppress(FileNotFoundError):
                    Path(f"{self.path}{suffix}").replace(aside + suffix)
            self._connect()
        except (OSError, sqlite3.Error) as second:
            self._usable = False
            self._report_error(f"{error}; and no new file could be begun: {second}")
            return
        _log.error(
            "the state file was damaged: it is kept aside, and a new one is begun", aside=aside, error=str(error)
        )
        self._renewed.clear()
        self._loop.call_soon_threadsafe(self._renew)

    def _renew(self) -> None:
        """In the event loop: put all that is in memory."""
        self._on_new_file(self)
        self._renewed.set()

    def _report_error(self, reason: str) -> None:
        """Say what hinders: at once when it is new, and again each hour."""
        now = time.monotonic()
        error = f"the state file {self.path} cannot be used: {reason}; all that is found is kept in memory only"
        if error != self.error or now >= self._remind_at:
            self.error, self._remind_at = error, now + REMIND_SECONDS
            _log.error(error)

    def _succeeded(self) -> None:
        if self.error:
            self.error = ""
            _log.info("the state is kept again", file=str(self.path))


def _made(rows: dict[Hashable, Make]) -> list[Values]:
    """Return the values of rows; one that cannot be made is a fault of ours and costs only itself."""
    made = []
    for key, make in rows.items():
        try:
            made.append(make())
        except Exception:  # noqa: BLE001
            _log.exception("internal error: what was found of a check cannot be kept", key=key)
    return made


def _nothing() -> None:
    """Be the job that only wakes the thread."""
