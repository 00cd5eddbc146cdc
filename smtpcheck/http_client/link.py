"""One TCP connection whose octets can be read as they come, in clear or through TLS.

Rules of this file:
- No time limit of its own: who waits here is bounded by the caller, who closes the link in any case.
- What ended the connection is a value, in the words of the report: `fault`.
- Octets that nobody has asked for yet are kept up to `MOST_UNREAD`; then the connection is cut.
"""

import asyncio
import ssl
from typing import cast

from smtpcheck.model.report import Fault, FaultKind, TlsFacts
from smtpcheck.network.connecting import disconnect
from smtpcheck.network.system_faults import os_fault
from smtpcheck.network.tls import handshake_fault
from smtpcheck.network.tls_session import TlsSession

MOST_UNREAD = 1024 * 1024
_DURING_HANDSHAKE = "the server closed the connection during the handshake"


class Link(asyncio.Protocol):
    """The client's end of one connection."""

    def __init__(self) -> None:
        self.fault: Fault | None = None
        """Why nothing more will come."""
        self.facts: TlsFacts | None = None
        """The TLS session, once the handshake is done."""
        self._transport: asyncio.Transport | None = None
        self._tls: TlsSession | None = None
        self._unread = bytearray()
        self._waiter: asyncio.Future[None] | None = None

    # -- what the caller does -----------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Return whether something can be sent, as far as is known."""
        return self.fault is None and self._transport is not None and not self._transport.is_closing()

    @property
    def has_unread(self) -> bool:
        """Return whether octets have come that nobody has read."""
        return bool(self._unread)

    async def secure(self, context: ssl.SSLContext, server_name: str) -> Fault | None:
        """Begin TLS and wait for the end of the handshake; return why it failed, None if it did not."""
        self._tls = tls = TlsSession(context, server_name)
        self._flush()
        while self.fault is None and not tls.established:
            await self._event()
        return self.fault

    def send(self, octets: bytes) -> None:
        """Send these, unless the connection has ended."""
        if not self.is_open:
            return
        if self._tls is None:
            self._write(octets)
        else:
            self._tls.say(octets)
            self._flush()

    async def receive(self) -> bytes:
        """Return the octets that have come, waiting for the first; empty where the connection has ended."""
        while not self._unread and self.fault is None:
            await self._event()
        octets = bytes(self._unread)
        self._unread.clear()
        return octets

    def close(self) -> None:
        """Close at once; over TLS the close_notify still goes out."""
        disconnect(self._transport, self._tls)

    # -- what the event loop calls ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take octets from the network."""
        if self.fault is not None:
            return
        tls = self._tls
        if tls is None:
            self._unread += data
        else:
            shaking_hands = not tls.established
            try:
                self._unread += tls.receive(data)
            except ssl.SSLError as error:
                self._ended(handshake_fault(error))
            else:
                if shaking_hands and tls.established:
                    self.facts = tls.facts()
                if tls.ended:
                    self._ended(Fault(FaultKind.CLOSED))
            self._flush()
        if len(self._unread) > MOST_UNREAD and self._transport is not None:
            self._ended(Fault(FaultKind.TOO_LONG, f"more than {MOST_UNREAD} octets came at once"))
            self._transport.abort()
        self._wake()

    def eof_received(self) -> None:
        """Take the server's end of the stream for the end of the connection."""
        shaking_hands = self._tls is not None and not self._tls.established
        self._ended(Fault(FaultKind.CLOSED, _DURING_HANDSHAKE if shaking_hands else ""))

    def connection_lost(self, exc: Exception | None) -> None:
        """Note why the connection is gone, if nothing else said so before."""
        self._ended(os_fault(exc) if isinstance(exc, OSError) else Fault(FaultKind.CLOSED))

    def _ended(self, fault: Fault) -> None:
        self.fault = self.fault or fault
        self._wake()

    async def _event(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _flush(self) -> None:
        if self._tls is not None and (octets := self._tls.take()):
            self._write(octets)

    def _write(self, octets: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(octets)
