"""Silences in the state file: those that people made, not those of the configuration.

Rules of this file:
- A row is written at once. One whose silence has ended stays as long as the history of checks, for reports say what was
  silenced.
- What cannot be read is dropped, and logged: a silence that is lost lets an alert through, which is the safe side.
"""

from functools import partial

import structlog

from smtpcheck.alerts.silence import Silence
from smtpcheck.state.database import Database, Values, Write
from smtpcheck.state.serialization import UnreadableReportError, pack, unpack_as

_SILENCE = Write("INSERT OR REPLACE INTO silences (id, ends_at, silence) VALUES (?, ?, ?)", every=0.5)
_OLD = Write("DELETE FROM silences WHERE ends_at < ?", every=60.0)
_log = structlog.get_logger(__name__)


class SilenceRows:
    """The rows of silences; without a file nothing is kept."""

    def __init__(self, file: Database | None) -> None:
        self._file = file
        self._kept: dict[str, Silence] = {}

    async def fetch(self, now: float) -> tuple[Silence, ...]:
        """Return every silence that is kept and has not ended at Unix time `now`."""
        query = "SELECT silence FROM silences WHERE ends_at > ? ORDER BY id"
        rows = await self._file.read(query, (now,)) if self._file else []
        self._kept = {silence.id: silence for (packed,) in rows if (silence := _unpacked(packed))}
        return tuple(self._kept.values())

    def put(self, silence: Silence) -> None:
        """Have a silence written, in place of what was written of it before."""
        self._kept[silence.id] = silence
        self._write(silence)

    def put_all(self) -> None:
        """Have everything written, into a new file."""
        for silence in self._kept.values():
            self._write(silence)

    def forget_old(self, before: float) -> None:
        """Have the file drop what ended before that Unix time."""
        self._kept = {name: silence for name, silence in self._kept.items() if silence.ends_at >= before}
        if self._file is not None:
            self._file.put((_OLD, "", lambda: (before,)))

    def _write(self, silence: Silence) -> None:
        if self._file is not None:
            self._file.put((_SILENCE, silence.id, partial(_row, silence)), at_once=True)


def _row(silence: Silence) -> Values:
    return silence.id, silence.ends_at, pack(silence)


def _unpacked(packed: bytes) -> Silence | None:
    try:
        return unpack_as(packed, Silence)
    except UnreadableReportError as error:
        _log.warning("a stored silence cannot be read", error=str(error))
        return None
