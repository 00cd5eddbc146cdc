"""What was read of each file of a configuration, so that a change of any of them can be seen.

Rules of this file:
- A file is known by a digest of its content. Times are not looked at: they are the same where a file is replaced within
  the clock's step, and differ where nothing has changed.
- What cannot be read has an empty digest. Only regular files are read again: a pipe gives its content once.
"""

import hashlib
from pathlib import Path


class Contents:
    """Reads files, and keeps the digest of each."""

    def __init__(self) -> None:
        self.digests: dict[Path, str] = {}
        """By file; empty for one that could not be read."""

    def read(self, path: Path) -> bytes:
        """Return the content of a file. Raises OSError or ValueError."""
        self.digests[path] = ""
        content = path.read_bytes()
        self.digests[path] = _digest(content)
        return content


def digest_of(path: Path) -> str:
    """Return the digest of a regular file as it is now, empty where it cannot be read. Blocks."""
    try:
        return _digest(path.read_bytes()) if path.is_file() else ""
    except (OSError, ValueError):
        return ""


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
