"""The correlation id of a message: by it we recognise our own messages, whatever becomes of their headers.

Rules of this file:
- Pure: key and time enter as arguments.
- An id is letters and digits alone, so it is unchanged in a header, a subject, an IMAP search (which ignores case)
  and a URL. It says nothing of the check but a checksum of its name.
- Nobody without the key can make one: 112 bits of HMAC-SHA-256 (RFC 2104 5 allows to truncate to no less than half of
  the hash or 80 bits; what is in the mailbox of another agent is foreign). Only what `CorrelationIds.read` accepts
  is ours.
"""

import base64
import binascii
import hashlib
import hmac
import struct
from dataclasses import dataclass

PREFIX = "sc1"
"""With the version of the form."""
LENGTH = len(PREFIX) + 48

_FIELDS = struct.Struct(">8sII")
_MAC_SIZE = 14


@dataclass(frozen=True, slots=True)
class CorrelationId:
    """What an id says."""

    check: bytes
    """A checksum of the check's name: compare it with `checksum`."""
    sequence: int
    at: int
    """When it was made (Unix seconds)."""


class CorrelationIds:
    """Makes ids, and recognises its own."""

    def __init__(self, key: bytes) -> None:
        """Sign with a key of 32 bytes or more; ValueError where it is shorter."""
        if len(key) < 32:
            raise ValueError("the key of correlation ids has 32 bytes or more")
        self._key = key

    def make(self, check: str, sequence: int, at: float) -> str:
        """Return the id of message number `sequence` of a check, made at Unix time `at`."""
        fields = _FIELDS.pack(checksum(check), sequence & 0xFFFFFFFF, int(at) & 0xFFFFFFFF)
        return PREFIX + base64.b32encode(fields + self._mac(fields)).decode().lower()

    def read(self, text: str) -> CorrelationId | None:
        """Return what one of our ids says, in whatever case it is written; None for every other text."""
        if len(text) != LENGTH or not text.isascii() or text[: len(PREFIX)].lower() != PREFIX:
            return None
        try:
            raw = base64.b32decode(text[len(PREFIX) :].upper())
        except binascii.Error:
            return None
        fields, mac = raw[:-_MAC_SIZE], raw[-_MAC_SIZE:]
        if not hmac.compare_digest(mac, self._mac(fields)):
            return None
        return CorrelationId(*_FIELDS.unpack(fields))

    def is_ours(self, text: str) -> bool:
        """Return whether the text is one of our ids."""
        return self.read(text) is not None

    def _mac(self, fields: bytes) -> bytes:
        return hmac.digest(self._key, PREFIX.encode() + fields, "sha256")[:_MAC_SIZE]


def checksum(check: str) -> bytes:
    """Return what represents a check's name in its ids."""
    return hashlib.sha256(check.encode("utf-8", "replace")).digest()[:8]
