"""The key of the correlation ids, by which the agent knows its own messages; in the state folder.

Rules of this file:
- It is made once, whole or not at all, with mode 0600. With it one can have messages deleted from the mailboxes that
  are searched, and nothing else.
- Without it messages that were sent before are those of third parties, and left alone.
"""

import os
from collections.abc import Callable
from pathlib import Path

import structlog

from smtpcheck.system import SYSTEM

FILE_NAME = "loopback.key"
_SIZE = 32
_log = structlog.get_logger(__name__)


def load_signing_key(folder: Path, octets: Callable[[int], bytes] = SYSTEM.octets) -> bytes:
    """Return the key in the folder, which is made there if there is none; where that fails, one for this time only.

    `octets` gives random ones. Blocks on the disk.
    """
    path = folder / FILE_NAME
    try:
        return _read(path) or _make(path, octets(_SIZE))
    except OSError as error:
        _log.error(
            "the key of the correlation ids cannot be stored: current messages are unknown after a restart",
            error=str(error),
        )
        return octets(_SIZE)


def _read(path: Path) -> bytes | None:
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(key) == _SIZE:
        return key
    _log.error(
        "the key of the correlation ids was damaged: a new one is made, earlier messages are unknown",
        file=str(path),
    )
    path.unlink()
    return None


def _make(path: Path, key: bytes) -> bytes:
    """Keep a new key; of several processes that do so at once one wins, and all return its key."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        except OSError:  # SMB and some volumes of Kubernetes know no hard links
            _copy_exclusively(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return path.read_bytes()


def _copy_exclusively(draft: Path, path: Path) -> None:
    """Write the key where no link can be made; another process's key stays."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "wb") as file:
        file.write(draft.read_bytes())
        file.flush()
        os.fsync(file.fileno())
