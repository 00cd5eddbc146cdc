"""Whether a file has changed since it was read: a secret, a key, a certificate, a CA file.

Rule of this file: time, size and inode together count, so a file that is replaced within the clock's step shows too.
"""

import os
from pathlib import Path

FileState = tuple[int, int, int]
"""Equal for two looks at a file between which it has not changed."""


def file_state(path: Path) -> FileState | None:
    """Return the state of a file, None where there is no such file or it cannot be seen. Blocks briefly."""
    try:
        return state_of(path.stat())
    except (OSError, ValueError):
        return None


def state_of(found: os.stat_result) -> FileState:
    """Return the state of a file that has been looked at already."""
    return found.st_mtime_ns, found.st_size, found.st_ino
