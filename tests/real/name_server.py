"""A name server of the tests (RFC 1035) that knows a few TXT records, for servers that cannot be asked to use a file.

Such a server runs in a mount namespace of its own, in which /etc/resolv.conf names this one: see `in_namespace`. Where
the system does not allow that, there is none.
"""

import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

_TXT, _NO_ERROR, _NO_SUCH_NAME = 16, 0, 3
_ANSWER = 0x8580
"""A response, authoritative, recursion desired and available (RFC 1035 4.1.1)."""


class NameServer:
    """Answers for TXT records; of every other name it says that there is none."""

    def __init__(self, records: Mapping[str, str], address: str) -> None:
        """Listen on port 53 of a loopback address, for a resolv.conf names no port. Raises OSError."""
        self.address = address
        self.asked: list[str] = []
        self._records = {name.lower(): text for name, text in records.items()}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 53))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                query, client = self._socket.recvfrom(4096)
                self._socket.sendto(self._answer(query), client)
            except OSError:
                return

    def _answer(self, query: bytes) -> bytes:
        name, end = _name(query)
        self.asked.append(name)
        (kind,) = struct.unpack_from("!H", query, end)
        text = self._records.get(name)
        known = text is not None or any(each.endswith(f".{name}") for each in self._records)
        found = text is not None and kind == _TXT
        code = _NO_ERROR if known else _NO_SUCH_NAME
        header = query[:2] + struct.pack("!HHHHH", _ANSWER | code, 1, int(found), 0, 0)
        question = query[12 : end + 4]
        if text is None or not found:
            return header + question
        data = bytes([len(text)]) + text.encode()
        return header + question + struct.pack("!HHHIH", 0xC00C, _TXT, 1, 60, len(data)) + data


def _name(query: bytes) -> tuple[str, int]:
    """Return the name that is asked for, and where its type begins."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii", "replace").lower())
        at += 1 + query[at]
    return ".".join(labels), at + 1


def in_namespace(command: Sequence[str | Path], resolv_conf: Path) -> list[str | Path]:
    """Return the command as it runs where that file is /etc/resolv.conf."""
    script = f'mount --bind "{resolv_conf}" /etc/resolv.conf && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh", *command]


def has_namespaces() -> bool:
    """Return whether a process may have a mount namespace of its own."""
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run(
        ["unshare", "--mount", "mount", "--bind", "/dev/null", "/etc/resolv.conf"], capture_output=True, check=False
    )
    return tried.returncode == 0
