"""A credential gives tokens for other scopes than its own, as finders need them, and a login asks for them too."""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest

from smtpcheck.config import load
from smtpcheck.model.report import TokenError
from smtpcheck.oauth.answer import TokenResponse
from smtpcheck.oauth.credential import Credential
from smtpcheck.oauth.flow import IssuedToken
from smtpcheck.oauth.microsoft_user import MicrosoftUser
from smtpcheck.oauth.token_store import TokenStore
from smtpcheck.sandbox.scenario import CONTOSO_MAIL, GMAIL, CredentialKind, Registration, Scenario
from smtpcheck.sandbox.world import World

SCENARIOS = (
    Scenario("app", "An application.", registration=CONTOSO_MAIL),
    Scenario("user", "A user.", registration=Registration("user", CredentialKind.USER)),
    Scenario(
        "google", "A service account.", registration=Registration("google", CredentialKind.GOOGLE_ACCOUNT), server=GMAIL
    ),
)
GRAPH = "https://graph.microsoft.com/.default"
IMAP = "https://outlook.office.com/IMAP.AccessAsUser.All"
READ_WRITE = "https://graph.microsoft.com/Mail.ReadWrite"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path, SCENARIOS) as world:
        for app in world.issuer.tenants[0].apps.values():
            app.delegated = ("SMTP.Send", "IMAP.AccessAsUser.All", "Mail.ReadWrite")
        yield world


def _credential(world: World, name: str) -> Credential:
    settings = load([world.config]).settings
    assert settings is not None
    return settings.credentials[name]


async def _asked(world: World, name: str, scope: str, subject: str | None = None) -> IssuedToken | TokenError:
    store = TokenStore(world.config.parent / "tokens")
    flow = _credential(world, name).flow(store.file(name))
    return await asyncio.to_thread(flow.request, subject, scope)


def _claims(answer: object) -> Mapping[str, Any]:
    assert isinstance(answer, IssuedToken | TokenResponse), answer
    return jwt.decode(answer.token.reveal(), options={"verify_signature": False})


@pytest.mark.parametrize(
    ("name", "scope", "audience", "rights"),
    [
        ("contoso-mail", "", "https://outlook.office365.com", ["SMTP.SendAsApp", "IMAP.AccessAsApp"]),
        ("contoso-mail", GRAPH, "https://graph.microsoft.com", ["Mail.ReadWrite"]),
        ("user", "", "https://outlook.office.com", "SMTP.Send"),
        ("user", IMAP, "https://outlook.office.com", "IMAP.AccessAsUser.All"),
        ("user", READ_WRITE, "https://graph.microsoft.com", "Mail.ReadWrite"),
    ],
)
async def test_a_token_is_for_the_scope_that_was_asked_for(
    world: World, name: str, scope: str, audience: str, rights: object
) -> None:
    claims = _claims(await _asked(world, name, scope))
    assert claims["aud"] == audience
    given = claims.get("roles", claims.get("scp"))
    assert given == rights if isinstance(rights, list) else str(rights) in str(given).split()


async def test_a_service_account_asks_for_the_scope_too(world: World) -> None:
    answer = await _asked(world, "google", "https://www.googleapis.com/auth/gmail.imap_admin", "google@contoso.example")
    assert isinstance(answer, TokenError)  # which nobody has delegated to it
    assert answer.requested_scope == "https://www.googleapis.com/auth/gmail.imap_admin"
    assert isinstance(await _asked(world, "google", "", "google@contoso.example"), IssuedToken)


async def test_a_scope_that_was_not_consented_to_is_told_as_such(world: World) -> None:
    for app in world.issuer.tenants[0].apps.values():
        app.delegated = ("SMTP.Send",)
    answer = await _asked(world, "user", READ_WRITE)
    assert isinstance(answer, TokenError)
    assert (answer.requested_scope, 65001 in answer.error_codes) == (READ_WRITE, True)


async def test_a_login_asks_for_what_one_login_can_be_for(world: World) -> None:
    credential = _credential(world, "user")
    assert isinstance(credential, MicrosoftUser)
    world.issuer.sign_ins.visitor = "user@contoso.example"
    further = [IMAP, READ_WRITE]
    answer = await asyncio.to_thread(credential.sign_in, lambda _: None, threading.Event(), 0, further)
    claims = _claims(answer)
    assert {"SMTP.Send", "IMAP.AccessAsUser.All"} <= {*claims["scp"].split()}
    assert claims["aud"] == "https://outlook.office.com"
