"""The sandbox's issuer in a thread of its own, giving tokens with a mailbox's name, as mail servers verify them."""

import asyncio
import threading
from pathlib import Path
from typing import Self

from smtpcheck.sandbox.certificates import Authority, Certificate
from smtpcheck.sandbox.issuer import App, Issuer, Tenant
from tests.real.tokens import AUDIENCE, ISSUER, SCOPE

TENANT = Tenant(
    id="11111111-2222-4333-8444-555555555555",
    domain="example.test",
    apps={
        "66666666-7777-4888-9999-000000000000": App(
            client_id="66666666-7777-4888-9999-000000000000", secret="abc8Q~not-a-guid-but-a-secret"
        )
    },
)


class NamingIssuer(Issuer):
    """Entra's app-only tokens name no mailbox; these do, with audience and issuer as the mail servers want them."""

    def __init__(self, mailbox: str) -> None:
        super().__init__([TENANT])
        self._mailbox = mailbox

    def mint(self, **claims: object) -> str:
        """Return a signed token for the mailbox."""
        named = {"email": self._mailbox, "aud": AUDIENCE, "iss": ISSUER, "scope": SCOPE}
        return super().mint(**{**claims, **named})


class RunningIssuer:
    """Serves while the block runs; `ca_file` holds the authority to trust."""

    def __init__(self, mailbox: str, folder: Path) -> None:
        self.issuer = NamingIssuer(mailbox)
        authority = Authority()
        self.ca_file = folder / "issuer-ca.pem"
        self.ca_file.write_bytes(authority.pem)
        self._context = authority.server_context(Certificate.VALID)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.issuer.start(self._context), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.issuer.close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
