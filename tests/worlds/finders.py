"""Finders in the embedded world: mail is put into its store, and looked for by IMAP and by Graph.

A `Site` is one of these ways, with the mailbox `PROBE` behind it.
"""

import time
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from smtpcheck.config import load
from smtpcheck.limits.connection_limit import ConnectionLimit
from smtpcheck.loopback.finder import Search, SearchRequest, Target
from smtpcheck.loopback.plan import Find, FindVia
from smtpcheck.loopback.search import Finders
from smtpcheck.model.check import Mechanism, Security, Server
from smtpcheck.network.network import Network
from smtpcheck.oauth.broker import TokenBroker
from smtpcheck.oauth.cloud_credential import CloudCredential
from smtpcheck.sandbox.imap_session import ImapListener
from smtpcheck.sandbox.mail_store import AT_ONCE, Box, Delivery, Use
from smtpcheck.sandbox.scenario import CONTOSO_MAIL, DOMAIN, GMAIL, CredentialKind, Registration, Scenario
from smtpcheck.sandbox.world import World

PROBE = f"probe@{DOMAIN}"
SENDER = f"healthy@{DOMAIN}"
SCENARIOS = (
    Scenario("probe", "Mail goes to it.", registration=CONTOSO_MAIL),
    Scenario("no-right", "An application without a right to read.", registration=Registration("contoso")),
    Scenario(
        "probe-google",
        "The same at Google.",
        registration=Registration("workspace", CredentialKind.GOOGLE_ACCOUNT),
        server=GMAIL,
    ),
)


def new_correlation_id() -> str:
    return f"sc1{uuid.uuid4().hex}"


def letter(correlation_id: str, *, subject: str | None = None, headers: Iterable[str] = ()) -> bytes:
    """Return a message as the loopback sends it; without a subject the mark is in there."""
    lines = [
        f"From: {SENDER}",
        f"To: {PROBE}",
        f"Subject: {f'smtpcheck probe {correlation_id}' if subject is None else subject}",
        "Date: Wed, 25 Nov 2026 10:00:00 +0000",
        f"Message-ID: <{correlation_id}@{DOMAIN}>",
        f"X-Smtpcheck-Id: {correlation_id}",
        *headers,
        "",
        "Hello.",
        "",
    ]
    return "\r\n".join(lines).encode()


@dataclass
class Site:
    """One way to look into a mailbox of the world."""

    world: World
    finders: Finders
    find: Find
    correlation_ids: set[str] = field(default_factory=set)

    @property
    def box(self) -> Box:
        return self.world.store.box(self.find.mailbox)

    def send(self, delivery: Delivery = AT_ONCE, **how: object) -> Target:
        """Let a message of ours go its way to the mailbox."""
        correlation_id = new_correlation_id()
        self.correlation_ids.add(correlation_id)
        content = letter(correlation_id, **how)  # type: ignore[arg-type]
        self.world.store.send(SENDER, [self.find.mailbox], content, delivery)
        return Target((f"<{correlation_id}@{DOMAIN}>",), correlation_id, time.time())

    def put(self, use: Use, content: bytes, *, age: float = 0.0) -> None:
        """Put a message into a folder, as it were arrived `age` seconds ago."""
        self.box.folders[use].add(content, time.time() - age)

    def put_ours(self, use: Use, *, age: float = 0.0) -> Target:
        """Put a message of ours into a folder."""
        correlation_id = new_correlation_id()
        self.correlation_ids.add(correlation_id)
        self.put(use, letter(correlation_id), age=age)
        return Target((f"<{correlation_id}@{DOMAIN}>",), correlation_id, time.time() - age)

    async def search(
        self,
        *targets: Target,
        find: Find | None = None,
        timeout: float = 20,  # noqa: ASYNC109
        **request: object,
    ) -> Search:
        asked = replace(SearchRequest(targets, self.correlation_ids.__contains__), **request)  # type: ignore[arg-type]
        return await self.finders.search(find or self.find, asked, timeout=timeout, token_timeout=10)

    def lying(self) -> list[tuple[str, int]]:
        """Return each folder of the mailbox that holds messages, and how many."""
        return [(use.value, len(folder.messages)) for use, folder in self.box.folders.items() if folder.messages]


async def more_imap(world: World, listener: ImapListener) -> Server:
    """Open a further IMAP port of the world and return where it is."""
    port = await world.imap.listen(listener, world.server_context(listener.certificate))
    security = Security.IMPLICIT if listener.implicit_tls else Security.STARTTLS
    return _server(world, port, security)


def _server(world: World, port: int, security: Security = Security.IMPLICIT) -> Server:
    return Server("localhost", port, security, server_name="localhost", ehlo="", ca_file=str(world.ca_file))


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[World, Finders]]:
    """Start the world and finders for it."""
    async with World(folder, SCENARIOS) as world:
        settings = load([world.config]).settings
        assert settings is not None
        network = Network.for_servers([_server(world, 1)])
        tokens = TokenBroker(settings.credentials)
        finders = Finders(settings.credentials, tokens=tokens, connections=ConnectionLimit(20), network=network)
        yield world, finders
        finders.close()
        network.close()
        await tokens.close()


def by_imap(world: World, mechanism: Mechanism | None = None) -> Find:
    return Find(FindVia.IMAP, PROBE, CONTOSO_MAIL.name, server=_server(world, world.imap_port), mechanism=mechanism)


def by_gmail(world: World, mechanism: Mechanism | None = None) -> Find:
    server = _server(world, world.gmail_imap_port)
    return Find(FindVia.IMAP, f"probe-google@{DOMAIN}", "workspace", server=server, mechanism=mechanism)


def by_graph(world: World) -> Find:
    settings = load([world.config]).settings
    assert settings is not None
    credential = settings.credentials[CONTOSO_MAIL.name]
    assert isinstance(credential, CloudCredential)
    server = _server(world, world.issuer.port)
    return Find(FindVia.GRAPH, PROBE, CONTOSO_MAIL.name, credential.graph_scope, server, graph=credential.graph_url)
