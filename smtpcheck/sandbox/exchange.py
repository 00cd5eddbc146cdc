"""An SMTP service that answers like Exchange Online: mailboxes, listeners, and who may do what.

Rules of this file:
- A token is verified by signature, times, audience, tenant and permission, as the real service does it; the refusal
  `535 5.7.3` says nothing of which of them failed.
- What is wrong with a mailbox is data: the reply that it gives instead of success, by command.
- Listeners differ in what the network shows (certificate, EHLO, delay); mailboxes are common to all of them.
"""

import asyncio
import secrets
import ssl
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.utils import parseaddr

from smtpcheck.sandbox import replies
from smtpcheck.sandbox.directory import PERSONAL_TENANT
from smtpcheck.sandbox.session import Listener, Session
from smtpcheck.sandbox.tokens import SigningKey

AUDIENCES = ("https://outlook.office365.com", "https://outlook.office.com", "00000002-0000-0ff1-ce00-000000000000")
_KEPT_MESSAGES = 1000


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One mailbox and what is wrong with it."""

    address: str
    refuses: Mapping[str, str] = field(default_factory=dict)
    """The reply in place of success, by command: AUTH (of a good token), MAIL, RCPT, DATA (after the final dot)."""
    connections: int = 3
    """How many connections may submit at once."""
    send_as: frozenset[str] = frozenset()
    """Further addresses that it may send as."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was accepted."""

    mailbox: str
    sender: str
    recipients: tuple[str, ...]
    content: bytes


class Exchange:
    """The service on 127.0.0.1.

    Attributes:
        mailboxes: by address in lower case; may be changed while it runs.
        messages: the last messages that were accepted.
        connections: how many connections were opened so far, by port.
        logins: how often AUTH was tried so far, by mailbox.
        most_open: the most sessions that were logged in at once, by mailbox.
    """

    def __init__(self, key: SigningKey, tenant_id: str, mailboxes: Iterable[Mailbox]) -> None:
        """Serve the mailboxes of a tenant, for tokens that `key` verifies."""
        self.mailboxes = {mailbox.address.casefold(): mailbox for mailbox in mailboxes}
        self.messages: deque[Message] = deque(maxlen=_KEPT_MESSAGES)
        self.connections: Counter[int] = Counter()
        self.logins: Counter[str] = Counter()
        self.most_open: Counter[str] = Counter()
        self._key, self._tenant_id = key, tenant_id
        self._servers: list[asyncio.Server] = []
        self._sessions: set[Session] = set()
        self._logged_in: dict[str, list[Session]] = {}

    async def listen(self, listener: Listener, context: ssl.SSLContext) -> int:
        """Open a port on 127.0.0.1 and return its number."""
        port = 0

        def accept() -> Session:
            self.connections[port] += 1
            session = Session(self, listener, context, self.connections.total() % 10000)
            self._sessions.add(session)
            return session

        server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
        port = int(server.sockets[0].getsockname()[1])
        self._servers.append(server)
        return port

    async def close(self) -> None:
        """Close every port and cut every connection."""
        for server in self._servers:
            server.close()
        await asyncio.sleep(0)  # a connection that was just accepted gets its session now
        await asyncio.gather(*(session.close() for session in tuple(self._sessions)))
        for server in self._servers:
            await server.wait_closed()

    def login(self, session: Session, user: str, token: str) -> str:
        """Return the reply to a login with a token."""
        address = user.casefold()
        self.logins[address] += 1
        mailbox = self.mailboxes.get(address)
        if mailbox is None or not self._permits(token, address):
            return replies.AUTH_UNSUCCESSFUL
        if (refusal := mailbox.refuses.get("AUTH")) is not None:
            return refusal
        session.mailbox = address
        logged_in = self._logged_in.setdefault(address, [])
        logged_in.append(session)
        self.most_open[address] = max(self.most_open[address], len(logged_in))
        return replies.AUTH_OK

    def refusal(self, session: Session, verb: str) -> str | None:
        """Return what the session's mailbox says to the command instead of success."""
        mailbox = self.mailboxes.get(session.mailbox)
        if mailbox is None:  # a relay, which knows no login
            return replies.RELAY_DENIED if verb == "RCPT" else None
        return mailbox.refuses.get(verb)

    def submit(self, session: Session, content: bytes) -> str:
        """Return the reply to a message; it is kept if it is accepted."""
        mailbox = self.mailboxes[session.mailbox]
        if self._logged_in[session.mailbox].index(session) >= mailbox.connections:
            return replies.TOO_MANY_CONNECTIONS
        if (refusal := mailbox.refuses.get("DATA")) is not None:
            return refusal
        headers = message_from_bytes(content, policy=policy.compat32)
        allowed = {mailbox.address.casefold(), *map(str.casefold, mailbox.send_as)}
        for sender in (parseaddr(headers.get("From", ""))[1], session.sender or ""):
            if sender.casefold() not in allowed:
                return replies.SEND_AS_DENIED.format(mailbox=mailbox.address, sender=sender)
        self.messages.append(Message(mailbox.address, session.sender or "", tuple(session.recipients), content))
        message_id = headers.get("Message-ID") or f"<{secrets.token_hex(16)}@eurprd05.prod.outlook.com>"
        return f"{replies.OK} {message_id} [Hostname=AM6PR0001MB0001.eurprd05.prod.outlook.com]"

    def closed(self, session: Session) -> None:
        """Forget a session."""
        self._sessions.discard(session)
        if session.mailbox:
            self._logged_in[session.mailbox].remove(session)

    def _permits(self, token: str, address: str) -> bool:
        claims = self._key.verify(token, AUDIENCES)
        if claims is None or claims.get("tid") not in {self._tenant_id, PERSONAL_TENANT}:
            return False
        roles, user = claims.get("roles"), str(claims.get("upn", ""))
        as_application = isinstance(roles, list) and "SMTP.SendAsApp" in roles
        as_user = "SMTP.Send" in str(claims.get("scp", "")).split() and user.casefold() == address
        return as_application or as_user
