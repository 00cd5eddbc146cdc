"""What the provider says, on a check's page and in its JSON: for users who may see it, and for nobody else."""

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from html import unescape
from typing import Any

import bcrypt
import pytest
from aiohttp import encode_basic_auth
from aiohttp.test_utils import TestClient, TestServer

from smtpcheck.inspection.plan import InspectionPlan
from smtpcheck.model.inspection import Fact, FactName, Inspection, NotReadable, Obstacle
from smtpcheck.web import create_app
from smtpcheck.web.auth import Guard
from smtpcheck.web.inspected import LONGEST, MOST_FACTS, MOST_ITEMS
from smtpcheck.web.keys import GUARD
from smtpcheck.web.web_config import WebConfig
from tests.web.conftest import Client
from tests.web.world import NOW, World

HTML = {"Accept": "text/html"}
ANNA = {"Authorization": encode_basic_auth("anna", "right")}
MAILBOX = "billing@contoso.example"
OURS = (
    Fact(FactName.PRINCIPAL_ENABLED, True, "Entra", "GET /v1.0/servicePrincipals(appId='...')", NOW - 7200),
    Fact(FactName.SIGN_IN_ADDRESS, "203.0.113.77", "Entra sign-in log", "GET", NOW - 7200, personal=True),
    Fact(
        *(FactName.MAILBOX_FORWARDS_TO, "anna@elsewhere.example", "Exchange", "Get-Mailbox", NOW - 3600, MAILBOX),
        personal=True,
    ),
    Fact(FactName.REGISTERED_SID, "S-1-5-21-1234567890-1234567890-1234567890-12345", "Exchange", "Get-X", NOW),
)
FOUND = Inspection(
    (*OURS, Fact(FactName.USER_NAME, "other@contoso.example", "Entra", "GET", NOW, "invoices@contoso.example")),
    (
        NotReadable("sign_ins", Obstacle.LICENCE, "it needs Entra ID P1", NOW - 60),
        NotReadable("mailbox_user", Obstacle.PERMISSION, "permission User.Read.All is missing", NOW - 60, MAILBOX),
        NotReadable("mailbox_user", Obstacle.PERMISSION, "of another mailbox", NOW, "invoices@contoso.example"),
    ),
)
SHOWN = ("203.0.113.77", "anna@elsewhere.example", "User.Read.All", "Entra ID P1", "S-1-5-21-1234567890", "auditor")
Serve = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def serve(world: World) -> Serve:
    """Return what serves the world, with or without users and addresses."""

    @asynccontextmanager
    async def serving(*, users: bool = True, expose: bool = True) -> AsyncIterator[Client]:
        settings = world.settings
        agent = replace(settings.agent, expose_addresses=expose)
        plan = InspectionPlan("contoso", "auditor", 86400.0, mailboxes=(MAILBOX,))
        world.settings = replace(settings, agent=agent, inspections={"contoso": plan})
        app = create_app(world, clock=lambda: NOW)
        hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
        app[GUARD] = Guard(lambda: WebConfig(users={"anna": hashed} if users else {}))
        async with TestClient(TestServer(app)) as client:
            yield client

    world.read["contoso"] = FOUND
    return serving


async def _both(client: Client, name: str = "billing") -> tuple[str, dict[str, Any]]:
    """Return the page, and the JSON, of a check as the user sees them."""
    page = await (await client.get(f"/checks/{name}", headers={**HTML, **ANNA})).text()
    return page, await (await client.get(f"/api/v1/checks/{name}", headers=ANNA)).json()


def _text(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


async def test_a_user_sees_what_was_read_by_whom_and_when(serve: Serve) -> None:
    async with serve() as client:
        page, answer = await _both(client)
    text = _text(page)
    for part in SHOWN:
        assert part in text
    assert "What the provider says asked as auditor Application and tenant" in text
    assert "mailbox forwards to anna@elsewhere.example Exchange, 60 min ago , Get-Mailbox" in text
    assert "mailbox user not readable : permission User.Read.All is missing tried 60 s ago" in text
    inspection = answer["inspection"]
    assert (inspection["by"], inspection["left_out"], len(inspection["facts"])) == ("auditor", 0, len(OURS))
    assert {each["read_at"] for each in inspection["facts"]} == {NOW, NOW - 3600, NOW - 7200}


async def test_only_the_checks_own_mailbox_is_shown(serve: Serve) -> None:
    async with serve() as client:
        page, answer = await _both(client)
    assert "other@contoso.example" not in page + json.dumps(answer)
    assert "of another mailbox" not in page + json.dumps(answer)


@pytest.mark.parametrize(
    ("users", "expose", "needed"),
    [
        (False, True, ("users or required client certificates",)),
        (True, False, ("agent.expose_addresses: true",)),
        (False, False, ("users or required client certificates", "agent.expose_addresses: true")),
    ],
)
async def test_without_users_or_the_setting_nothing_is_shown_and_the_page_says_why(
    serve: Serve, *, users: bool, expose: bool, needed: tuple[str, ...]
) -> None:
    async with serve(users=users, expose=expose) as client:
        page, answer = await _both(client)
    text = _text(page)
    assert "inspection" not in answer
    assert not [part for part in SHOWN if part in page + json.dumps(answer)]
    line = re.search(r"What the provider says .*? smtpcheck inspect contoso", text)
    assert line is not None
    assert all(words in line[0] for words in needed)
    assert ("users or" in line[0], "expose_addresses" in line[0]) == (not users, not expose)


async def test_a_wrong_password_sees_nothing(serve: Serve) -> None:
    async with serve() as client:
        answer = await client.get("/checks/billing", headers={"Authorization": encode_basic_auth("anna", "wrong")})
        assert answer.status == 401
        assert "203.0.113.77" not in await answer.text()


async def test_a_credential_without_an_inspector_has_no_section(serve: Serve) -> None:
    async with serve() as client:
        page, answer = await _both(client, "orders")
    assert "inspection" not in answer
    assert "What the provider says" not in page


@pytest.mark.parametrize(
    ("next_at", "said"),
    [
        (NOW + 7200, "; the next reading begins in 2 h ."),
        (NOW - 60, ", a reading is under way."),
        (None, ", a reading is under way."),
    ],
)
async def test_before_the_first_reading_the_page_says_when_it_comes(
    serve: Serve, world: World, next_at: float | None, said: str
) -> None:
    world.read.clear()
    world.next_reading = next_at
    async with serve() as client:
        page, answer = await _both(client)
    assert f"Nothing has been read since the agent started{said}" in _text(page)
    assert answer["inspection"]["facts"] == []


def _hostile(value: str) -> Inspection:
    """Return a reading in which every text is this one, and of everything there is too much."""
    fact = Fact(FactName.POLICY, value, value, value, NOW, item=value, personal=True)
    rows = (replace(fact, name=FactName.APPLICATION_ROLES, value=(value,) * 60) for _ in range(2 * MOST_FACTS))
    missed = (NotReadable(value, Obstacle.UNEXPECTED, value, NOW) for _ in range(2 * MOST_FACTS))
    return Inspection((fact, *rows), tuple(missed))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("\" onmouseover=alert(1) x='", "&#34; onmouseover=alert(1) x=&#39;"),
        ("{{ 7 * 7 }}{% raw %}", "{{ 7 * 7 }}{% raw %}"),
        ("a\x1b[31m\0\u202eb", "a\\x1b[31m\\x00\\u202eb"),
        ("words " * 2_000, "words words"),
        ("A" * 10_000, "***"),
    ],
)
async def test_no_value_breaks_the_page(serve: Serve, world: World, value: str, shown: str) -> None:
    world.read["contoso"] = _hostile(value)
    async with serve() as client:
        page, answer = await _both(client)
    assert shown in page
    assert value not in page or "<" not in value
    assert page.isprintable() or set(filter(lambda each: not each.isprintable(), page)) == {"\n"}
    assert "words " * (LONGEST // 6 + 1) not in page
    assert page.rstrip().endswith("</html>")
    assert len(page) + len(json.dumps(answer)) < 2_000_000
    inspection = answer["inspection"]
    assert (len(inspection["facts"]), inspection["left_out"]) == (MOST_FACTS, MOST_FACTS + 1)
    assert len(inspection["not_readable"]) == MOST_FACTS
    lists = [each["value"] for each in inspection["facts"] if isinstance(each["value"], list)]
    assert {len(each) for each in lists} == {MOST_ITEMS + 1}


@pytest.mark.parametrize(
    "secret",
    [
        "eyJhbGciOiJSUzI1NiJ9.eyJyb2xlcyI6W119.c2lnbmF0dXJl",
        "abc8Q~abcdefghijklmnopqrstuvwxyz0123456789",
        "client_secret=hunter2hunter2",
    ],
)
async def test_no_value_shows_a_secret(serve: Serve, world: World, secret: str) -> None:
    world.read["contoso"] = _hostile(f"a policy {secret} b")
    async with serve() as client:
        page, answer = await _both(client)
    assert secret not in page + json.dumps(answer)
    assert "a policy" in page


async def test_times_of_a_clock_that_is_wrong_break_nothing(serve: Serve, world: World) -> None:
    rows = tuple(
        Fact(FactName.POLICY, "x", "Entra", "GET", at, changed_at=at) for at in (0.0, -1e12, 1e18, NOW + 4 * 86400)
    )
    world.read["contoso"] = Inspection(rows)
    async with serve() as client:
        page, answer = await _both(client)
    assert "cannot be shown" not in page
    assert len(answer["inspection"]["facts"]) == len(rows)
