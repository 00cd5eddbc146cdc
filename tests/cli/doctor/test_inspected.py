"""The doctor asks the provider, where there is an inspector: every failure comes out as one certain cause."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smtpcheck.check.kit import build_kit
from smtpcheck.cli.doctor.document import as_json
from smtpcheck.cli.doctor.examination import Examination
from smtpcheck.cli.doctor.redacted_bundle import redacted
from smtpcheck.config import load
from smtpcheck.sandbox import replies
from smtpcheck.sandbox.directory import IssuerFailure
from smtpcheck.sandbox.flaws import Flaw
from smtpcheck.sandbox.scenario import AUDITOR, DOMAIN, CredentialKind, Registration, Scenario
from smtpcheck.sandbox.world import World
from tests.worlds.agents import unhurried
from tests.worlds.inspection import INSPECTED

FEDERATED = Registration("contoso", CredentialKind.FEDERATED, inspected_by=AUDITOR, wrong_secret=True)


async def examined(
    folder: Path, scenario: Scenario, *, policy: Mapping[str, object] | None = None
) -> tuple[dict[str, Any], str, World]:
    """Return what the doctor says of a scenario, the bundle for others, and its world."""
    async with World(folder, [scenario]) as world:
        unhurried(world)
        world.issuer.tenants[0].policies += [policy] if policy else []
        settings = load([world.config]).settings
        assert settings
        kit = await build_kit(settings)
        examination = Examination(settings.checks[0], settings, kit)
        async for _ in examination.run():
            pass
        document = as_json(examination.evidence, examination.stages, kit.catalogue)
        bundle = json.dumps(await asyncio.to_thread(redacted, document, examination.evidence))
        await kit.close()
    return document, bundle, world


def best(document: dict[str, Any]) -> dict[str, Any]:
    """Return the first finding of the first stage that has one from the inspection."""
    findings = [step["findings"] for step in document["steps"] if step["findings"]]
    return next(each[0] for each in findings if each[0]["evidence"] and each[0]["evidence"][0].endswith(")"))


@pytest.mark.parametrize(
    ("scenario", "cause"),
    [
        (Scenario("a", "-", flaw=Flaw.NOT_REGISTERED), "service_principal_not_registered"),
        (Scenario("a", "-", flaw=Flaw.NO_FULL_ACCESS), "mailbox_permission_missing"),
        (Scenario("a", "-", flaw=Flaw.SMTP_AUTH_OFF), "smtp_auth_disabled_mailbox"),
        (
            Scenario("a", "-", flaw=Flaw.SMTP_AUTH_OFF, refuses={"AUTH": replies.CRITERIA_NOT_MET}),
            "smtp_auth_disabled_mailbox",
        ),
    ],
)
async def test_a_refused_login_has_one_certain_cause(tmp_path: Path, scenario: Scenario, cause: str) -> None:
    document, bundle, _ = await examined(tmp_path, replace(scenario, registration=INSPECTED))
    finding = best(document)
    assert (finding["cause"], finding["certainty"]) == (cause, 0.98)
    assert finding["evidence"][0].startswith("Exchange, ")
    assert DOMAIN not in bundle


@pytest.mark.parametrize(
    ("registration", "cause"),
    [
        (replace(INSPECTED, known=False), "app_not_in_tenant"),
        (replace(INSPECTED, disabled=True), "app_disabled"),
        (replace(INSPECTED, secret_expired=True), "secret_expired"),
        (FEDERATED, "federated_assertion_mismatch"),
        (replace(INSPECTED, failure=IssuerFailure(code=65001), roles=()), "missing_smtp_permission"),
        (INSPECTED, "consent_missing"),
    ],
)
async def test_a_refused_token_has_one_certain_cause(tmp_path: Path, registration: Registration, cause: str) -> None:
    flaw = Flaw.ASSIGNMENT_REQUIRED if registration == INSPECTED else None  # AADSTS50105
    document, bundle, _ = await examined(tmp_path, Scenario("a", "-", registration=registration, flaw=flaw))
    finding = best(document)
    assert (finding["cause"], finding["certainty"]) == (cause, 0.98)
    assert finding["evidence"][0].startswith("Entra, ")
    assert DOMAIN not in bundle


async def test_the_sign_in_log_names_the_policy_by_its_id(tmp_path: Path) -> None:
    """AADSTS53003: conditional access. The policy's name is shown by inspect alone."""
    registration = replace(INSPECTED, failure=IssuerFailure(code=53003))
    policy = {"id": "6a1c5c5e-3a6f-4b59-a1e2-6a0f3c2b9d10", "displayName": "Block Anna's printer", "state": "enabled"}
    document, bundle, _ = await examined(tmp_path, Scenario("a", "-", registration=registration), policy=policy)
    finding = best(document)
    assert (finding["cause"], finding["certainty"]) == ("conditional_access", 0.98)
    assert "AADSTS53003; refused by the policy 6a1c5c5e" in finding["evidence"][0]
    assert "Anna" not in json.dumps(document)
    assert "6a1c5c5e" not in bundle


async def test_without_an_inspector_nothing_is_asked(tmp_path: Path) -> None:
    _, _, world = await examined(tmp_path, Scenario("a", "-", flaw=Flaw.NO_FULL_ACCESS))
    assert list(world.issuer.graph_directory.asked) == []
