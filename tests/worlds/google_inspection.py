"""A customer of Google in the sandbox with an inspector, and what a test asks of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from smtpcheck.check.kit import Kit, build_kit
from smtpcheck.config import Settings, load
from smtpcheck.inspection.inspector import Inspector
from smtpcheck.inspection.inspectors import Inspectors
from smtpcheck.inspection.questions import QUESTIONS
from smtpcheck.model.inspection import FactName, Inspection, NotReadable
from smtpcheck.sandbox.google_accounts import GoogleUser, ServiceAccount
from smtpcheck.sandbox.google_admin import GoogleAdmin
from smtpcheck.sandbox.scenario import DOMAIN, GMAIL, WORKSPACE_AUDITOR, CredentialKind, Registration, Scenario
from smtpcheck.sandbox.world import World

INSPECTED = Registration("workspace", CredentialKind.GOOGLE_ACCOUNT, inspected_by=WORKSPACE_AUDITOR)
MAILBOX = f"billing@{DOMAIN}"


@dataclass(frozen=True)
class Customer:
    """One service account with one mailbox, and its inspector."""

    world: World
    settings: Settings
    kit: Kit
    inspector: Inspector

    @property
    def admin(self) -> GoogleAdmin:
        """Return what administrators may read."""
        return self.world.google.admin

    @property
    def user(self) -> GoogleUser:
        """Return the mailbox's user."""
        return self.world.google.users[MAILBOX]

    @property
    def account(self) -> ServiceAccount:
        """Return the service account that is inspected."""
        return self.world.google.accounts["workspace@sandbox-project.iam.gserviceaccount.com"]

    async def read(self) -> Inspection:
        """Ask everything."""
        return await self.inspector.read(QUESTIONS, self.inspector.plan.mailboxes)

    async def value(self, name: FactName) -> object:
        """Ask everything and return the value of one fact, which must be there."""
        fact = (await self.read()).find(name, MAILBOX if name.is_of_mailbox else "")
        assert fact is not None, name
        return fact.value

    async def not_readable(self, question: str) -> NotReadable:
        """Ask everything and return why one question has no answer, which must be so."""
        found = await self.read()
        return next(each for each in found.not_readable if each.question == question)


@asynccontextmanager
async def customer(folder: Path, registration: Registration = INSPECTED) -> AsyncIterator[Customer]:
    """Run a customer of Google with one mailbox."""
    only = replace(Scenario("billing", "A mailbox.", server=GMAIL), registration=registration)
    async with World(folder, [only]) as world:
        loaded = load([world.config])
        assert loaded.settings, loaded.problems
        kit = await build_kit(loaded.settings)
        inspectors = Inspectors(loaded.settings.inspections, loaded.settings.credentials, kit.tokens)
        inspector = inspectors.get(registration.name)
        assert inspector is not None
        try:
            yield Customer(world, loaded.settings, kit, inspector)
        finally:
            await inspectors.close()
            await kit.close()
