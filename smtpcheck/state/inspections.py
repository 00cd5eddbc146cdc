"""The readings of inspections in the state file, one for each credential that is inspected.

Rules of this file:
- What cannot be read is dropped and logged: the next reading then has nothing to be compared with.
- Of a credential that is no longer inspected the row is emptied, and deleted with the next cleaning.
"""

from collections.abc import Collection, Mapping
from functools import partial
from types import MappingProxyType

import structlog

from smtpcheck.model.inspection_reading import KeptReading
from smtpcheck.state.database import Database, Values, Write
from smtpcheck.state.serialization import UnreadableReportError, pack, unpack_as

_READING = Write("INSERT OR REPLACE INTO inspections (credential, reading) VALUES (?, ?)", every=2.0)
_ENDED = Write("DELETE FROM inspections WHERE reading IS NULL", every=60.0)
_log = structlog.get_logger(__name__)


class InspectionRows:
    """The rows of readings; without a file they are in memory alone."""

    def __init__(self, file: Database | None) -> None:
        self._file = file
        self._kept: dict[str, KeptReading] = {}

    @property
    def readings(self) -> Mapping[str, KeptReading]:
        """Return what is kept, by credential."""
        return MappingProxyType(self._kept)

    async def fetch(self) -> None:
        """Take into memory what the file has."""
        query = "SELECT credential, reading FROM inspections WHERE reading IS NOT NULL"
        for credential, packed in await self._file.read(query) if self._file else []:
            if (reading := _unpacked(packed)) is not None:
                self._kept[credential] = reading

    def put(self, credential: str, reading: KeptReading) -> None:
        """Have a reading written."""
        self._kept[credential] = reading
        self._write(credential, reading)

    def only(self, credentials: Collection[str]) -> None:
        """Have the readings of all other credentials forgotten."""
        for credential in self._kept.keys() - set(credentials):
            del self._kept[credential]
            self._write(credential, None)

    def put_all(self) -> None:
        """Have everything written, into a new file."""
        for credential, reading in self._kept.items():
            self._write(credential, reading)

    def forget_old(self) -> None:
        """Have the rows deleted of what is no longer inspected."""
        if self._file is not None:
            self._file.put((_ENDED, "", tuple))

    def _write(self, credential: str, reading: KeptReading | None) -> None:
        if self._file is not None:
            self._file.put((_READING, credential, partial(_row, credential, reading)))


def _row(credential: str, reading: KeptReading | None) -> Values:
    return credential, pack(reading) if reading else None


def _unpacked(packed: bytes) -> KeptReading | None:
    try:
        return unpack_as(packed, KeptReading)
    except UnreadableReportError as error:
        _log.warning("a stored inspection cannot be read", error=str(error))
        return None
