"""The mail hosts of a world: the sandbox's own SMTP session at the other end, and the mailboxes behind it.

Rules of this file:
- A connection is a pair of sockets (`loop`); what a host does with it depends on the conditions of the moment.
- Every message that is accepted is in the ledger, with what becomes of it: that is the truth that the agent is held to.
"""

import asyncio
import errno
import re
import socket
import ssl
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Any, cast

from smtpcheck.model.check import IpVersion
from smtpcheck.model.report import Fault, FaultKind
from smtpcheck.network.resolver import Answer, Resolver
from smtpcheck.sandbox.reply_styles import PostfixReplyStyle, ReplyStyle
from smtpcheck.sandbox.smtp_session import Listener, LoginAnswer, Session
from tests.simulation.faults import Conditions
from tests.simulation.issuer import Issuer
from tests.simulation.loop import VirtualLoop
from tests.simulation.story import Story

_ID = re.compile(rb"^X-Smtpcheck-Id: (\S+)\r$", re.MULTILINE)
_NUMBER = re.compile(rb"It is number (\d+) of the check (\S+)\.\r\n")
_NO_CONTEXT = cast("ssl.SSLContext", None)
LEFT_ALONE_SECONDS = 290.0
"""How long a mailbox is left alone at least that logs in too often."""
SHORTEST_SECONDS = 400.0
"""Between two messages of a check that sends: its interval is 900 s or more, and a first slot half of that away."""
FORGOTTEN_SECONDS = 5.0
"""How long after it happened a kill may take the memory of it."""
REFUSALS = {
    "login refused": ("AUTH", "535 5.7.8 Error: authentication failed"),
    "logins throttled": ("AUTH", "454 4.7.0 Too many login attempts, please try again later"),
    "sender refused": ("MAIL", "550 5.7.60 Client does not have permissions to send as this sender"),
    "recipient deferred": ("RCPT", "451 4.7.1 Try again later"),
    "message refused": ("DATA", "554 5.7.1 Message rejected"),
}
"""By condition of a mailbox: the command, and the reply to it."""


@dataclass(slots=True)
class Sent:
    """A message that a host took, or may be believed to have taken."""

    correlation_id: str
    check: str
    number: int
    mailbox: str
    recipient: str
    at: float
    """When it was taken (monotonic seconds)."""
    arrives_at: float
    """When it is in the mailbox; infinity: never."""
    junk: bool
    copies: int
    certain: bool
    """Whether the agent was given the reply."""
    arrival: float = 0.0
    """When it is in the mailbox, by the mailbox's own clock (Unix seconds)."""
    gone: bool = False
    """Whether it was deleted."""


@dataclass(slots=True)
class Searched:
    """One search of a mailbox."""

    began: float
    ended: float
    succeeded: bool
    targets: frozenset[str]
    """The correlation ids that it was for."""


@dataclass(slots=True)
class Ledger:
    """What the mail hosts of a world have seen."""

    messages: dict[str, list[Sent]] = field(default_factory=lambda: defaultdict(list))
    """By recipient."""
    numbers: Counter[tuple[str, int]] = field(default_factory=Counter)
    """How often each number of a check was taken."""
    searches: dict[str, list[Searched]] = field(default_factory=lambda: defaultdict(list))
    """By mailbox."""
    connections: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """When each host was connected to."""
    taken: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """When each host took a message."""
    refused_at: dict[str, float] = field(default_factory=dict)
    """When each mailbox was last refused."""
    throttled_at: dict[str, float] = field(default_factory=dict)
    """When each mailbox was last told that it logs in too often."""
    own_at: dict[str, float] = field(default_factory=dict)
    """When each mailbox last sent a message that no loopback follows."""
    asked_at: dict[str, float] = field(default_factory=dict)
    """When a user last had something of each mailbox run."""
    reloaded_at: float = 0.0
    """When the agent's configuration last changed."""
    killed_at: list[float] = field(default_factory=list)
    refusals: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """How each mailbox was refused since its last success, by condition."""

    def may_insist(self, mailbox: str, since: float) -> bool:
        """Return whether a user asked for another login, or a kill took the memory of the refusal."""
        asked = self.asked_at.get(mailbox, 0.0) >= since
        return asked or any(since <= at <= since + FORGOTTEN_SECONDS for at in self.killed_at)


class MailHost:
    """One host. It is the service that its sessions ask."""

    def __init__(
        self,
        name: str,
        *,
        loop: VirtualLoop,
        conditions: Conditions,
        story: Story,
        ledger: Ledger,
        issuers: dict[str, Issuer],
        chance: Random,
    ) -> None:
        self.name = name
        self._loop, self._conditions, self._story, self._ledger = loop, conditions, story, ledger
        self._issuers, self._chance = issuers, chance
        self.sessions: set[Session] = set()

    def session(self) -> "SimulatedSession":
        """Return the server's end of a new connection."""
        self._ledger.connections[self.name].append(self._loop.virtual)
        of = self._conditions.of
        slow = of("slow", self.name)
        listener = Listener(
            starttls=False,
            mechanisms=("XOAUTH2",),
            delay=self._chance.uniform(0.01, 0.1) if slow is None else self._chance.uniform(0.3, slow.strength),
            refusal="421 4.3.2 Service not available" if of("busy", self.name) else "",
        )
        drops_after = None
        if self._chance.random() < (0.5 if of("resetting", self.name) else self._conditions.chance_of_resets):
            drops_after = self._chance.randrange(7)
            self._conditions.once("reset", self.name)
        session = SimulatedSession(self, listener, silent=of("silent", self.name) is not None, drops_after=drops_after)
        self.sessions.add(session)
        return session

    def reply_style(self, number: int) -> ReplyStyle:
        return PostfixReplyStyle("example.org")

    def login(self, session: Session, user: str, token: str) -> LoginAnswer:
        throttled_at = self._ledger.throttled_at.get(user, 0.0)
        if self._loop.virtual - throttled_at < LEFT_ALONE_SECONDS and not self._ledger.may_insist(user, throttled_at):
            self._story.broke(f"{user} logs in again {self._loop.virtual - throttled_at:.0f} s after it was throttled")
        refusal = self.refusal(session, "AUTH", user)
        if refusal is None and not any(issuer.takes(token, user) for issuer in self._issuers.values()):
            self._refused(user, "token refused")
            self._story.tell("refused", user, "with a token that does not hold")
            return LoginAnswer("535 5.7.8 Error: authentication failed", '{"status":"401"}')
        if refusal is not None:
            return LoginAnswer(refusal)
        session.mailbox = user
        return LoginAnswer("235 2.7.0 Authentication successful")

    def password(self, session: Session, user: str, password: str) -> str:
        return "535 5.7.8 Error: authentication failed"

    def refusal(self, session: Session, verb: str, address: str) -> str | None:
        mailbox = session.mailbox or address
        for kind, (command, reply) in REFUSALS.items():
            if command == verb and self._conditions.of(kind, mailbox):
                self._refused(mailbox, kind)
                return reply
        return None

    def _refused(self, mailbox: str, kind: str) -> None:
        self._ledger.refusals[mailbox].add(kind)
        self._ledger.refused_at[mailbox] = self._loop.virtual
        if kind == "logins throttled":
            self._ledger.throttled_at[mailbox] = self._loop.virtual

    def submit(self, session: Session, content: bytes) -> str:
        refusal = self.refusal(session, "DATA", session.mailbox)
        if refusal is not None:
            return refusal
        self._ledger.taken[self.name].append(self._loop.virtual)
        found, numbered = _ID.search(content), _NUMBER.search(content)
        if numbered is None:
            self._space(session.mailbox)
        uncertain = self._conditions.of("uncertain ends", self.name)
        lost_reply = uncertain is not None and self._chance.random() < 0.5
        if found is not None and numbered is not None and not (lost_reply and self._chance.random() < 0.3):
            self._deliver(session, found[1].decode(), numbered[2].decode(), int(numbered[1]), certain=not lost_reply)
        if lost_reply:
            cast("SimulatedSession", session).drop()
        return "250 2.0.0 Ok: queued as 4F00BA"

    def _space(self, mailbox: str) -> None:
        """Look how long ago the last message came that a check has sent on its own."""
        before, self._ledger.own_at[mailbox] = self._ledger.own_at.get(mailbox, 0.0), self._loop.virtual
        seconds = self._loop.virtual - before
        changed_at = max(self._ledger.asked_at.get(mailbox, 0.0), self._ledger.reloaded_at)
        waited = self._conditions.was(mailbox, before - SHORTEST_SECONDS, "locked") is not None
        if seconds < SHORTEST_SECONDS and changed_at < before - FORGOTTEN_SECONDS and not waited:
            self._story.broke(f"{mailbox} sent a message {seconds:.0f} s after the last one")

    def _deliver(self, session: Session, correlation_id: str, check: str, number: int, *, certain: bool) -> None:
        mailbox, now = session.recipients[0], self._loop.virtual
        of, chance = self._conditions.of, self._chance
        late = of("mail late", mailbox)
        delay = chance.uniform(0.2, 20.0) if late is None else chance.uniform(30.0, late.strength)
        if late is not None:
            self._conditions.once("late", mailbox, delay)
        if of("mail lost", mailbox):
            delay = inf
            self._conditions.once("lost", mailbox)
        sent = Sent(
            *(correlation_id, check, number, session.mailbox, mailbox, now, now + delay),
            junk=of("mail junked", mailbox) is not None,
            copies=2 if of("mail duplicated", mailbox) else 1,
            certain=certain,
        )
        self._ledger.messages[mailbox].append(sent)
        self._ledger.numbers[check, number] += 1
        self._story.tell("message", check, number, f"arrives after {delay:.1f}", "" if certain else "reply lost")
        if self._ledger.numbers[check, number] > 1:
            self._story.broke(f"message {number} of {check} was sent twice")

    def closed(self, session: Session) -> None:
        self.sessions.discard(session)


class SimulatedSession(Session):
    """The server's end of one connection, as if it were secured already; it may be silent, or drop."""

    def __init__(self, host: MailHost, listener: Listener, *, silent: bool, drops_after: int | None) -> None:
        super().__init__(host, listener, _NO_CONTEXT, 0)
        self._secure = True
        self._silent, self._drops_after = silent, drops_after

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport._extra["peername"] = ("192.0.2.9", 4711)  # type: ignore[attr-defined]
        if self._silent:
            self._transport = cast("asyncio.Transport", transport)
            self._opened.set_result(None)
        else:
            super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._silent:
            return
        if self._drops_after is not None:
            self._drops_after -= 1
            if self._drops_after < 0:
                self.drop()
                return
        super().data_received(data)

    def drop(self) -> None:
        """Lose the connection."""
        self._silent = True
        self._transport.abort()

    def _send(self, text: str, then: Any) -> None:
        if not self._silent:
            super()._send(text, then)


class Internet:
    """The way to the hosts: names, and connections."""

    def __init__(self, conditions: Conditions, chance: Random) -> None:
        self.hosts: dict[str, MailHost] = {}
        self._conditions, self._chance = conditions, chance

    async def connect(self, host: str, port: int) -> asyncio.BaseProtocol:
        """Return the server's end of a new connection; raises OSError, or never returns."""
        server = self.hosts[next(name for name in self.hosts if address_of(name) == host)]
        of = self._conditions.of
        if of("no network", "agent") or of("connects in vain", server.name):
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(self._chance.uniform(0.005, 0.08))
        if of("refusing", server.name):
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        if of("unreachable", server.name):
            raise OSError(errno.EHOSTUNREACH, "No route to host")
        return server.session()


class NameService(Resolver):
    """Knows the hosts of the world."""

    def __init__(self, conditions: Conditions, chance: Random) -> None:
        super().__init__()
        self._conditions, self._chance = conditions, chance

    async def resolve(self, host: str, port: int, ip_version: IpVersion) -> Answer:
        begin = asyncio.get_running_loop().time()
        if self._conditions.of("no network", "agent"):
            await asyncio.sleep(5.0)
            return Answer((), 5.0, Fault(FaultKind.NAME_SERVER_FAILED, "no answer"))
        await asyncio.sleep(self._chance.uniform(0.001, 0.02))
        seconds = asyncio.get_running_loop().time() - begin
        if self._conditions.of("name missing", host):
            return Answer((), seconds, Fault(FaultKind.NAME_NOT_FOUND, "no such name"))
        return Answer(((socket.AF_INET, socket.SOCK_STREAM, 6, "", (address_of(host), port)),), seconds)

    def is_queued(self, host: str, port: int, ip_version: IpVersion) -> bool:
        return False


def address_of(host: str) -> str:
    """Return the address of a host: its digit is in its name."""
    return f"192.0.2.{host.removeprefix('mail').partition('.')[0]}"
