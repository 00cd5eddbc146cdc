"""One IMAP connection of the sandbox's server (RFC 9051, RFC 3501), with as much of it as a search for mail needs.

Rules of this file:
- It reads commands one by one and answers them; the `Authenticator` decides who may log in.
- Exchange's words for success and failure are its own; a client must go by OK, NO and BAD.
"""

import asyncio
import base64
import binascii
import re
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Protocol

from smtpcheck.sandbox.certificates import Certificate
from smtpcheck.sandbox.imap_syntax import LITERAL, Word, fetched, numbers, search_test, words
from smtpcheck.sandbox.mail_store import Box, Folder, MailStore, Stored, Use

_SASL = {
    "XOAUTH2": re.compile(r"user=(?P<user>[^\x01]*)\x01auth=Bearer (?P<token>[^\x01]*)\x01\x01"),
    "OAUTHBEARER": re.compile(
        r"n,a=(?P<user>[^,\x01]*),\x01(?:host=[^\x01]*\x01)?(?:port=[0-9]+\x01)?auth=Bearer (?P<token>[^\x01]*)\x01\x01"
    ),
}
_NOT_CONNECTED = "BAD User is authenticated but not connected."


class Entry(StrEnum):
    """What a login comes to."""

    OPEN = "open"
    REFUSED = "refused"
    NOT_CONNECTED = "not_connected"
    """The token is good, and the mailbox is closed to it."""


class Authenticator(Protocol):
    """Who decides about logins."""

    challenge: str
    """What comes before a refusal (RFC 7628 3.2.2); empty: nothing."""

    def admit(self, user: str, token: str) -> Entry:
        """Return what the login of a user with a token comes to."""


@dataclass(frozen=True, slots=True)
class ImapListener:
    """What one listening port shows to its clients."""

    certificate: Certificate = Certificate.VALID
    implicit_tls: bool = True
    """TLS from the first byte; else by STARTTLS."""
    greeting: str = "The Microsoft Exchange IMAP4 service is ready."
    capabilities: tuple[str, ...] = ("IMAP4", "IMAP4rev1", "SASL-IR", "UIDPLUS", "MOVE", "UNSELECT", "LITERAL+")
    mechanisms: tuple[str, ...] = ("XOAUTH2",)
    gmail: bool = False
    """Whether removed mail stays in the view of all mail unless it is in the trash, as at Gmail."""

    @property
    def flags(self) -> Mapping[Use, str]:
        """Return what LIST says of each folder (RFC 6154)."""
        return {
            Use.INBOX: "",
            Use.JUNK: " \\Junk",
            Use.SENT: " \\Sent",
            Use.DELETED: " \\Trash",
            Use.ARCHIVE: " \\All" if self.gmail else " \\Archive",
        }


GMAIL_IMAP = ImapListener(
    greeting="Gimap ready for requests",
    capabilities=("IMAP4rev1", "SASL-IR", "UIDPLUS", "MOVE", "UNSELECT", "SPECIAL-USE", "X-GM-EXT-1", "LITERAL+"),
    mechanisms=("XOAUTH2", "OAUTHBEARER"),
    gmail=True,
)
"""What imap.gmail.com shows on port 993."""


class ImapSession:
    """The server's end of one connection."""

    def __init__(
        self,
        store: MailStore,
        authenticator: Authenticator,
        listener: ImapListener,
        context: ssl.SSLContext,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        """Serve one connection; by implicit TLS it has been begun."""
        self._store, self._authenticator, self._listener, self._context = store, authenticator, listener, context
        self._reader, self._writer = streams
        self._secure = listener.implicit_tls
        self._box: Box | None = None
        self._connected = False
        self._folder: Folder | None = None
        self._writable = False
        self._over = self._begins_tls = False

    async def serve(self) -> None:
        """Answer until the client is gone or takes leave."""
        await self._say(f"* OK {self._listener.greeting}")
        while not self._over and (parts := await self._read()) is not None:
            tag, _, rest = parts[0].partition(b" ")
            try:
                command, *arguments = words([rest, *parts[1:]])
                answer = await self._answer(str(command).upper(), arguments)
            except (ValueError, IndexError):
                answer = "BAD Command Argument Error. 12"
            await self._say(f"{tag.decode('utf-8', 'replace')} {answer}")
            if self._begins_tls:
                await self._writer.start_tls(self._context)
                self._secure, self._begins_tls = True, False

    async def _read(self) -> list[bytes] | None:
        """Return a command's text and literals by turns, None at the end of the connection."""
        parts: list[bytes] = []
        while True:
            try:
                line = (await self._reader.readuntil(b"\n")).rstrip(b"\r\n")
                match = LITERAL.search(line)
                if match is None:
                    return [*parts, line]
                if not match[2]:
                    await self._say("+ Ready for additional command text.")
                parts += [line[: match.start()], await self._reader.readexactly(int(match[1]))]
            except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                return None

    async def _say(self, line: str | bytes) -> None:
        self._writer.write((line if isinstance(line, bytes) else line.encode("utf-8", "surrogateescape")) + b"\r\n")
        await self._writer.drain()

    async def _answer(self, command: str, arguments: list[Word]) -> str:
        by_uid = command == "UID"
        if by_uid:
            command, arguments = str(arguments[0]).upper(), arguments[1:]
        if (always := self._ALWAYS.get(command)) is not None:
            return await always(self, arguments)
        if self._box is None:
            return "BAD Command received in Invalid state."
        if not self._connected:
            return _NOT_CONNECTED
        if (known := self._LOGGED_IN.get(command)) is not None:
            return await known(self, arguments)
        if self._folder is None or (selected := self._SELECTED.get(command)) is None:
            return "BAD Command Error. 10"
        return await selected(self, self._folder, arguments, by_uid)

    # Before the login

    async def _capability(self, _arguments: list[Word]) -> str:
        names = list(self._listener.capabilities)
        if self._secure:
            names += [f"AUTH={name}" for name in self._listener.mechanisms]
        else:
            names += ["STARTTLS", "LOGINDISABLED"]
        await self._say(f"* CAPABILITY {' '.join(names)}")
        return "OK CAPABILITY completed."

    async def _noop(self, _arguments: list[Word]) -> str:
        return "OK NOOP completed."

    async def _logout(self, _arguments: list[Word]) -> str:
        self._over = True
        await self._say("* BYE Server signing off.")
        return "OK LOGOUT completed."

    async def _starttls(self, _arguments: list[Word]) -> str:
        if self._secure:
            return "BAD Command Error. 10"
        self._begins_tls = True
        return "OK Begin TLS negotiation now."

    async def _login(self, _arguments: list[Word]) -> str:
        return "NO LOGIN failed."

    async def _authenticate(self, arguments: list[Word]) -> str:
        name = str(arguments[0]).upper()
        if not self._secure or name not in self._listener.mechanisms or self._box is not None:
            return "NO Unsupported authentication mechanism."
        if len(arguments) > 1:
            response = str(arguments[1]).encode()
        else:
            await self._say("+ ")
            response = await self._reader.readline()
        try:
            match = _SASL[name].fullmatch(base64.b64decode(response.strip(), validate=True).decode())
        except (binascii.Error, UnicodeDecodeError):
            return "BAD Invalid SASL argument."
        user = match["user"].replace("=2C", ",").replace("=3D", "=") if match else ""
        entry = self._authenticator.admit(user, match["token"]) if match else Entry.REFUSED
        if entry is Entry.REFUSED:
            if self._authenticator.challenge:
                await self._say(f"+ {base64.b64encode(self._authenticator.challenge.encode()).decode()}")
                await self._reader.readline()
            return "NO AUTHENTICATE failed."
        self._box, self._connected = self._store.box(user), entry is Entry.OPEN
        return "OK AUTHENTICATE completed."

    # With a mailbox

    async def _list(self, _arguments: list[Word]) -> str:
        assert self._box is not None  # noqa: S101 - logged in
        for use, folder in self._box.folders.items():
            await self._say(f'* LIST (\\HasNoChildren{self._listener.flags[use]}) "/" "{folder.name}"')
        return "OK LIST completed."

    async def _select(self, arguments: list[Word]) -> str:
        return await self._turn_to(str(arguments[0]), writable=True)

    async def _examine(self, arguments: list[Word]) -> str:
        return await self._turn_to(str(arguments[0]), writable=False)

    async def _turn_to(self, name: str, *, writable: bool) -> str:
        assert self._box is not None  # noqa: S101 - logged in
        self._folder, self._writable = self._box.named(name), writable
        if self._folder is None:
            return f"NO [NONEXISTENT] {name} doesn't exist."
        for line in (
            f"{len(self._folder.messages)} EXISTS",
            "0 RECENT",
            "FLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft)",
            "OK [PERMANENTFLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft)] Permanent flags",
            f"OK [UIDVALIDITY {self._folder.uid_validity}] UIDVALIDITY value",
            f"OK [UIDNEXT {self._folder.uid_next}] The next unique identifier value",
        ):
            await self._say(f"* {line}")
        return f"OK [READ-{'WRITE' if writable else 'ONLY'}] SELECT completed."

    # With a folder

    async def _search(self, folder: Folder, arguments: list[Word], by_uid: bool) -> str:
        test = search_test(arguments, gmail=self._listener.gmail)
        found = [stored.uid if by_uid else number for number, stored in _numbered(folder) if test(stored)]
        await self._say(" ".join(["* SEARCH", *map(str, found)]))
        return "OK SEARCH completed."

    async def _fetch(self, folder: Folder, arguments: list[Word], by_uid: bool) -> str:
        items = arguments[1] if isinstance(arguments[1], list) else [arguments[1]]
        wanted: list[Word] = [*items] if "UID" in items or not by_uid else ["UID", *items]
        for number, stored in _chosen(folder, str(arguments[0]), by_uid=by_uid):
            await self._say(b"* %d FETCH (%s)" % (number, fetched(wanted, stored)))
        return "OK FETCH completed."

    async def _change(self, folder: Folder, arguments: list[Word], by_uid: bool) -> str:
        if not self._writable:
            return "NO [READ-ONLY] The folder is opened for reading."
        how, given = str(arguments[1]).upper(), arguments[2]
        flags = {str(flag).casefold() for flag in (given if isinstance(given, list) else [given])}
        for number, stored in _chosen(folder, str(arguments[0]), by_uid=by_uid):
            kept = set() if how.startswith("FLAGS") else stored.flags - flags if how[0] == "-" else stored.flags
            stored.flags = kept if how[0] == "-" else kept | flags
            if not how.endswith(".SILENT"):
                await self._say(b"* %d FETCH (%s)" % (number, fetched(["UID", "FLAGS"], stored)))
        return "OK STORE completed."

    async def _expunge(self, folder: Folder, arguments: list[Word], by_uid: bool) -> str:
        if not self._writable or (by_uid and "UIDPLUS" not in self._listener.capabilities):
            return "BAD Command Error. 10"
        chosen = _chosen(folder, str(arguments[0]), by_uid=True) if by_uid else _numbered(folder)
        await self._remove(folder, [stored for _, stored in chosen if "\\deleted" in stored.flags])
        return "OK EXPUNGE completed."

    async def _remove(self, folder: Folder, doomed: list[Stored]) -> None:
        assert self._box is not None  # noqa: S101 - logged in
        for stored in doomed:
            await self._say(f"* {folder.messages.index(stored) + 1} EXPUNGE")
            if self._listener.gmail and folder.use not in {Use.DELETED, Use.JUNK}:
                self._box.move(stored, folder, self._box.folders[Use.ARCHIVE])
            else:
                folder.messages.remove(stored)

    async def _move(self, folder: Folder, arguments: list[Word], by_uid: bool) -> str:
        assert self._box is not None  # noqa: S101 - logged in
        target = self._box.named(str(arguments[1]))
        if target is None:
            return "NO [TRYCREATE] The folder doesn't exist."
        for _, stored in _chosen(folder, str(arguments[0]), by_uid=by_uid):
            await self._say(f"* {folder.messages.index(stored) + 1} EXPUNGE")
            self._box.move(stored, folder, target)
        return "OK MOVE completed."

    _ALWAYS: ClassVar[Mapping[str, Callable[["ImapSession", list[Word]], Awaitable[str]]]] = {
        "CAPABILITY": _capability,
        "NOOP": _noop,
        "LOGOUT": _logout,
        "STARTTLS": _starttls,
        "LOGIN": _login,
        "AUTHENTICATE": _authenticate,
    }
    _LOGGED_IN: ClassVar[Mapping[str, Callable[["ImapSession", list[Word]], Awaitable[str]]]] = {
        "LIST": _list,
        "SELECT": _select,
        "EXAMINE": _examine,
    }
    _SELECTED: ClassVar[Mapping[str, Callable[["ImapSession", Folder, list[Word], bool], Awaitable[str]]]] = {
        "SEARCH": _search,
        "FETCH": _fetch,
        "STORE": _change,
        "EXPUNGE": _expunge,
        "MOVE": _move,
    }


def _numbered(folder: Folder) -> list[tuple[int, Stored]]:
    return list(enumerate(folder.messages, 1))


def _chosen(folder: Folder, chosen: str, *, by_uid: bool) -> Iterable[tuple[int, Stored]]:
    """Return the messages of a set, with their numbers."""
    greatest = (folder.uid_next - 1) if by_uid else len(folder.messages)
    ranges = list(numbers(chosen, greatest))
    return [
        (number, stored)
        for number, stored in _numbered(folder)
        if any((stored.uid if by_uid else number) in each for each in ranges)
    ]
