"""What every SMTP service of the sandbox has: mailboxes, listeners, and a count of what happens.

Rules of this file:
- What is wrong with a mailbox is data: the reply that it gives instead of success, by command.
- Listeners differ in what the network shows (certificate, EHLO, delay); mailboxes are common to all of them.
- Who may log in and what becomes of a message is the business of each service.
"""

import asyncio
import ssl
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from smtpcheck.sandbox.mail_store import AT_ONCE, FROM_THIRD_PARTY, Delivery, MailStore
from smtpcheck.sandbox.reply_styles import ReplyStyle
from smtpcheck.sandbox.smtp_session import Listener, LoginAnswer, Session

_KEPT_MESSAGES = 1000


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One mailbox and what is wrong with it."""

    address: str
    refuses: Mapping[str, str] = field(default_factory=dict)
    """The reply in place of success, by command: AUTH (of a good token or password), MAIL, RCPT, DATA (after the final
    dot); and PASSWORD, to any password."""
    connections: int = 3
    """How many connections may submit at once."""
    send_as: frozenset[str] = frozenset()
    """Further addresses that it may send as."""
    password: str = field(default="", repr=False)
    """What it is opened with besides tokens; empty: with no password at all."""
    delivery: Delivery = AT_ONCE
    """What becomes of what it sends."""

    def opened_by(self, password: str) -> bool:
        """Return whether it is the mailbox's password."""
        return bool(self.password) and password == self.password

    def owns(self, sender: str) -> bool:
        """Return whether it may send as the address."""
        return sender.casefold() in {self.address.casefold(), *map(str.casefold, self.send_as)}


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was accepted."""

    mailbox: str
    """Whose login it came with; empty for none."""
    sender: str
    recipients: tuple[str, ...]
    content: bytes


class MailService(ABC):
    """A service on 127.0.0.1.

    Attributes:
        mailboxes: by address in lower case; may be changed while it runs.
        messages: the last messages that were accepted.
        store: where they arrive.
        connections: how many connections were opened so far, by port.
        logins: how often AUTH was tried with a token or password so far, by mailbox.
        most_open: the most sessions that were logged in at once, by mailbox.
    """

    def __init__(self, mailboxes: Iterable[Mailbox], store: MailStore | None = None) -> None:
        """Serve the mailboxes, and deliver into `store`."""
        self.store = store or MailStore()
        self.mailboxes = {mailbox.address.casefold(): mailbox for mailbox in mailboxes}
        self.messages: deque[Message] = deque(maxlen=_KEPT_MESSAGES)
        self.connections: Counter[int] = Counter()
        self.logins: Counter[str] = Counter()
        self.most_open: Counter[str] = Counter()
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

    @abstractmethod
    def reply_style(self, number: int) -> ReplyStyle:
        """Return the words for the connection of that number."""

    @abstractmethod
    def login(self, session: Session, user: str, token: str) -> LoginAnswer:
        """Return the answer to a login with a token."""

    @abstractmethod
    def password(self, session: Session, user: str, password: str) -> str:
        """Return the reply to a login with a password."""

    @abstractmethod
    def submit(self, session: Session, content: bytes) -> str:
        """Return the reply to a message; it is kept if it is accepted."""

    def refusal(self, session: Session, verb: str, address: str) -> str | None:  # noqa: ARG002
        """Return what the session's mailbox says to the command with this address instead of success."""
        mailbox = self.mailboxes.get(session.mailbox)
        return mailbox.refuses.get(verb) if mailbox else None

    def closed(self, session: Session) -> None:
        """Forget a session."""
        self._sessions.discard(session)
        if session.mailbox:
            self._logged_in[session.mailbox].remove(session)

    def _enter(self, session: Session, address: str) -> None:
        """Note that the session is logged in to the mailbox."""
        session.mailbox = address
        logged_in = self._logged_in.setdefault(address, [])
        logged_in.append(session)
        self.most_open[address] = max(self.most_open[address], len(logged_in))

    def _keep(self, session: Session, content: bytes) -> None:
        """Keep an accepted message, and let it go its way."""
        sender, recipients = session.sender or "", tuple(session.recipients)
        mailbox = self.mailboxes.get(session.mailbox)
        self.messages.append(Message(mailbox.address if mailbox else "", sender, recipients, content))
        delivery = mailbox.delivery if mailbox else FROM_THIRD_PARTY
        self.store.send(mailbox.address if mailbox else sender, recipients, content, delivery)
