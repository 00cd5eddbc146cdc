"""A key in a file, as it was read last.

Rules of this file:
- The file is looked at for each use, and read again when it or the passphrase has changed.
- To parse an RSA key takes some 50 ms, for OpenSSL proves its primes, and nothing else of the process runs meanwhile.
  So no request parses a key that it has, and keys are parsed one at a time: of several threads that do, the event loop
  would wait for all.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from smtpcheck.secrets.file_state import FileState, file_state
from smtpcheck.secrets.secret import Secret

PARSING = threading.Lock()
"""Held while a key is parsed."""
_Key = TypeVar("_Key")


class KeptKey(Generic[_Key]):
    """The key in one file; not for two threads at once."""

    def __init__(self, path: Path, load: Callable[[Path, Secret | None], _Key]) -> None:
        """Read it by `load`, when it is first asked for."""
        self._path, self._load = path, load
        self._kept: tuple[FileState, Secret | None, _Key] | None = None

    def read(self, passphrase: Secret | None = None) -> _Key:
        """Return the key as the file has it now. Blocks on the file. Raises what `load` raises."""
        state = file_state(self._path)
        if self._kept is not None and self._kept[:2] == (state, passphrase):
            return self._kept[2]
        self._kept, key = None, self._load(self._path, passphrase)
        if state is not None:
            self._kept = (state, passphrase, key)
        return key
