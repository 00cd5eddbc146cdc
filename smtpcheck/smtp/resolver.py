"""Names to addresses without stalling the agent.

Rules of this file:
- `getaddrinfo` cannot be cancelled, so it runs in daemon threads of its own, at most `MAX_LOOKUPS` at a time: a dead
  name server holds up neither the event loop nor the end of the process.
- Single flight: checks that ask for the same name at the same time share one lookup, and its answer, good or bad,
  serves those who ask within `SHARED_SECONDS` more. Ten thousand checks of one host so cost one lookup a second, and
  a check still sees the name service as it was in that second.
- An address instead of a name is answered at once, and its answer, which never changes, is remembered.
- The seconds of a lookup are measured in its thread: waiting for a place is not counted.
"""

import asyncio
import contextlib
import ipaddress
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass

from smtpcheck.model.check import IpVersion
from smtpcheck.model.report import Fault, FaultKind

MAX_LOOKUPS = 32
SHARED_SECONDS = 1.0

SocketAddress = tuple[str, int] | tuple[str, int, int, int]

AddressInfo = tuple[int, int, int, str, SocketAddress]
"""A row of `socket.getaddrinfo`."""

_FAMILIES = {IpVersion.ANY: socket.AF_UNSPEC, IpVersion.V4: socket.AF_INET, IpVersion.V6: socket.AF_INET6}

_NOT_FOUND = frozenset(
    code
    for code in (getattr(socket, name, None) for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY"))
    if code is not None
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the name service said."""

    addresses: tuple[AddressInfo, ...]
    seconds: float
    """How long the lookup took, without waiting for a place."""
    fault: Fault | None = None


_Key = tuple[str, int, IpVersion]


class Resolver:
    """Looks up names for one event loop."""

    def __init__(self) -> None:
        self._flights: dict[_Key, asyncio.Future[Answer]] = {}
        self._landed: dict[_Key, float] = {}
        self._literals: dict[_Key, Answer] = {}
        self._waiting: deque[tuple[_Key, asyncio.Future[Answer]]] = deque()
        self._free = MAX_LOOKUPS

    async def resolve(self, host: str, port: int, ip_version: IpVersion) -> Answer:
        """Return the addresses of a host, or why there are none; never raises for what the world does."""
        key = (host, port, ip_version)
        if key in self._literals:
            return self._literals[key]
        if _is_address(host):
            answer = lookup(*key)
            if answer.fault is None:
                self._literals[key] = answer
            return answer
        flight = self._flights.get(key)
        if flight is not None and flight.done():
            if time.monotonic() - self._landed[key] <= SHARED_SECONDS:
                return flight.result()
            flight = None
        if flight is None:
            flight = self._flights[key] = asyncio.get_running_loop().create_future()
            self._waiting.append((key, flight))
            self._start_next()
        return await asyncio.shield(flight)

    def close(self) -> None:
        """Start no more lookups and forget all answers."""
        self._waiting.clear()
        self._flights.clear()
        self._landed.clear()

    def _start_next(self) -> None:
        while self._free and self._waiting:
            key, flight = self._waiting.popleft()
            self._free -= 1
            thread = threading.Thread(target=self._run, args=(key, flight), name="smtpcheck-lookup", daemon=True)
            thread.start()

    def _run(self, key: _Key, flight: asyncio.Future[Answer]) -> None:
        answer = lookup(*key)
        # The loop may have ended while the name service kept us waiting.
        with contextlib.suppress(RuntimeError):
            flight.get_loop().call_soon_threadsafe(self._land, key, flight, answer)

    def _land(self, key: _Key, flight: asyncio.Future[Answer], answer: Answer) -> None:
        self._free += 1
        self._landed[key] = time.monotonic()
        flight.set_result(answer)
        self._start_next()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def lookup(host: str, port: int, ip_version: IpVersion) -> Answer:
    """Ask the system's name service; blocks."""
    begin = time.monotonic()
    try:
        rows = socket.getaddrinfo(host, port, _FAMILIES[ip_version], socket.SOCK_STREAM)
    except socket.gaierror as error:
        kind = FaultKind.NAME_NOT_FOUND if error.errno in _NOT_FOUND else FaultKind.NAME_SERVER_FAILED
        return Answer((), time.monotonic() - begin, Fault(kind, error.strerror or ""))
    except UnicodeError as error:
        return Answer((), time.monotonic() - begin, Fault(FaultKind.NAME_NOT_FOUND, str(error)))
    except OSError as error:
        return Answer((), time.monotonic() - begin, Fault(FaultKind.NAME_SERVER_FAILED, str(error)))
    return Answer(tuple(rows), time.monotonic() - begin)  # type: ignore[arg-type]
