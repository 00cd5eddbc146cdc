"""Reads a body as far as its limit, which counts octets after decompression.

Rule of this file: only gzip is asked for (`ACCEPT_ENCODING`), so only gzip is decoded; anything else is a `BodyError`.
"""

import zlib

ACCEPT_ENCODING = "gzip"
CHUNK = 64 * 1024
_GZIP = 16 + zlib.MAX_WBITS
_SLACK = 64 * 1024
"""How many octets the compressed form may have beyond the limit."""


class BodyError(Exception):
    """The body is not in the encoding that its header names."""


class BodyReader:
    """Takes a body chunk by chunk."""

    def __init__(self, encoding: str, limit: int) -> None:
        """Read a body with this Content-Encoding, at most `limit` octets of it. Raises BodyError."""
        self._limit = limit
        self._body = bytearray()
        self._compressed = 0
        self._gzip = None
        match encoding.strip().lower():
            case "" | "identity":
                pass
            case "gzip" | "x-gzip":
                self._gzip = zlib.decompressobj(_GZIP)
            case other:
                raise BodyError(f"the response has the Content-Encoding {other[:40]!r}, which was not asked for")

    @property
    def is_full(self) -> bool:
        """Return whether there is more than fits the limit; nothing further need be read."""
        return len(self._body) > self._limit or self._compressed > self._limit + _SLACK

    def feed(self, chunk: bytes) -> None:
        """Take the next octets from the connection. Raises BodyError."""
        if self._gzip is None:
            self._body += chunk
            return
        self._compressed += len(chunk)
        try:
            while chunk and not self.is_full:
                if self._gzip.eof:  # a further member (RFC 1952 2.2)
                    self._gzip = zlib.decompressobj(_GZIP)
                self._body += self._gzip.decompress(chunk, self._limit + 1 - len(self._body))
                chunk = self._gzip.unused_data
        except zlib.error as error:
            raise BodyError(f"the response is not gzip, as its header says ({error})") from None

    def finish(self) -> bytes:
        """Return what was read, at most `limit` octets. Raises BodyError where the compressed form breaks off."""
        if self._gzip is not None and self._compressed and not self._gzip.eof and not self.is_full:
            raise BodyError("the compressed response is truncated")
        return bytes(self._body[: self._limit])
