"""An event loop on virtual time: an hour without events passes at once, and the same events come in the same order.

Rules of this file:
- Time stands still while anything happens. It moves to the next timer only when no socket has anything to say.
- What would run in a thread runs at once; its result is delivered after a delay that the world draws, or that the job
  asks for (`takes`).
- A connection to a host and port is the world's business (`Network`).
"""

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any, Protocol, TypeVar, TypeVarTuple, Unpack

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

START = 1_000_000.0
"""The monotonic clock at the beginning, in seconds."""


class Network(Protocol):
    """What is at the other end of a connection."""

    async def connect(self, host: str, port: int) -> asyncio.BaseProtocol:
        """Return the server's protocol for a new connection; raises OSError, or never returns."""


class DeadlockError(Exception):
    """Nothing will ever happen again."""


class _VirtualSelector(selectors.DefaultSelector):
    """Never waits: it moves the loop's time instead."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        wait = timeout
        # The first descriptor is the loop's own, to be woken by threads; there are none.
        events = super().select(0) if len(self.get_map()) > 1 else []
        if not events and wait is None:
            raise DeadlockError
        if not events and wait:
            self.loop.virtual += wait
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop of one world."""

    def __init__(self, network: Network, delay: Callable[[], float]) -> None:
        """`delay` draws how many seconds a thread takes for its job."""
        selector = _VirtualSelector()
        super().__init__(selector)
        selector.loop, self.virtual = self, START
        self._network, self._delay = network, delay
        self._taken = 0.0

    def time(self) -> float:
        return self.virtual

    def stall(self, seconds: float) -> None:
        """Stand still for so long: nothing happens meanwhile."""
        self.virtual += seconds

    def takes(self, seconds: float) -> None:
        """Let the job that is running take so long."""
        self._taken = seconds

    def run_job(self, job: Callable[[], Any]) -> asyncio.Future[Any]:
        """Do a thread's job at once, and deliver what comes of it later."""
        future, self._taken = self.create_future(), 0.0
        settle: Callable[[], None]
        try:
            settle = partial(future.set_result, job())
        except Exception as error:  # noqa: BLE001 - it goes to whoever waits
            settle = partial(future.set_exception, error)
        seconds = self._taken or self._delay()
        self.call_later(seconds, lambda: None if future.done() else settle())
        return future

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[_Ts]], _T], *args: *_Ts
    ) -> asyncio.Future[_T]:
        return self.run_job(lambda: func(*args))

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **keys: Any) -> Any:
        if host is None:
            return await super().create_connection(protocol_factory, **keys)
        return await connect(self, self._network, protocol_factory, (host, port))


async def connect(
    loop: VirtualLoop, network: Network, factory: Callable[[], Any], address: tuple[str, int]
) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
    """Join a client to its server by a pair of sockets."""
    import socket

    server = await network.connect(*address)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    await asyncio.SelectorEventLoop.create_connection(loop, lambda: server, sock=theirs)
    return await asyncio.SelectorEventLoop.create_connection(loop, factory, sock=ours)
