"""One SMTP connection of the sandbox's server (RFC 5321, 3207, 4954, 7628, 4616).

Rules of this file:
- It keeps the protocol; how a service words its replies is its `ReplyStyle`'s.
- It reads lines and answers them; who may log in and what becomes of a message is asked of the `Service`.
- Whatever came before TLS is forgotten after it (RFC 3207 4.2), and what was sent in clear behind STARTTLS is dropped.
- A listener's delay comes before each reply; commands that arrive meanwhile wait.
- EHLO lists what the service lists, CHUNKING and BINARYMIME too, but messages are taken by DATA alone.
"""

import asyncio
import base64
import binascii
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, cast

from smtpcheck.sandbox.certificates import Certificate
from smtpcheck.sandbox.reply_styles import ReplyStyle

MAX_LINE = 12288
"""Octets of a command line with its end (RFC 4954 4 for AUTH)."""
_OPENING_SECONDS = 1.0
"""How long a connection that was just accepted may take to open; when its port closes first, it may never do."""
_DOMAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f.:]+\]|\[IPv6:[0-9A-Fa-f.:]+\]")
_PATH = {"MAIL": re.compile(r"FROM: ?<([^<>]*)>", re.IGNORECASE), "RCPT": re.compile(r"TO: ?<([^<>]+)>", re.IGNORECASE)}
_PLAIN_FIELDS = 3
"""On whose behalf, who, and the password (RFC 4616 2)."""
_XOAUTH2 = re.compile(r"user=(?P<user>[^\x01]*)\x01auth=Bearer (?P<token>[^\x01]*)\x01\x01")
_OAUTHBEARER = re.compile(
    r"n,a=(?P<user>[^,\x01]*),\x01(?:host=[^\x01]*\x01)?(?:port=[0-9]+\x01)?auth=Bearer (?P<token>[^\x01]*)\x01\x01"
)


@dataclass(frozen=True, slots=True)
class Listener:
    """What one listening port shows to its clients."""

    certificate: Certificate = Certificate.VALID
    implicit_tls: bool = False
    """TLS from the first byte (RFC 8314)."""
    starttls: bool = True
    mechanisms: tuple[str, ...] = ("LOGIN", "XOAUTH2")
    """What EHLO offers after TLS. None of them: a relay or MX host, which takes mail without a login."""
    refusal: str = ""
    """A reply in place of the banner, after which the connection is closed."""
    delay: float = 0.0
    """Seconds before each reply."""


@dataclass(frozen=True, slots=True)
class LoginAnswer:
    """What a login with a token comes to."""

    reply: str
    challenge: str = ""
    """What comes before a refusal (RFC 7628 3.2.2); the client answers it, then the reply comes."""


class Service(Protocol):
    """What the listeners serve."""

    def reply_style(self, number: int) -> ReplyStyle:
        """Return the words for the connection of that number."""

    def login(self, session: "Session", user: str, token: str) -> LoginAnswer:
        """Return the answer to a login; a reply 235 makes the session that of the user's mailbox."""

    def password(self, session: "Session", user: str, password: str) -> str:
        """Return the reply to a login with a password; a reply 235 makes the session that of the user's mailbox."""

    def refusal(self, session: "Session", verb: str, address: str) -> str | None:
        """Return the reply to MAIL or RCPT with this address instead of success, None for success."""

    def submit(self, session: "Session", content: bytes) -> str:
        """Return the reply to a whole message with the session's envelope."""

    def closed(self, session: "Session") -> None:
        """Take note that the connection is gone."""


class Session(asyncio.Protocol):
    """The server's end of one connection.

    Attributes:
        mailbox: the address that has logged in, empty before.
        sender: the envelope sender, None outside a mail transaction.
        recipients: the envelope recipients.
        closed: done when the connection is gone.
    """

    def __init__(self, service: Service, listener: Listener, context: ssl.SSLContext, number: int) -> None:
        """Serve one connection; `number` distinguishes the servers of the farm."""
        self.mailbox = ""
        self.sender: str | None = None
        self.recipients: list[str] = []
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._service, self._listener, self._context = service, listener, context
        self._reply_style = service.reply_style(number)
        self._words = self._reply_style.replies
        self._transport: asyncio.Transport
        self._buffer = bytearray()
        self._overlong = False
        self._waiting = False
        self._expect: Callable[[bytes], None] = self._command
        self._content = bytearray()
        self._refusal = self._user = ""
        self._secure = self._greeted = False
        self._timer: asyncio.TimerHandle | None = None
        self._handshake: asyncio.Task[None] | None = None

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the client, in TLS if the listener is one of implicit TLS."""
        self._transport = cast(asyncio.Transport, transport)
        self._opened.set_result(None)
        if self._listener.implicit_tls:
            self._begin_tls(self._greet)
        else:
            self._greet()

    def _greet(self) -> None:
        """Send the banner (RFC 5321 4.3.1), or what comes in its place."""
        if self._listener.refusal:
            self._refuse(self._listener.refusal, then=self._transport.close)
            return
        self._reply(f"220 {self._reply_style.banner()}")

    def data_received(self, data: bytes) -> None:
        """Take in what the client sent and answer its whole lines."""
        self._buffer += data
        self._answer()

    def eof_received(self) -> bool:
        """Close as soon as the client does."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of whatever waits."""
        del exc
        if self._timer is not None:
            self._timer.cancel()
        if not self.closed.done():
            self.closed.set_result(None)
            self._service.closed(self)

    async def close(self) -> None:
        """Cut the connection and wait until it is gone."""
        await asyncio.wait([self._opened], timeout=_OPENING_SECONDS)
        if not self._opened.done():
            return
        if self._handshake is not None:
            self._handshake.cancel()
            await asyncio.wait([self._handshake])
        self._transport.abort()
        await self.closed

    def _answer(self) -> None:
        while not self._waiting and (line := self._next_line()) is not None:
            self._expect(line)

    def _next_line(self) -> bytes | None:
        """Return the next line without its end, None if there is no whole one; a line too long is refused."""
        while (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[: end + 1])
            del self._buffer[: end + 1]
            overlong, self._overlong = self._overlong or len(line) > MAX_LINE, False
            if not overlong:
                return line.removesuffix(b"\n").removesuffix(b"\r")
            self._expect = self._command
            self._refuse(self._words.LINE_TOO_LONG)
            if self._waiting:
                return None
        if len(self._buffer) > MAX_LINE:
            self._buffer.clear()
            self._overlong = True
        return None

    def _reply(self, text: str, then: Callable[[], object] | None = None) -> None:
        """Send the lines of a reply, after the listener's delay, and do `then`."""
        if not self._listener.delay:
            self._send(text, then)
            return
        self._waiting = True
        self._timer = self._loop.call_later(self._listener.delay, self._send_late, text, then)

    def _send_late(self, text: str, then: Callable[[], object] | None) -> None:
        self._waiting = False
        self._send(text, then)
        self._answer()

    def _send(self, text: str, then: Callable[[], object] | None) -> None:
        self._transport.write(text.replace("\n", "\r\n").encode() + b"\r\n")
        if then is not None:
            then()

    def _refuse(self, text: str, then: Callable[[], object] | None = None) -> None:
        """Send a refusal with what the service adds to it."""
        self._reply(self._reply_style.refused(text), then)

    def _accept(self, text: str, then: Callable[[], object] | None = None) -> None:
        """Send a success with what the service adds to it."""
        self._reply(self._reply_style.accepted(text), then)

    def _finish(self, text: str) -> None:
        """Send what the service decided."""
        (self._accept if text < "4" else self._refuse)(text)

    # Commands

    def _command(self, line: bytes) -> None:
        verb, _, argument = line.decode("utf-8", "replace").partition(" ")
        handler = self._HANDLERS.get(verb.upper())
        if handler is None:
            self._refuse(self._words.UNRECOGNIZED_COMMAND)
        else:
            handler(self, argument.strip())

    def _hello(self, argument: str) -> str | None:
        """Begin again for a client that names itself; return the greeting, or None if the name was refused."""
        if not _DOMAIN.fullmatch(argument):
            self._refuse(self._words.INVALID_DOMAIN)
            return None
        self._greeted = True
        self._reset()
        client = self._transport.get_extra_info("peername")[0]
        return self._reply_style.greeting(client)

    def _helo(self, argument: str) -> None:
        if (greeting := self._hello(argument)) is not None:
            self._reply(f"250 {greeting}")

    def _ehlo(self, argument: str) -> None:
        if (greeting := self._hello(argument)) is None:
            return
        lines = [greeting, *self._reply_style.first_extensions]
        if not self._secure and self._listener.starttls:
            lines.append("STARTTLS")
        if self._secure and self._listener.mechanisms:
            lines.append(f"AUTH {' '.join(self._listener.mechanisms)}")
        lines += self._reply_style.last_extensions
        self._reply("\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"]))

    def _starttls(self, argument: str) -> None:
        if argument:
            self._refuse(self._words.INVALID_ARGUMENTS)
        elif not self._greeted:
            self._refuse(self._words.HELLO_FIRST)
        elif self._secure or not self._listener.starttls:
            self._refuse(self._words.UNRECOGNIZED_COMMAND)
        else:
            self._accept(self._words.STARTTLS_READY, then=self._begin_tls)

    def _begin_tls(self, then: Callable[[], None] | None = None) -> None:
        self._waiting = True
        self._buffer.clear()
        self._greeted = False
        self._reset()
        self._transport.pause_reading()
        self._handshake = self._loop.create_task(self._upgrade(then))

    async def _upgrade(self, then: Callable[[], None] | None) -> None:
        try:
            upgraded = await self._loop.start_tls(self._transport, self, self._context, server_side=True)
        except (OSError, asyncio.CancelledError):  # the client refused the certificate, or is gone
            upgraded = None
        if upgraded is None:
            self._transport.abort()
            self.connection_lost(None)
            return
        self._transport = upgraded
        self._secure = True
        self._waiting = False
        if then is not None:
            then()
        self._answer()

    def _auth(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        if not self._greeted:
            self._refuse(self._words.HELLO_FIRST)
        elif self.mailbox or self.sender is not None:
            self._refuse(self._words.BAD_SEQUENCE)
        elif not self._secure or mechanism.upper() not in self._MECHANISMS.keys() & {*self._listener.mechanisms}:
            self._refuse(self._words.AUTH_UNRECOGNIZED)
        else:
            respond, challenge = self._MECHANISMS[mechanism.upper()]
            if initial:
                respond(self, initial.encode())
            else:
                self._challenge(challenge, respond)

    def _challenge(self, text: bytes, respond: "Callable[[Session, bytes], None]") -> None:
        self._expect = lambda line: respond(self, line)
        self._reply(f"334 {base64.b64encode(text).decode()}")

    def _response(self, line: bytes) -> str | None:
        """Return the decoded answer to a challenge; None if it was refused here."""
        self._expect = self._command
        if line == b"*":
            self._refuse(self._words.AUTH_CANCELLED)
            return None
        try:
            return base64.b64decode(b"" if line == b"=" else line, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            self._refuse(self._words.AUTH_UNDECODABLE)
            return None

    def _xoauth2(self, line: bytes) -> None:
        self._bearer(line, _XOAUTH2)

    def _oauthbearer(self, line: bytes) -> None:
        self._bearer(line, _OAUTHBEARER)

    def _bearer(self, line: bytes, pattern: re.Pattern[str]) -> None:
        response = self._response(line)
        if response is None:
            return
        match = pattern.fullmatch(response)
        if match is None:
            self._refuse(self._words.AUTH_UNSUCCESSFUL)
            return
        user = match["user"].replace("=2C", ",").replace("=3D", "=") if pattern is _OAUTHBEARER else match["user"]
        answer = self._service.login(self, user, match["token"])
        if answer.challenge:
            self._challenge(answer.challenge.encode(), Session._after_challenge)
            self._refusal = answer.reply
        else:
            self._finish(answer.reply)

    def _after_challenge(self, line: bytes) -> None:
        """Refuse once the client has taken the challenge, whatever it answers but a cancellation."""
        if self._response(line) is not None:
            self._refuse(self._refusal)

    def _plain(self, line: bytes) -> None:
        response = self._response(line)
        if response is None:
            return
        fields = response.split("\0")
        if len(fields) != _PLAIN_FIELDS:
            self._refuse(self._words.AUTH_UNDECODABLE)
        else:
            self._finish(self._service.password(self, *fields[1:]))

    def _login_user(self, line: bytes) -> None:
        user = self._response(line)
        if user is not None:
            self._user = user
            self._challenge(b"Password:", Session._login_password)

    def _login_password(self, line: bytes) -> None:
        password = self._response(line)
        if password is not None:
            self._finish(self._service.password(self, self._user, password))

    def _mail(self, argument: str) -> None:
        match = _PATH["MAIL"].match(argument)
        if not self._greeted:
            self._refuse(self._words.HELLO_FIRST)
        elif not self._secure and self._listener.starttls:
            self._refuse(self._words.STARTTLS_FIRST)
        elif self._words.NOT_AUTHENTICATED and not self.mailbox and self._listener.mechanisms:
            self._refuse(self._words.NOT_AUTHENTICATED)
        elif self.sender is not None:
            self._refuse(self._words.BAD_SEQUENCE)
        elif match is None:
            self._refuse(self._words.INVALID_ARGUMENTS)
        elif (refusal := self._service.refusal(self, "MAIL", match[1])) is not None:
            self._refuse(refusal)
        else:
            self.sender = match[1]
            self._accept(self._words.SENDER_OK)

    def _rcpt(self, argument: str) -> None:
        match = _PATH["RCPT"].match(argument)
        if self.sender is None:
            self._refuse(self._words.BAD_SEQUENCE)
        elif match is None:
            self._refuse(self._words.INVALID_ARGUMENTS)
        elif (refusal := self._service.refusal(self, "RCPT", match[1])) is not None:
            self._refuse(refusal)
        else:
            self.recipients.append(match[1])
            self._accept(self._words.RECIPIENT_OK)

    def _data(self, argument: str) -> None:
        if argument:
            self._refuse(self._words.INVALID_ARGUMENTS)
        elif not self.recipients:
            self._refuse(self._words.BAD_SEQUENCE)
        else:
            self._content.clear()
            self._expect = self._content_line
            self._accept(self._words.START_MAIL)

    def _content_line(self, line: bytes) -> None:
        if line != b".":
            self._content += line.removeprefix(b".") + b"\r\n"  # RFC 5321 4.5.2
            return
        self._expect = self._command
        self._finish(self._service.submit(self, bytes(self._content)))
        self._reset()

    def _reset(self) -> None:
        self.sender = None
        self.recipients = []
        self._content.clear()

    def _rset(self, _argument: str) -> None:
        self._reset()
        self._accept(self._words.RESETTING)

    def _noop(self, _argument: str) -> None:
        self._accept(self._words.OK)

    def _vrfy(self, _argument: str) -> None:
        self._accept(self._words.CANNOT_VERIFY)

    def _quit(self, _argument: str) -> None:
        self._accept(self._words.BYE, then=self._transport.close)

    _HANDLERS: ClassVar[Mapping[str, Callable[["Session", str], None]]] = {
        "EHLO": _ehlo,
        "HELO": _helo,
        "STARTTLS": _starttls,
        "AUTH": _auth,
        "MAIL": _mail,
        "RCPT": _rcpt,
        "DATA": _data,
        "RSET": _rset,
        "NOOP": _noop,
        "VRFY": _vrfy,
        "QUIT": _quit,
    }
    _MECHANISMS: ClassVar[Mapping[str, tuple[Callable[["Session", bytes], None], bytes]]] = {
        "XOAUTH2": (_xoauth2, b""),
        "OAUTHBEARER": (_oauthbearer, b""),
        "PLAIN": (_plain, b""),
        "LOGIN": (_login_user, b"Username:"),
    }
