"""Names to addresses without stalling the agent.

Rules of this file:
- `getaddrinfo` cannot be cancelled, so it runs in daemon threads of its own, at most `MAX_LOOKUPS` at a time: a dead
  name server holds up neither the event loop nor the end of the process.
- Places are shared fairly: a zone has at most `MAX_OF_ZONE` of them, and zones that wait are served in turn. So names
  of one dead zone, however many, leave room for all others.
- Waiting for a place is this machine's matter: a run whose time ends before (`is_queued`) has learnt nothing of the
  name, and what fails here (no thread, no descriptor) is `FaultKind.OUT_OF_RESOURCES`. Every place is returned.
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
from collections import Counter, deque
from dataclasses import dataclass

from smtpcheck.model.check import IpVersion
from smtpcheck.model.report import Fault, FaultKind
from smtpcheck.network.system_faults import has_descriptor_left, is_shortage

MAX_LOOKUPS = 64
MAX_OF_ZONE = 8
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


class _Flight:
    """One lookup, and those who wait for it."""

    __slots__ = ("answer", "key", "queued", "waiters", "zone")

    def __init__(self, key: _Key) -> None:
        self.key = key
        self.zone = _zone_of(key[0])
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.waiters = 0
        self.queued = True
        """Whether it waits for a place."""


class Resolver:
    """Looks up names for one event loop."""

    def __init__(self) -> None:
        self._flights: dict[_Key, _Flight] = {}
        self._landed: dict[_Key, float] = {}
        self._literals: dict[_Key, Answer] = {}
        self._queues: dict[str, deque[_Flight]] = {}
        """What waits for a place, by zone; the zone that is served next is the first."""
        self._running: Counter[str] = Counter()

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
        if flight is not None and flight.answer.done():
            if time.monotonic() - self._landed[key] <= SHARED_SECONDS:
                return flight.answer.result()
            flight = None
        if flight is None:
            flight = self._flights[key] = _Flight(key)
            self._queues.setdefault(flight.zone, deque()).append(flight)
        flight.waiters += 1
        try:
            self._start_next()
            return await asyncio.shield(flight.answer)
        finally:
            flight.waiters -= 1

    def is_queued(self, host: str, port: int, ip_version: IpVersion) -> bool:
        """Return whether the lookup of a host still waits for a place, so that nothing is known of the name."""
        flight = self._flights.get((host, port, ip_version))
        return flight is not None and flight.queued

    def close(self) -> None:
        """Start no more lookups and forget all answers."""
        self._queues.clear()
        self._flights.clear()
        self._landed.clear()

    def _start_next(self) -> None:
        while self._running.total() < MAX_LOOKUPS and (flight := self._next()) is not None:
            flight.queued = False
            self._running[flight.zone] += 1
            thread = threading.Thread(target=self._run, args=(flight,), name="smtpcheck-lookup", daemon=True)
            try:
                thread.start()
            except (RuntimeError, MemoryError) as error:
                self._settle(flight, Answer((), 0.0, Fault(FaultKind.OUT_OF_RESOURCES, str(error) or "out of memory")))

    def _next(self) -> _Flight | None:
        """Return what gets the next place, zone by zone in turn; nothing of a zone that has all that it may have."""
        for zone, queue in tuple(self._queues.items()):
            while queue and not queue[0].waiters:
                abandoned = queue.popleft()
                self._flights.pop(abandoned.key, None)
            if queue and self._running[zone] >= MAX_OF_ZONE:
                continue
            del self._queues[zone]
            if queue:
                flight = queue.popleft()
                self._queues[zone] = queue
                return flight
        return None

    def _run(self, flight: _Flight) -> None:
        try:
            answer = lookup(*flight.key)
        except Exception as error:  # noqa: BLE001 - whatever it is, the place is returned
            kind = FaultKind.OUT_OF_RESOURCES if is_shortage(error) else FaultKind.NAME_SERVER_FAILED
            answer = Answer((), 0.0, Fault(kind, str(error) or type(error).__name__))
        # The loop may have ended while the name service kept us waiting.
        with contextlib.suppress(RuntimeError):
            flight.answer.get_loop().call_soon_threadsafe(self._land, flight, answer)

    def _land(self, flight: _Flight, answer: Answer) -> None:
        self._settle(flight, answer)
        self._start_next()

    def _settle(self, flight: _Flight, answer: Answer) -> None:
        self._running[flight.zone] -= 1
        if not self._running[flight.zone]:
            del self._running[flight.zone]
        self._landed[flight.key] = time.monotonic()
        flight.answer.set_result(answer)


def _zone_of(host: str) -> str:
    """Return the domain that a host is in: the names of one domain mostly share its name servers."""
    labels = host.rstrip(".").lower().split(".")
    return ".".join(labels[1:] if len(labels) > 2 else labels)


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
        if error.errno == socket.EAI_MEMORY or not has_descriptor_left():
            kind = FaultKind.OUT_OF_RESOURCES
        return Answer((), time.monotonic() - begin, Fault(kind, error.strerror or ""))
    except UnicodeError as error:
        return Answer((), time.monotonic() - begin, Fault(FaultKind.NAME_NOT_FOUND, str(error)))
    except OSError as error:
        kind = FaultKind.OUT_OF_RESOURCES if is_shortage(error) else FaultKind.NAME_SERVER_FAILED
        return Answer((), time.monotonic() - begin, Fault(kind, error.strerror or str(error)))
    return Answer(tuple(rows), time.monotonic() - begin)  # type: ignore[arg-type]
