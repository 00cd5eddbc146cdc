"""The least that a client on Python's ssl and uvloop can do: the bare dialogue, which records and judges nothing.

What it takes of a goal is not smtpcheck's to save; what is left is the room for all that smtpcheck is for.
"""

import asyncio
import base64
import ssl
from collections.abc import Iterator
from contextlib import suppress
from typing import cast

_RECORD = 1 << 14


class BareDialogue(asyncio.Protocol):
    """One connection to a server that refuses nothing: STARTTLS, XOAUTH2 in two steps, QUIT."""

    def __init__(self, context: ssl.SSLContext, mailbox: str, token: str) -> None:
        response = base64.b64encode(f"user={mailbox}\x01auth=Bearer {token}\x01\x01".encode())
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1")
        self._plain = iter((b"EHLO localhost\r\n", b"STARTTLS\r\n"))
        self._secured: Iterator[bytes] = iter((b"AUTH XOAUTH2\r\n", response + b"\r\n", b"QUIT\r\n"))
        self._shaking_hands = self._encrypted = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._shaking_hands:
            self._incoming.write(data)
            self._shake_hands()
        elif self._encrypted:
            self._incoming.write(data)
            with suppress(ssl.SSLWantReadError):
                self._tls.read(_RECORD)
                self._answer()
        elif (line := next(self._plain, None)) is not None:
            self._transport.write(line)
        else:
            self._shaking_hands = True
            self._shake_hands()

    def _shake_hands(self) -> None:
        with suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
            self._shaking_hands, self._encrypted = False, True
            self._tls.write(b"EHLO localhost\r\n")
            self._tls.read(_RECORD)
        self._flush()

    def _answer(self) -> None:
        line = next(self._secured, None)
        if line is not None:
            self._tls.write(line)
            self._flush()
            return
        with suppress(ssl.SSLError):
            self._tls.unwrap()
        self._flush()
        self._transport.abort()
        self.done.set_result(None)

    def _flush(self) -> None:
        if data := self._outgoing.read():
            self._transport.write(data)
