"""Silences in the state file: those that people made, not those of the configuration.

Rules of this file:
- A row is written at once, and emptied when its silence has ended; an empty row is deleted with the next cleaning.
- What cannot be read is dropped, and logged: a silence that is lost lets an alert through, which is the safe side.
"""

from functools import partial

import structlog

from smtpcheck.alerts.silence import Silence
from smtpcheck.state.database import Database, Values, Write
from smtpcheck.state.serialization import UnreadableReportError, pack, unpack_as

_SILENCE = Write("INSERT OR REPLACE INTO silences (id, silence) VALUES (?, ?)", every=0.5)
_ENDED = Write("DELETE FROM silences WHERE silence IS NULL", every=60.0)
_log = structlog.get_logger(__name__)


class SilenceRows:
    """The rows of silences; without a file nothing is kept."""

    def __init__(self, file: Database | None) -> None:
        self._file = file
        self._kept: dict[str, Silence] = {}

    async def fetch(self) -> tuple[Silence, ...]:
        """Return every silence that is kept."""
        query = "SELECT silence FROM silences WHERE silence IS NOT NULL ORDER BY id"
        rows = await self._file.read(query) if self._file else []
        self._kept = {silence.id: silence for (packed,) in rows if (silence := _unpacked(packed))}
        return tuple(self._kept.values())

    def put(self, silence: Silence) -> None:
        """Have a silence written."""
        self._kept[silence.id] = silence
        self._write(silence.id, silence)

    def end(self, identity: str) -> None:
        """Have a silence forgotten."""
        self._kept.pop(identity, None)
        self._write(identity, None)

    def put_all(self) -> None:
        """Have everything written, into a new file."""
        for silence in self._kept.values():
            self._write(silence.id, silence)

    def forget_old(self) -> None:
        """Have the rows deleted of what has ended."""
        if self._file is not None:
            self._file.put((_ENDED, "", tuple))

    def _write(self, identity: str, silence: Silence | None) -> None:
        if self._file is not None:
            self._file.put((_SILENCE, identity, partial(_row, identity, silence)), at_once=True)


def _row(identity: str, silence: Silence | None) -> Values:
    return identity, pack(silence) if silence else None


def _unpacked(packed: bytes) -> Silence | None:
    try:
        return unpack_as(packed, Silence)
    except UnreadableReportError as error:
        _log.warning("a stored silence cannot be read", error=str(error))
        return None
