"""The site that the documents speak of: a tenant with the credentials and checks that they name, in the sandbox.

Rule of this file: what a command needs is there before it is run, and each command has a copy of its own.
"""

import asyncio
import re
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from smtpcheck.sandbox import replies
from smtpcheck.sandbox.flaws import Flaw
from smtpcheck.sandbox.scenario import AUDITOR, DOMAIN, GMAIL, RECIPIENT, CredentialKind, Registration, Scenario
from smtpcheck.sandbox.world import World
from smtpcheck.state.state import State
from tests.worlds.samples import check, run

CONTOSO = Registration(
    "contoso", inspected_by=AUDITOR, roles=("SMTP.SendAsApp", "IMAP.AccessAsApp"), graph_roles=("Mail.ReadWrite",)
)
CHECKS = (
    Scenario("billing", "A mailbox.", registration=CONTOSO, check={"recipient": RECIPIENT}),
    Scenario(
        "sales",
        "A mailbox of a Workspace.",
        server=GMAIL,
        registration=Registration("workspace", CredentialKind.GOOGLE_ACCOUNT),
    ),
    Scenario("anna", "A user's.", registration=Registration("anna", CredentialKind.USER)),
    Scenario(
        "delivery",
        "Mail arrives.",
        registration=CONTOSO,
        check={"loopback": {"every": "15m", "to": f"probe@{DOMAIN}", "authserv_id": ""}},
    ),
)
BROKEN = (
    Scenario(
        "invoices",
        "The tenant has SMTP AUTH disabled, and the reply says so.",
        registration=CONTOSO,
        refuses={"AUTH": replies.SMTP_AUTH_DISABLED_TENANT},
    ),
    Scenario(
        "payroll",
        "SMTP AUTH is off for the mailbox, and the reply names no cause.",
        registration=CONTOSO,
        flaw=Flaw.SMTP_AUTH_OFF,
    ),
)
"""Checks that fail: they are there only for a command that names them."""
ALERTS = "alerts: {notify: [{type: log}]}\n"
AT_MICROSOFT = """
credentials:
  contoso:
    type: microsoft
    tenant: contoso.onmicrosoft.com
    client_id: 11111111-2222-3333-4444-555555555555
    client_secret: {value: a secret that no script may have}
checks:
  - {name: billing, mailbox: billing@contoso.com, credential: contoso}
"""
"""For `setup`, which knows the clouds of Microsoft and no sandbox."""
FILES: Mapping[str, str] = {
    "mail.log": "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant\n",
    "-": "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant\n",
}
"""What else the commands read, by name; `-` comes out of a pipe."""


class Site:
    """The world of `CHECKS` and `BROKEN`, running in a thread of its own while the block runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._world = World(folder, (*CHECKS, *BROKEN))

    def folder_for(self, words: Sequence[str], folder: Path) -> None:
        """Write into a folder what a user of this site has where the command is run."""
        command = words[1]
        shutil.copytree(self._folder, folder, dirs_exist_ok=True)
        config = folder / "checks.yaml"
        text = config.read_text().replace(str(self._folder), str(folder))
        for scenario in BROKEN:
            text = (
                text
                if scenario.name in words
                else re.sub(rf"  - name: {scenario.name} (.*\n)+?(?=  - name|\Z)", "", text)
            )
        config.write_text(text + ALERTS)
        for name, content in FILES.items():
            (folder / name).write_text(content)
        if command == "login":
            lines = config.read_text().splitlines(keepends=True)
            config.write_text("".join(line for line in lines if "refresh_token" not in line))
        if command == "setup":
            config.write_text(AT_MICROSOFT)
        if command in {"backup", "report"}:
            (folder / "state").mkdir()
            asyncio.run(_one_run(folder / "state"))

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._world.start())
        self._world.issuer.sign_ins.visitor = f"anna@{DOMAIN}"
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._world.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(60)  # type: ignore[arg-type]


async def _one_run(folder: Path) -> None:
    state = await State.kept(folder)
    state.record(check("billing"), run(time.time() - 60))
    await state.close()
