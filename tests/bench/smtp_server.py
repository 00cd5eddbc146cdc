"""The benchmark's SMTP server: says what Exchange Online says, refuses nothing, and costs as little as it can.

It runs in a process of its own on another core, so that a client's cost is the client's alone.
"""

import asyncio
import ssl
from multiprocessing.connection import Connection
from typing import cast

import uvloop

GREETING = b"220 mail.example.org Microsoft ESMTP MAIL Service ready\r\n"
PLAIN_EHLO = (
    b"250-mail.example.org Hello [127.0.0.1]\r\n250-SIZE 157286400\r\n250-PIPELINING\r\n250-DSN\r\n"
    b"250-ENHANCEDSTATUSCODES\r\n250-STARTTLS\r\n250-8BITMIME\r\n250-BINARYMIME\r\n250-CHUNKING\r\n250 SMTPUTF8\r\n"
)
TLS_EHLO = PLAIN_EHLO.replace(b"STARTTLS", b"AUTH LOGIN XOAUTH2")
ANSWERS = {
    b"AUTH": b"235 2.7.0 Authentication successful\r\n",
    b"QUIT": b"221 2.0.0 Service closing transmission channel\r\n",
}


class Session(asyncio.Protocol):
    """One connection."""

    def __init__(self, context: ssl.SSLContext, upgrades: set[asyncio.Task[None]]) -> None:
        self._context = context
        self._upgrades = upgrades
        self._transport: asyncio.Transport | None = None
        self._ehlo = PLAIN_EHLO
        self._token_follows = False
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(GREETING)

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while self._transport is not None and b"\r\n" in self._unread:
            line, _, self._unread = self._unread.partition(b"\r\n")
            self._answer(self._transport, line)

    def _answer(self, transport: asyncio.Transport, line: bytes) -> None:
        verb = b"AUTH" if self._token_follows else line[:4].upper()
        if verb == b"EHLO":
            transport.write(self._ehlo)
        elif verb == b"STAR":
            transport.write(b"220 2.0.0 SMTP server ready\r\n")
            transport.pause_reading()
            self._transport = None
            task = asyncio.create_task(self._upgrade(transport))
            self._upgrades.add(task)
            task.add_done_callback(self._upgrades.discard)
        elif line.upper() == b"AUTH XOAUTH2":
            self._token_follows = True
            transport.write(b"334 \r\n")
        else:
            self._token_follows = False
            transport.write(ANSWERS.get(verb, b"500 5.3.3 Unrecognized command\r\n"))
            if verb == b"QUIT":
                transport.close()

    async def _upgrade(self, plain: asyncio.Transport) -> None:
        try:
            transport = await asyncio.get_running_loop().start_tls(plain, self, self._context, server_side=True)
        except OSError:
            return
        if transport is not None:
            self._transport, self._ehlo = transport, TLS_EHLO
            self.data_received(b"")


def serve(certificate: str, ready: Connection) -> None:
    """Serve on a free port of 127.0.0.1 with the certificate and key in a PEM file; send the port, never return."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    upgrades: set[asyncio.Task[None]] = set()

    async def forever() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Session(context, upgrades), "127.0.0.1", 0, backlog=1024)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(forever())
