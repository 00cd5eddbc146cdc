"""Every way to a token at the embedded issuers, which check signatures, times and rights as the real ones do."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from smtpcheck.agent.run_once import run_once
from smtpcheck.config import load
from smtpcheck.model.report import Outcome
from smtpcheck.oauth.broker import TokenBroker
from smtpcheck.oauth.managed_identity import ManagedIdentity
from smtpcheck.oauth.microsoft import Microsoft
from smtpcheck.oauth.token_cache import AcquiredToken
from smtpcheck.sandbox.certificates import Authority, Certificate
from smtpcheck.sandbox.directory import App, Tenant
from smtpcheck.sandbox.issuer import Issuer
from smtpcheck.sandbox.scenario import GMAIL, CredentialKind, Registration, Scenario
from smtpcheck.sandbox.smtp_session import Listener
from smtpcheck.sandbox.world import World
from tests.worlds import managed_identity_endpoint

SCENARIOS = tuple(
    Scenario(
        f"way-{way.value}",
        "One way to a token.",
        registration=Registration(f"way-{way.value}", way),
        server=GMAIL if way.google else Listener(),
    )
    for way in CredentialKind
    if way not in {CredentialKind.PASSWORD, CredentialKind.NONE, CredentialKind.API_KEY, CredentialKind.AWS}
)


async def test_every_way_leads_to_a_login(tmp_path: Path) -> None:
    async with World(tmp_path, SCENARIOS) as world:
        settings = load([world.config]).settings
        assert settings is not None
        reports = await run_once(settings, settings.checks)
    assert {name: report.outcome for name, report in reports.items()} == dict.fromkeys(reports, Outcome.OK)
    assert len(reports) == len(SCENARIOS)


@pytest.fixture
async def issuer(tmp_path: Path) -> AsyncIterator[Issuer]:
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    app = App(client_id="app", secret="Qx8-the-secret-of-the-app", graph_roles=("Application.Read.All",))
    issuer = Issuer([Tenant("11111111-2222-4333-8444-555555555555", "t.example", {"app": app})])
    await issuer.start(authority.server_context(Certificate.VALID))
    yield issuer
    await issuer.close()


async def test_the_end_of_the_secret_is_read_where_the_right_was_granted(issuer: Issuer, tmp_path: Path) -> None:
    fields = {
        "tenant": "t.example",
        "client_id": "app",
        "authority": issuer.url,
        "client_secret": {"value": "Qx8-the-secret-of-the-app"},
        "ca_file": tmp_path / "ca.pem",
        "read_expiry_from_graph": True,
    }
    broker = TokenBroker({"a": Microsoft.model_validate(fields)})
    assert isinstance(await broker.token("a", None, timeout=5), AcquiredToken)
    await broker.side_request("a")
    (state,) = broker.states()
    assert state.client_secret_expires_at is not None
    assert state.client_secret_expires_at > time.time()
    assert state.client_secret_name.endswith("(Qx8...)")
    await broker.close()


async def test_a_managed_identity_gets_a_token_of_a_day(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = managed_identity_endpoint.ManagedIdentityEndpoint(issuer, [managed_identity_endpoint.ManagedIdentity()])
    await endpoint.start()
    for name, value in endpoint.environment.items():
        monkeypatch.setenv(name, value)
    broker = TokenBroker({"vm": ManagedIdentity()})
    answer = await broker.token("vm", None, timeout=5)
    assert isinstance(answer, AcquiredToken)
    assert answer.facts is not None
    assert answer.facts.claims["roles"] == ["SMTP.SendAsApp"]
    assert answer.facts.expires_at == pytest.approx(time.time() + 86400, abs=10)
    assert (broker.states()[0].requests, endpoint.requests) == ({"success": 1, "error": 0}, 1)
    await broker.close()
    await endpoint.close()
