"""Every refusal whose cause the provider can prove is proven in a scenario of the sandbox, each in its own world."""

from pathlib import Path

import pytest

from smtpcheck.agent.run_once import run_once
from smtpcheck.config import load
from smtpcheck.diagnosis.explain import CERTAIN
from smtpcheck.diagnosis.inspected.causes import candidates
from smtpcheck.model.report import Report
from smtpcheck.sandbox.scenarios import SCENARIOS
from smtpcheck.sandbox.world import World
from tests.worlds.agents import only, unhurried

PROVEN = {
    "bare-535-unregistered": ("535 5.7.3", "Exchange, ", "there is no service principal of this application"),
    "bare-535-object-id": ("535 5.7.3", "Exchange, ", "the service principal has the object id"),
    "bare-535-no-right": ("535 5.7.3", "Exchange, ", "the application has no FullAccess to this mailbox"),
    "bare-535-smtp-auth": ("535 5.7.3", "Exchange, ", "SmtpClientAuthenticationDisabled is True for this mailbox"),
    "bare-535-no-mailbox": ("535 5.7.3", "Entra, ", "the account of this address is deleted"),
    "bare-535-no-permission": ("535 5.7.3", "Entra, ", "SMTP.SendAsApp is not among the permissions"),
    "bare-535-tenant-switch": ("535 5.7.3", "Exchange, ", "SmtpClientAuthenticationDisabled is True for the tenant"),
    "criteria-smtp-auth": ("535 5.7.139", "Exchange, ", "SmtpClientAuthenticationDisabled is True for this mailbox"),
    "mailbox-not-opened": ("430 4.2.0", "Exchange, ", "the application has no FullAccess to this mailbox"),
    "sender-blocked": ("550 5.1.8", "Exchange, ", "the mailbox is blocked from sending for outbound spam"),
    "sender-nobody-may": ("554 5.2.252", "Exchange, ", "nobody but its owner has Send As for this address"),
    "assignment-missing": ("AADSTS50105", "Entra, ", "the enterprise application requires an assignment"),
    "policy-refuses": ("AADSTS53003", "Entra sign-in log, ", "refused by the policy 6a1c5c5e"),
    "consent-withdrawn": ("AADSTS65001", "Entra, ", "SMTP.Send is not among the permissions"),
    "app-unknown": ("AADSTS700016", "Entra, ", "there is no enterprise application of this id in the tenant"),
    "secret-removed": ("AADSTS7000215", "Entra, ", "no secret of the application begins like the configured one"),
    "secret-expired": ("AADSTS7000222", "Entra, ", "the last secret or certificate expired on"),
    "federated-mismatch": ("AADSTS700213", "Entra, ", "no federated credential has issuer, subject and audience"),
    "google-user-suspended": ("invalid_grant", "Google Workspace, ", "the account is suspended"),
    "google-no-mailbox": ("535 5.7.8", "Google Workspace, ", "the account has no mailbox at Gmail"),
    "google-key-disabled": ("invalid_grant", "Google IAM, ", "the key of the local file is disabled"),
}
"""By scenario: what refuses, who says why, and what they say."""
UNPROVEN = {
    "inspector-blind",  # nobody may say anything
    "incident",  # proves nothing
    "google-incident",
}


def refusal(report: Report) -> str:
    error, reply = report.token_error, report.failed_reply
    if reply is not None:
        return f"{reply.code} {reply.enhanced}"
    assert error is not None
    return f"AADSTS{error.error_codes[0]}" if error.error_codes else error.error


@pytest.mark.parametrize("name", PROVEN)
async def test_the_providers_word_proves_the_cause_of_a_scenario(tmp_path: Path, name: str) -> None:
    async with World(tmp_path, only(name)) as world:
        unhurried(world)
        settings = load([world.config]).settings
        assert settings
        (report,) = (await run_once(settings, settings.checks, inspections=True)).values()
        assert world.expected[name].expects(report)
    refused, source, says = PROVEN[name]
    best = report.findings[0]
    assert refusal(report) == refused
    assert candidates(report)
    assert (best.rule, best.certainty >= CERTAIN) == (f"inspection.{report.cause}", True)
    assert best.evidence[0].startswith(source)
    assert says in best.evidence[0]
    assert not any("@" in sentence for sentence in best.evidence)


def test_every_inspected_scenario_that_fails_is_listed() -> None:
    failing = {
        each.name
        for each in SCENARIOS
        if each.registration.inspected_by and each.cause and "loopback" not in each.check
    }
    assert failing == set(PROVEN) | UNPROVEN
