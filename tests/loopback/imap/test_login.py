"""A finder's login by a password: what the server offers decides, and a password in clear goes over TLS alone."""

import asyncio
import base64
import hmac
import ssl
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trustme

from smtpcheck.loopback.finder import FinderError, FinderStep, Search, SearchRequest, Target
from smtpcheck.loopback.imap.finder import ImapFinder
from smtpcheck.model.check import Mechanism, Security, Server
from smtpcheck.network.network import Network
from smtpcheck.secrets.secret import Secret

USER = 'anna "the probe"@example.org'
PASSWORD = 'se"cr\\et-Pass-0815'
CHALLENGE = b"<1896.697170952@imap.example.org>"
REQUEST = SearchRequest((Target(("<a@x>",), "a", 1.0),), lambda _: False)


def _b64(data: bytes) -> bytes:
    return base64.b64encode(data)


class PasswordServer:
    """Takes one login in one of the ways that it offers, and knows no folder."""

    def __init__(self, *offers: str, folder: Path, tls: bool = True, end: bytes = b"\r\n") -> None:
        self.used = ""
        self._capability = f"* CAPABILITY IMAP4rev1 {' '.join(offers)}".encode()
        self._end = end
        authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
        if self._context is not None:
            authority.issue_cert("localhost").configure_cert(self._context)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Server]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        port = server.sockets[0].getsockname()[1]
        security = Security.IMPLICIT if self._context else Security.NONE
        yield Server(
            "127.0.0.1",
            port,
            security,
            server_name="localhost",
            ehlo="",
            ca_file=str(self.ca_file),
            allow_plaintext=self._context is None,
        )
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            writer.write(b"* OK ready" + self._end)
            while True:
                tag, _, command = (await reader.readuntil(b"\n")).strip().partition(b" ")
                answer = await self._answer(command, reader, writer)
                writer.write((answer.replace(b"\n", self._end) if answer else b"") + tag + b" " + self._verdict)
                writer.write(self._end)
        writer.close()

    _verdict = b"OK done"

    async def _answer(self, command: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        async def asked(challenge: bytes = b"") -> bytes:
            writer.write(b"+ " + _b64(challenge) + self._end)
            return base64.b64decode((await reader.readuntil(b"\n")).strip())

        self._verdict = b"OK done"
        match command.split(b" ")[:2]:
            case [b"CAPABILITY"]:
                return self._capability + b"\n"
            case [b"AUTHENTICATE", b"PLAIN"]:
                self._judge("PLAIN", await asked() == f"\0{USER}\0{PASSWORD}".encode())
            case [b"AUTHENTICATE", b"LOGIN"]:
                said = (await asked(b"User Name"), await asked(b"Password"))
                self._judge("LOGIN", said == (USER.encode(), PASSWORD.encode()))
            case [b"AUTHENTICATE", b"CRAM-MD5"]:
                digest = hmac.new(PASSWORD.encode(), CHALLENGE, "md5").hexdigest()
                self._judge("CRAM-MD5", await asked(CHALLENGE) == f"{USER} {digest}".encode())
            case [b"LOGIN", _]:
                quoted = [text.replace("\\", "\\\\").replace('"', '\\"') for text in (USER, PASSWORD)]
                self._judge("command LOGIN", command == f'LOGIN "{quoted[0]}" "{quoted[1]}"'.encode())
            case [b"LIST", _]:
                self._verdict = b"NO no folders"
        return b""

    def _judge(self, way: str, right: bool) -> None:
        self.used = way
        self._verdict = b"OK welcome" if right else b"NO [AUTHENTICATIONFAILED] wrong"


async def _search(
    server: Server, mechanism: Mechanism | None = None, password: str = PASSWORD, user: str = USER
) -> Search:
    network = Network.for_servers([server])
    with ThreadPoolExecutor(1) as threads:
        finder = ImapFinder(server, user, mechanism, network=network, threads=threads, password=True)
        return await finder.search(REQUEST, Secret(password), timeout=10)


@pytest.mark.parametrize(
    ("offers", "mechanism", "used"),
    [
        (("AUTH=PLAIN", "AUTH=LOGIN", "AUTH=CRAM-MD5"), None, "PLAIN"),
        (("AUTH=PLAIN", "AUTH=LOGIN"), Mechanism.LOGIN, "LOGIN"),
        (("AUTH=LOGIN", "AUTH=CRAM-MD5"), None, "LOGIN"),
        (("AUTH=CRAM-MD5", "AUTH=NTLM"), None, "CRAM-MD5"),
        (("AUTH=CRAM-MD5", "LOGINDISABLED"), None, "CRAM-MD5"),
        ((), None, "command LOGIN"),
        (("AUTH=NTLM",), None, "command LOGIN"),
    ],
)
async def test_a_password_logs_in_by_what_the_server_offers(
    tmp_path: Path, offers: tuple[str, ...], mechanism: Mechanism | None, used: str
) -> None:
    it = PasswordServer(*offers, folder=tmp_path)
    async with it.serving() as server:
        found = await _search(server, mechanism)
    assert (it.used, found.error) == (used, FinderError(FinderStep.SEARCH, "no folders"))


@pytest.mark.parametrize(
    ("offers", "tls", "detail"),
    [
        (("LOGINDISABLED",), True, "the server offers no login by a password over TLS: LOGINDISABLED"),
        (("AUTH=NTLM",), False, "the server offers no login by a password: AUTH=NTLM"),
        ((), False, "the server offers no login by a password:"),
    ],
)
async def test_a_password_stays_here_where_the_server_offers_nothing_that_protects_it(
    tmp_path: Path, offers: tuple[str, ...], tls: bool, detail: str
) -> None:
    it = PasswordServer(*offers, folder=tmp_path, tls=tls)
    async with it.serving() as server:
        found = await _search(server)
    assert (it.used, found.error) == ("", FinderError(FinderStep.LOGIN, detail))


@pytest.mark.parametrize(("user", "password"), [(USER, "pass\r\nword"), (USER, "pässword"), ("änna", PASSWORD)])
async def test_the_command_login_carries_nothing_that_would_end_it(tmp_path: Path, user: str, password: str) -> None:
    it = PasswordServer(folder=tmp_path)
    async with it.serving() as server:
        found = await _search(server, password=password, user=user)
    assert it.used == ""
    assert found.error is not None and found.error.step is FinderStep.LOGIN
    assert password not in found.error.detail


@pytest.mark.parametrize("offers", [("AUTH=PLAIN",), ("AUTH=CRAM-MD5",), ()])
async def test_a_wrong_password_is_refused_with_the_servers_code(tmp_path: Path, offers: tuple[str, ...]) -> None:
    it = PasswordServer(*offers, folder=tmp_path)
    async with it.serving() as server:
        found = await _search(server, password="another-password")
    assert found.error == FinderError(FinderStep.LOGIN, "[AUTHENTICATIONFAILED] wrong", "AUTHENTICATIONFAILED")


async def test_lines_that_end_with_a_bare_lf_are_read(tmp_path: Path) -> None:
    """As those of Mailutils."""
    it = PasswordServer("AUTH=PLAIN", folder=tmp_path, end=b"\n")
    async with it.serving() as server:
        found = await _search(server)
    assert (it.used, found.error) == ("PLAIN", FinderError(FinderStep.SEARCH, "no folders"))
