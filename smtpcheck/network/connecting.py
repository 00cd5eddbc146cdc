"""A TCP connection to one of several addresses, with what became of each.

Rules of this file:
- Several addresses are raced (RFC 8305); an attempt that another address made needless is recorded too.
- Of several failures the most specific one represents all, but a shortage of this machine goes before: what was not
  tried says nothing of the server.
"""

import asyncio
import contextlib
import errno
import os
import socket
import sys
from collections.abc import Awaitable, Sequence
from typing import cast

from aiohappyeyeballs import start_connection

from smtpcheck.model.report import Attempt, Fault, FaultKind
from smtpcheck.network.resolver import AddressInfo, SocketAddress
from smtpcheck.network.system_faults import os_fault
from smtpcheck.network.tls_session import TlsSession

NEXT_ADDRESS_SECONDS = 0.25
"""RFC 8305 5: how long one address is tried alone before the next one is tried beside it."""

_MOST_SPECIFIC = (
    *(FaultKind.OUT_OF_RESOURCES, FaultKind.REFUSED, FaultKind.RESET),
    *(FaultKind.TIMEOUT, FaultKind.OS, FaultKind.UNREACHABLE),
)
"""Of several addresses that failed, the most specific fault represents all."""

_NO_ANSWER = Fault(FaultKind.TIMEOUT, "no answer before the timeout or before another address answered")


async def connect(addresses: Sequence[AddressInfo], protocol: asyncio.Protocol, attempts: list[Attempt]) -> AddressInfo:
    """Connect the protocol to the first address that answers, and return that one. Raises OSError.

    A lone address is connected to by the event loop itself; several are raced (RFC 8305), which costs a task for each.
    What became of each is added to `attempts`.
    """
    loop = asyncio.get_running_loop()
    if len(addresses) == 1:
        address = addresses[0][4]
        connecting = loop.create_connection(lambda: protocol, address[0], address[1])
        await AttemptRecorder(attempts).watch(address, connecting)
        return addresses[0]
    sock, reached = await race(addresses, attempts)
    await loop.create_connection(lambda: protocol, sock=sock)
    return sock.family, sock.type, sock.proto, "", reached


def disconnect(transport: asyncio.Transport | None, tls: TlsSession | None) -> None:
    """Close a connection at once, if there is one; over TLS the close_notify still goes out."""
    if transport is None or transport.is_closing():
        return
    # uvloop closes the transport of a connection that a time limit cancels as it comes up, and does not say so.
    with contextlib.suppress(RuntimeError):
        if tls is not None:
            tls.close()
            if octets := tls.take():
                transport.write(octets)
        transport.abort()


async def race(addresses: Sequence[AddressInfo], attempts: list[Attempt]) -> tuple[socket.socket, SocketAddress]:
    """Return a socket that is connected to the first address that answers, and that address. Raises OSError.

    What became of each address is added to `attempts`.
    """
    recorder = AttemptRecorder(attempts)
    loop = cast("asyncio.AbstractEventLoop", recorder)
    sock = await start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS_SECONDS, loop=loop)
    return sock, recorder.reached


class AttemptRecorder:
    """Sits between `start_connection` and the event loop and records what becomes of each address."""

    def __init__(self, attempts: list[Attempt]) -> None:
        self._attempts = attempts
        self.reached: SocketAddress = ("", 0)

    async def sock_connect(self, sock: socket.socket, address: SocketAddress) -> None:
        """Connect as the loop does, but to just this address."""
        await self.watch(address, _connected(sock, address))

    async def watch(self, address: SocketAddress, connecting: Awaitable[object]) -> None:
        """Wait for an attempt at this address, and note what became of it."""
        fault: Fault | None = _NO_ANSWER
        try:
            await connecting
            fault = None
            self.reached = address
        except OSError as error:
            fault = os_fault(error)
            raise
        finally:
            self._attempts.append(Attempt(address[0], 6 if len(address) == 4 else 4, fault))


async def _connected(sock: socket.socket, address: SocketAddress) -> None:
    """Wait until a non-blocking socket is connected; raise `OSError` when it is refused.

    The `sock_connect` of uvloop looks the address up once more, in a thread: a good part of a check's cost.
    """
    loop = asyncio.get_running_loop()
    if sys.platform == "win32":  # its loop watches no sockets, and is never uvloop
        await loop.sock_connect(sock, address)
        return
    error = sock.connect_ex(address)
    if error == errno.EINPROGRESS:
        ready = asyncio.Event()
        loop.add_writer(sock, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_writer(sock)
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))


def summed_up(attempts: Sequence[Attempt]) -> Fault | None:
    """Return one fault for all addresses that failed, or None."""
    failed = [(attempt.address, attempt.fault) for attempt in attempts if attempt.fault is not None]
    if not failed:
        return None
    kind = min((fault.kind for _, fault in failed), key=_MOST_SPECIFIC.index)
    return Fault(kind, "; ".join(f"{address}: {fault.detail}" for address, fault in failed))
