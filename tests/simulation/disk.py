"""The state file of a simulated agent: a real one, whose jobs run in the loop.

Rules of this file:
- A job is done at once and its result delivered later, so the file is always between two commits: a kill is a copy of
  file and WAL at any moment.
- Of a dead process nothing is written any more.
"""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TypeVar

from smtpcheck.state.database import Database as RealDatabase
from smtpcheck.state.database import InUseError, Make, Write
from tests.simulation.loop import VirtualLoop

_IDLE_SECONDS = 0.5
_ENDLESS = 1 << 30
_T = TypeVar("_T")


class Database(RealDatabase):
    """Does what the thread does, without one."""

    def __init__(self, path: Path, on_new_file: Callable[[RealDatabase], object], *, loop: VirtualLoop) -> None:
        super().__init__(path, on_new_file, monotonic=loop.time)
        self.is_full = False
        self._virtual = loop
        self._alive, self._flushing = True, False

    @property
    def is_alive(self) -> bool:
        return self._alive

    async def open(self) -> None:
        try:
            await self._call(self._open)
        except InUseError:
            await self.close()
            raise

    def put(self, *rows: tuple[Write, Hashable, Make], at_once: bool = False) -> None:
        super().put(*rows, at_once=at_once)
        if self._pending and not self._flushing:
            self._flushing = True
            self._virtual.call_later(_IDLE_SECONDS, self._flush_later)

    async def close(self) -> None:
        await self._call(self._end)

    def die(self, aside: Path) -> None:
        """End as a killed process does, and leave what is in the file in the folder `aside`."""
        aside.mkdir(mode=0o700)
        for path in sorted(self.path.parent.iterdir()):
            if path.is_file() and not path.name.endswith("-shm"):
                shutil.copyfile(path, aside / path.name)
        self._alive = False
        self._close()

    def fill_disk(self, *, full: bool) -> None:
        """Let the file grow no more, or again."""
        self.is_full = full
        if self._connection is not None:
            most = self._connection.execute("PRAGMA page_count").fetchone()[0] if full else _ENDLESS
            self._connection.execute(f"PRAGMA max_page_count = {most}")

    def _connect(self) -> None:
        super()._connect()
        if self.is_full:
            self.fill_disk(full=True)

    async def _call(self, job: Callable[[], _T]) -> _T:
        if not self._alive:
            await asyncio.get_running_loop().create_future()

        def run() -> _T:
            try:
                return job()
            finally:
                self._guarded(self._flush)

        return await self._virtual.run_job(run)  # type: ignore[no-any-return]

    def _end(self) -> None:
        self._retry_at = 0.0
        for _ in range(2):
            self._guarded(lambda: self._flush(everything=True))
        self._alive = False
        self._close()

    def _flush_later(self) -> None:
        self._flushing = False
        if not self._alive:
            return
        self._guarded(self._flush)
        if self._pending:
            due = min(self._due.get(write.every, 0.0) for write in self._pending)
            self._flushing = True
            wait = max(_IDLE_SECONDS, max(due, self._retry_at) - self._virtual.time())
            self._virtual.call_later(wait, self._flush_later)


def octets_of(folder: Path) -> bytes:
    """Return all that is stored in a folder's state file, unpacked where it is packed."""
    import zlib

    found = []
    with sqlite3.connect(folder / "state.db") as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in connection.execute(f"SELECT * FROM {table}"):
                for value in row:
                    octets = value if isinstance(value, bytes) else str(value).encode()
                    try:
                        found.append(zlib.decompress(octets))
                    except zlib.error:
                        found.append(octets)
    connection.close()
    return b"\n".join(found)
