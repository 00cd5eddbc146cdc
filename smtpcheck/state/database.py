"""The state file: SQLite behind one thread, so that the event loop never waits for a disk.

Rules of this file:
- One thread holds the one connection. Rows are put from the event loop and written in batches; of several rows for one
  key only the last is written. What was put is in the file at the latest `Write.every` seconds later; a caller that
  needs it on the disk waits for `commit`.
- What the thread was asked to do is done, even if the caller no longer waits for it. Only `close` ends the thread.
- Rows that were put together are written together: a file never has one without the other. A row that SQLite refuses
  is dropped, loudly, and holds back no other.
- A transaction is whole or not there, whenever the process is killed (WAL; https://www.sqlite.org/wal.html). Only
  `commit` waits for the disk itself; after a loss of power the last batches may be gone, as a whole.
- An error is logged and stops nothing: a file that cannot be written is tried again, and the rows are kept until then.
  A damaged file is renamed; what can be read of it, and all that is in memory, goes into a new one. A file that was
  removed is begun again from memory. One that could not even be opened is left alone until the next start, for to write
  into what was never read would be to forget it.
- One process uses the file: it is locked exclusively, which also needs no shared memory. A second one is refused.
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
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog

from smtpcheck.limits.mailbox_lock import make_private
from smtpcheck.state.history import merged_hours
from smtpcheck.state.salvage import put_aside, salvage
from smtpcheck.state.schema import DamagedFileError, NewerFileError, migrate, verify

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
_IN_USE = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_OF_THE_SYSTEM = _IN_USE | {
    *(sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM),
    *(sqlite3.SQLITE_AUTH, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOLFS),
}
"""Errors at an opening that say nothing of what is in the file."""
_REFUSED = (
    *(sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError),
    *(ValueError, TypeError, OverflowError),
)
"""Errors of one row, whatever the disk does: a value that does not fit, or a text with a lone surrogate."""
_CACHE_KIB = 2048
_log = structlog.get_logger(__name__)
_T = TypeVar("_T")

Values = Sequence[object]
Make = Callable[[], Values]
"""Makes the values of a row; called in the thread."""
Rows = Sequence[tuple[str, list[Values]]]
"""Statements, each with the values of its rows."""


class NotKeptError(Exception):
    """What had to be on the disk is not; the message says why."""


class InUseError(Exception):
    """Another process has the file."""


@dataclass(frozen=True, slots=True, eq=False)
class Write:
    """One kind of row: the statement that writes it, with a place for each of its values."""

    statement: str
    every: float
    """Seconds within which such rows are gathered. Kinds with the same number are written in one transaction."""


class Database:
    """One state file and its thread."""

    def __init__(
        self,
        path: Path,
        on_new_file: Callable[["Database"], object],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Use the file at `path`; nothing is opened before `open`.

        `on_new_file` is called in the event loop when a new file has taken the place of a damaged or removed one.
        """
        self.path = path
        self.error = ""
        """Why the state is not kept, as a sentence; empty while it is."""
        self._on_new_file = on_new_file
        self._monotonic = monotonic
        self._connection: sqlite3.Connection | None = None
        self._usable = True
        self._descriptor: int | None = None
        """Of the open file, by which it is seen that the file was removed; SQLite's own is not to be had."""
        self._pending: dict[Write, dict[Hashable, Make]] = {}
        self._due: dict[float, float] = {}
        self._guard = threading.Lock()
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._retry_at = self._remind_at = 0.0
        self._is_behind = False
        """Whether rows wait that could not be written."""
        self._renewed = threading.Event()
        self._renewed.set()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="state", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Return whether the thread that reads and writes is there; True before `open`."""
        return self._thread.ident is None or self._thread.is_alive()

    async def open(self) -> None:
        """Open the file, or begin it. Where that fails `error` says why, and nothing will be kept.

        Raises InUseError where another process still has it after `BUSY_SECONDS`.
        """
        self._thread.start()
        try:
            await self._call(self._open)
        except InUseError:
            await self.close()
            raise

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
            _log.error("the state file was not closed in time; the latest results are lost", file=str(self.path))

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
            self._guarded(job)
            self._guarded(self._flush)
        self._retry_at = 0.0
        for _ in range(2):  # again where the file turns out to be damaged at the end
            self._renewed.wait(CLOSE_SECONDS / 2)
            self._guarded(partial(self._flush, everything=True))
        self._close()

    def _guarded(self, job: Callable[[], object]) -> None:
        """Do something that ends this thread in no case."""
        try:
            job()
        except Exception as error:  # noqa: BLE001
            self._retry_at = self._monotonic() + RETRY_SECONDS
            _log.exception("internal error", file=str(self.path))
            self._report_error(f"{type(error).__name__}: {error}")

    def _flush(self, *, everything: bool = False) -> None:
        """Write what is due in one transaction; what cannot be written waits for the next time."""
        self._look_for_file()
        now = self._monotonic()
        if self._connection is None or now < self._retry_at:
            return
        rows = self._take(now, everything=everything)
        if not rows:
            return
        made = [(write.statement, _made(waiting)) for write, waiting in rows.items()]
        try:
            try:
                self._write(made, _execute_all)
            except _REFUSED:
                self._write(made, _execute_each)
        except Exception as error:  # noqa: BLE001 - whatever it is, the rows are kept
            self._is_behind = True
            self._put_back(rows)
            self._failed(error)
        else:
            self._is_behind = False
            self._succeeded()

    def _write(self, rows: Rows, execute: Callable[[sqlite3.Connection, str, list[Values]], None]) -> None:
        if self._connection is None:
            return
        with self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement, values in rows:
                execute(connection, statement, values)

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
        self._look_for_file()
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
        except _REFUSED as error:
            raise NotKeptError(str(error)) from error
        except sqlite3.Error as error:
            self._failed(error)
            raise NotKeptError(self.error or str(error)) from error
        self._succeeded()

    def _read(self, statement: str, values: Values, *, settled: bool) -> list[tuple[Any, ...]]:
        if settled:
            self._flush(everything=True)
        for _ in range(2):  # again from the file that has taken the place of a damaged one
            if self._connection is None:
                break
            try:
                return self._connection.execute(statement, values).fetchall()
            except (sqlite3.Error, UnicodeError) as error:
                self._failed(error)
                if not _is_damage(error):
                    break
        return []

    def _open(self) -> None:
        try:
            self._connect()
        except (OSError, NewerFileError) as error:
            self._report_error(str(error))
        except (sqlite3.Error, DamagedFileError) as error:
            if _code(error) in _IN_USE:
                raise InUseError(str(error)) from error
            self._failed(error)
        if self._connection is None:
            self._usable = False

    def _connect(self) -> None:
        """Open the file, made with mode 0600 if it is missing, and bring it to this version."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            _prepare(connection)
            migrate(connection)
        except BaseException:
            connection.close()
            os.close(descriptor)  # not before: it would give up SQLite's locks (fcntl(2))
            raise
        self._connection, self._descriptor = connection, descriptor

    def _look_for_file(self) -> None:
        """Make sure that what is written goes into the file of that name, and not into one that was removed."""
        if self._connection is None:
            return
        try:
            is_there = self.path.exists()
        except OSError:  # what is wrong shows when it is written
            return
        if self._descriptor is None or (is_there and os.fstat(self._descriptor).st_nlink > 0):
            return
        self._close()
        if is_there:
            self._usable = False
            self._report_error("another file has taken its place while it was in use")
            return
        try:
            make_private(self.path.parent)
            self._connect()
        except (OSError, sqlite3.Error, DamagedFileError) as error:
            self._usable = False
            self._report_error(f"it was removed while it was in use, and no new one can be begun: {error}")
            return
        _log.error("the state file was removed while it was in use: a new one is begun", file=str(self.path))
        self._renew_soon()

    def _close(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _failed(self, error: Exception) -> None:
        if _is_damage(error):
            self._replace_damaged(error)
        else:
            self._retry_at = self._monotonic() + RETRY_SECONDS
            self._report_error(str(error))

    def _replace_damaged(self, error: Exception) -> None:
        """Keep the damaged file aside, and begin a new one with what can be read of it and what is in memory."""
        was_open = self._connection is not None
        self._close()
        try:
            aside = put_aside(self.path)
            self._connect()
            count = salvage(aside, self._connection) if self._connection else 0
        except (OSError, sqlite3.Error, DamagedFileError) as second:
            self._usable = False
            self._report_error(f"{error}; and no new file could be created: {second}")
            return
        _log.error(
            "the state file was damaged: it is kept aside, and a new one is created with what could be read of it",
            aside=str(aside),
            rows=count,
            error=str(error),
        )
        if was_open:
            self._renew_soon()

    def _renew_soon(self) -> None:
        self._renewed.clear()
        self._loop.call_soon_threadsafe(self._renew)

    def _renew(self) -> None:
        """In the event loop: put all that is in memory."""
        self._on_new_file(self)
        self._renewed.set()

    def _report_error(self, reason: str) -> None:
        """Log an error: at once when it is new, and again each hour."""
        now = self._monotonic()
        error = f"the state file {self.path} cannot be used: {reason}; results are kept in memory only"
        if error != self.error or now >= self._remind_at:
            self.error, self._remind_at = error, now + REMIND_SECONDS
            _log.error(error)

    def _succeeded(self) -> None:
        if self.error and not self._is_behind:
            self.error = ""
            _log.info("the state is stored again", file=str(self.path))


def _prepare(connection: sqlite3.Connection) -> None:
    """Set a connection up, and look whether the file is whole. Raises DamagedFileError where it is not."""
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.create_function("merged_hours", 2, merged_hours, deterministic=True)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("PRAGMA user_version = 0")  # refused by a file that says of itself that it is read-only
        connection.execute("ROLLBACK")
        verify(connection)
    except (sqlite3.Error, UnicodeError, TypeError, ValueError, OverflowError) as error:
        if _code(error) in _OF_THE_SYSTEM:
            raise
        raise DamagedFileError(str(error)) from error


def _code(error: Exception) -> int:
    """Return SQLite's own code of an error, without its details; 0 where there is none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _is_damage(error: Exception) -> bool:
    """Return whether an error says that what is in the file is not what was written."""
    undecodable = isinstance(error, sqlite3.OperationalError) and not hasattr(error, "sqlite_errorcode")
    return undecodable or _code(error) in _DAMAGE or isinstance(error, (DamagedFileError, UnicodeError))


def _execute_all(connection: sqlite3.Connection, statement: str, rows: list[Values]) -> None:
    connection.executemany(statement, rows)


def _execute_each(connection: sqlite3.Connection, statement: str, rows: list[Values]) -> None:
    """Write rows one by one; one that is refused costs only itself."""
    for values in rows:
        try:
            connection.execute(statement, values)
        except _REFUSED as error:
            _log.exception("internal error: a row that the state file refuses is dropped", error=str(error))


def _made(rows: dict[Hashable, Make]) -> list[Values]:
    """Return the values of rows; one that cannot be made is a fault of ours and costs only itself."""
    made = []
    for key, make in rows.items():
        try:
            made.append(make())
        except Exception:  # noqa: BLE001
            _log.exception("internal error: the result of a check cannot be stored", key=key)
    return made


def _nothing() -> None:
    """Be the job that only wakes the thread."""
