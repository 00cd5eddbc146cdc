"""A tenant of the sandbox with an inspector, and what a test asks of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from smtpcheck.agent.inspect_once import readings_dated
from smtpcheck.check.kit import Kit, build_kit
from smtpcheck.config import Settings, load
from smtpcheck.inspection.inspector import Inspector
from smtpcheck.inspection.inspectors import Inspectors
from smtpcheck.inspection.questions import QUESTIONS
from smtpcheck.model.inspection import Fact, FactName, Inspection
from smtpcheck.model.inspection_reading import KeptReading
from smtpcheck.sandbox.directory import App
from smtpcheck.sandbox.exchange_directory import MailboxEntry
from smtpcheck.sandbox.scenario import AUDITOR, DOMAIN, Registration, Scenario
from smtpcheck.sandbox.world import World

INSPECTED = Registration("contoso", inspected_by=AUDITOR)
MAILBOX = f"billing@{DOMAIN}"


@dataclass(frozen=True)
class Tenant:
    """One application with one mailbox, and its inspector."""

    world: World
    settings: Settings
    kit: Kit
    inspector: Inspector

    @property
    def app(self) -> App:
        """Return the application that is inspected."""
        return self._app("contoso")

    @property
    def auditor(self) -> App:
        """Return the application that reads."""
        return self._app("auditor")

    @property
    def mailbox(self) -> MailboxEntry:
        """Return the mailbox as its administrator sees it."""
        return self.world.administration.mailboxes[MAILBOX]

    def _app(self, credential: str) -> App:
        client_id = self.settings.credentials[credential].hints(credential).client_id
        return self.world.issuer.tenants[0].apps[client_id]

    async def read(self) -> Inspection:
        """Ask everything."""
        return await self.inspector.read(QUESTIONS, self.inspector.plan.mailboxes)

    async def fact(self, name: FactName) -> Fact | None:
        """Ask everything and return one fact."""
        return (await self.read()).find(name, MAILBOX if name.is_of_mailbox else "")

    async def value(self, name: FactName) -> object:
        """Ask everything and return the value of one fact, which must be there."""
        fact = await self.fact(name)
        assert fact is not None, name
        return fact.value


@asynccontextmanager
async def tenant(folder: Path, registration: Registration = INSPECTED, **scenario: object) -> AsyncIterator[Tenant]:
    """Run a tenant; `scenario` are further attributes of its only scenario."""
    only = replace(Scenario("billing", "A mailbox."), registration=registration, **scenario)  # type: ignore[arg-type]
    async with World(folder, [only]) as world:
        loaded = load([world.config])
        assert loaded.settings, loaded.problems
        kit = await build_kit(loaded.settings)
        inspectors = Inspectors(loaded.settings.inspections, loaded.settings.credentials, kit.tokens)
        inspector = inspectors.get("contoso")
        assert inspector is not None
        try:
            yield Tenant(world, loaded.settings, kit, inspector)
        finally:
            await inspectors.close()
            await kit.close()


async def read_yesterday(world: World) -> dict[str, KeptReading]:
    """Return what was read of a world before it drifted."""
    settings = load([world.config]).settings
    assert settings
    kit = await build_kit(settings)
    try:
        with world.before_drift() as credentials:
            return await readings_dated(settings, kit, credentials, 86400.0)
    finally:
        await kit.close()
