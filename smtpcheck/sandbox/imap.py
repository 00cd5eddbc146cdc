"""The IMAP servers of the sandbox: the mail of a store, on ports of their own, for tokens of the sandbox's issuers.

Rules of this file:
- A token is verified as its service does it: signature, times, audience and right; the refusal says nothing of which of
  them failed.
- A connection is served by one task; `close` ends them all.
"""

import asyncio
import contextlib
import json
import ssl
from collections import Counter

from smtpcheck.sandbox.directory import PERSONAL_TENANT
from smtpcheck.sandbox.exchange import AUDIENCES
from smtpcheck.sandbox.google import GoogleIssuer
from smtpcheck.sandbox.google_accounts import MAIL_SCOPE
from smtpcheck.sandbox.imap_session import Authenticator, Entry, ImapListener, ImapSession
from smtpcheck.sandbox.mail_store import MailStore
from smtpcheck.sandbox.tokens import SigningKey

_MAX_LINE = 64 * 1024


class ExchangeAuthenticator:
    """Accepts a token of Entra for IMAP.

    Attributes:
        closed: addresses of mailboxes that the application has no right to: the login is taken, and nothing else.
    """

    challenge = ""

    def __init__(self, key: SigningKey, tenant_id: str) -> None:
        """Take tokens of a tenant that `key` verifies."""
        self.closed: set[str] = set()
        self._key, self._tenant_id = key, tenant_id

    def admit(self, user: str, token: str) -> Entry:
        """Return what the login of a user with a token comes to."""
        claims = self._key.verify(token, AUDIENCES)
        if claims is None or claims.get("tid") not in {self._tenant_id, PERSONAL_TENANT}:
            return Entry.REFUSED
        roles, scopes = claims.get("roles"), str(claims.get("scp", "")).split()
        as_application = isinstance(roles, list) and "IMAP.AccessAsApp" in roles
        as_user = "IMAP.AccessAsUser.All" in scopes and str(claims.get("upn", "")).casefold() == user.casefold()
        if not (as_application or as_user):
            return Entry.REFUSED
        return Entry.NOT_CONNECTED if user.casefold() in self.closed else Entry.OPEN


class GmailAuthenticator:
    """Accepts a token of Google for the mailbox itself."""

    challenge = json.dumps({"status": "400", "schemes": "Bearer", "scope": MAIL_SCOPE}, separators=(",", ":"))

    def __init__(self, issuer: GoogleIssuer) -> None:
        """Take tokens of the issuer."""
        self._issuer = issuer

    def admit(self, user: str, token: str) -> Entry:
        """Return what the login of a user with a token comes to."""
        access = self._issuer.access(token)
        holds = access is not None and self._issuer.clock() < access.ends and MAIL_SCOPE in access.scopes
        return Entry.OPEN if access and holds and access.address.casefold() == user.casefold() else Entry.REFUSED


class ImapServer:
    """A service on 127.0.0.1.

    Attributes:
        connections: how many connections were opened so far, by port.
        open: how many are open now.
        most_open: the most that were open at once.
    """

    def __init__(self, store: MailStore, authenticator: Authenticator) -> None:
        """Show the mail of a store to users whom the authenticator accepts."""
        self.connections: Counter[int] = Counter()
        self.open = self.most_open = 0
        self._store, self._authenticator = store, authenticator
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, listener: ImapListener, context: ssl.SSLContext) -> int:
        """Open a port on 127.0.0.1 and return its number."""
        port = 0

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections[port] += 1
            session = ImapSession(self._store, self._authenticator, listener, context, (reader, writer))
            await self._serve(session, writer)

        server = await asyncio.start_server(
            accept, "127.0.0.1", 0, ssl=context if listener.implicit_tls else None, limit=_MAX_LINE
        )
        port = int(server.sockets[0].getsockname()[1])
        self._servers.append(server)
        return port

    async def close(self) -> None:
        """Close every port and cut every connection."""
        for server in self._servers:
            server.close()
        await asyncio.sleep(0)  # a connection that was just accepted gets its task now
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()

    async def _serve(self, session: ImapSession, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio.start_server makes one for each connection
        self._tasks.add(task)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await session.serve()
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.transport.abort() if writer.is_closing() else writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
