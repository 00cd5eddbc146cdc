"""What is wrong now, on top of the page and in the API."""

from collections.abc import Awaitable, Callable

import pytest
from msgspec import structs

from smtpcheck.agent.alerting import Alerting, NotifierState
from smtpcheck.alerts.silence import Silence
from smtpcheck.diagnosis.catalogue import Catalogue
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Phase
from smtpcheck.model.report import Report
from tests.web.conftest import Client
from tests.web.world import NOW, World, check, settings
from tests.worlds.samples import bad, good

Connect = Callable[[World], Awaitable[Client]]


def a_world(catalogue: Catalogue, **checks: Report | None) -> World:
    """Return a world of checks with these reports."""
    world = World(settings(*map(check, checks)), catalogue)
    world.record(*filter(None, checks.values()))
    return world


async def page_of(client: Client) -> str:
    text = await (await client.get("/", headers={"Accept": "text/html"})).text()
    return text[text.index('id="live-problems"') : text.index("</section>", text.index('id="live-problems"'))]


async def test_the_page_begins_with_what_is_wrong_and_the_first_step(catalogue: Catalogue, connect: Connect) -> None:
    refused = structs.replace(bad("c", Phase.AUTH, Cause.USER_MISMATCH), started_at=NOW - 90)
    client = await connect(a_world(catalogue, a=bad("a"), b=bad("b"), c=refused, d=good("d")))
    section = await page_of(client)
    assert "2 problems, 3 of 4 checks affected" in section
    assert "Credential contoso: the client secret" in section
    assert "2 of 4 checks" in section
    assert "First step, for the administrator of the tenant:" in section
    assert '<a href="/checks/c">' in section
    answer = await (await client.get("/api/v1/problems")).json()
    assert [each["subject"] for each in answer["problems"]] == [
        {"kind": "credential", "name": "contoso"},
        {"kind": "check", "name": "c"},
    ]
    assert answer["problems"][0] | {"first_step": "", "summary": "", "since": 0} == {
        "subject": {"kind": "credential", "name": "contoso"},
        "cause": "secret_expired",
        "severity": "critical",
        "summary": "",
        "checks": ["a", "b"],
        "count": 2,
        "total": 4,
        "since": 0,
        "who": "admin",
        "first_step": "",
    }
    assert answer["silenced"] == 0


async def test_all_is_well_is_one_line(catalogue: Catalogue, connect: Connect) -> None:
    client = await connect(a_world(catalogue, a=good("a"), b=good("b")))
    assert "All is well: 2 checks" in await page_of(client)
    assert await (await client.get("/api/v1/problems")).json() == {"problems": [], "silenced": 0}


async def test_what_has_not_run_is_not_called_well(catalogue: Catalogue, connect: Connect) -> None:
    assert "2 checks, none has run yet" in await page_of(await connect(a_world(catalogue, a=None, b=None)))
    assert "No problem: 2 checks" in await page_of(await connect(a_world(catalogue, a=good("a"), b=None)))


async def test_what_is_silenced_is_counted_and_not_shown(catalogue: Catalogue, connect: Connect) -> None:
    world = a_world(catalogue, a=bad("a"), b=good("b"))
    world.alerting.silences.add(
        Silence("", NOW - 1, NOW + 60, checks=("a",), comment="x", author="anna"), until_repaired=False
    )
    client = await connect(world)
    section = await page_of(client)
    assert "No problem: 2 checks" in section
    assert "1 more is" in section
    assert await (await client.get("/api/v1/problems")).json() == {"problems": [], "silenced": 1}


async def test_alerts_that_reach_nobody_are_a_banner_on_every_page(
    catalogue: Catalogue, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = NotifierState("teams", "apprise", {}, "hooks.example.net did not answer in time", 1, NOW - 600)
    monkeypatch.setattr(Alerting, "notifiers", lambda _: [failing])
    client = await connect(a_world(catalogue, a=good("a")))
    for path in ("/", "/checks/a"):
        text = await (await client.get(path, headers={"Accept": "text/html"})).text()
        banner = text[text.index('id="live-trouble"') :][:400]
        assert "Alerts do not reach teams since" in banner
        assert "hooks.example.net did not answer in time" in banner
