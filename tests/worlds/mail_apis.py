"""The mail APIs of the sandbox, with an account at each, and runs against them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

from smtpcheck.mail_api.api import MailApi, Outgoing
from smtpcheck.mail_api.call import Call, Task, call
from smtpcheck.mail_api.connections import Connections
from smtpcheck.model.check import Check, Depth, Security, Server, Via
from smtpcheck.network.network import Network
from smtpcheck.sandbox.acs import Claims
from smtpcheck.sandbox.api_account import ApiAccount
from smtpcheck.sandbox.certificates import Authority, Certificate
from smtpcheck.sandbox.mail_apis import MailApis
from smtpcheck.secrets.secret import Secret
from tests.worlds.samples import check

KEY, SECRET = "key-of-the-account", "its-other-half"
MESSAGE = (
    b"From: billing@contoso.example\r\nTo: probe@contoso.example\r\nSubject: smtpcheck: probe\r\n"
    b"Message-ID: <abc123@contoso.example>\r\nX-Smtpcheck-Id: abc123\r\n\r\nOne line.\r\n"
)


class Apis:
    """The services with an account at each."""

    def __init__(self, services: MailApis, network: Network, ca_file: Path) -> None:
        self.services = services
        self._network, self._ca_file = network, ca_file
        self._connections = Connections()

    def account(self, api: str) -> ApiAccount:
        """Return the account at an API."""
        return self.services.accounts[api][KEY]

    def check(self, api: str, **via: Any) -> Check:
        """Return a check by an API."""
        port = self.services.port
        server = Server(
            "localhost", port, Security.IMPLICIT, server_name="localhost", ehlo="", ca_file=str(self._ca_file)
        )
        by_api = replace(Via(api, self.services.base(api), template="E_1"), **via)
        mailbox, recipient = "billing@contoso.example", "probe@contoso.example"
        return check(mailbox=mailbox, recipient=recipient, server=server, depth=Depth.AUTH, via=by_api)

    async def prove(self, api: MailApi, key: str = f"{KEY}\n{SECRET}", **via: Any) -> Call:
        """Make the proof."""
        return await self._call(Task(api, self.check(api.name, **via), Secret(key)))

    async def send(self, api: MailApi, key: str = f"{KEY}\n{SECRET}", **via: Any) -> Call:
        """Send one message."""
        sending = replace(self.check(api.name, **via), depth=Depth.SEND)
        return await self._call(Task(api, sending, Secret(key), Outgoing(MESSAGE, "abc123", is_searched_for=True)))

    async def _call(self, task: Task) -> Call:
        return await call(task, origin=monotonic(), network=self._network, connections=self._connections)

    def close(self) -> None:
        """Let go of connections."""
        self._connections.close()
        self._network.close()


@asynccontextmanager
async def mail_apis(names: tuple[str, ...], folder: Path, claims: Claims = lambda _: None) -> AsyncIterator[Apis]:
    """Yield the services with an account at each of the named APIs; `folder` gets the CA, `claims` reads tokens."""
    authority = Authority()
    ca_file = folder / "ca.pem"
    ca_file.write_bytes(authority.pem)
    services = MailApis(claims=claims)
    for name in names:
        services.add(name, ApiAccount(KEY, SECRET))
    await services.start(authority.server_context(Certificate.VALID))
    server = Server("localhost", services.port, Security.IMPLICIT, "localhost", "", ca_file=str(ca_file))
    apis = Apis(services, Network.for_servers([server]), ca_file)
    try:
        yield apis
    finally:
        apis.close()
        await services.close()
