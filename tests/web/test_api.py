"""The JSON API."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from smtpcheck.agent.on_demand import Busy
from smtpcheck.model.check import Depth
from tests.web.conftest import Client
from tests.web.world import DAY, NOW, TooSoon, World


async def test_the_list_tells_each_check(client: Client) -> None:
    answer = await (await client.get("/api/v1/checks?q=billing")).json()
    assert answer == {
        "total": 6,
        "found": 1,
        "page": 1,
        "pages": 1,
        "counts": {"critical": 2, "ok": 1, "warning": 1, "unknown": 1, "waiting": 1},
        "checks": [
            {
                "name": "billing",
                "mailbox": "billing@contoso.example",
                "provider": "microsoft",
                "credential": "contoso",
                "host": "smtp.office365.com",
                "port": 587,
                "depth": "auth",
                "interval": 60.0,
                "labels": {"team": "finance"},
                "status": "critical",
                "causes": ["smtp_auth_disabled_tenant"],
                "last_run": NOW - 45,
                "next_run": NOW + 37,
                "silenced": False,
                "backoff_until": None,
                "seconds": 0.755,
                "token_expires": NOW + 3199,
                "secret_expires": NOW + 21 * DAY,
                "certificate_expires": NOW + 160 * DAY,
            }
        ],
    }


async def test_one_check_tells_its_report(client: Client) -> None:
    answer = await (await client.get("/api/v1/checks/billing")).json()
    report = answer["report"]
    assert (answer["runs"], answer["failures"], answer["since"], len(answer["history"])) == (59, 3, NOW - 45, 59)
    assert answer["history"][-1] == {
        "started_at": NOW - 45,
        "seconds": 0.755,
        "outcome": "critical",
        "cause": "smtp_auth_disabled_tenant",
    }
    assert [step["phase"] for step in report["steps"]][-2:] == ["auth", "quit"]
    assert report["steps"][-2]["exchanges"][-1] == {
        "command": "<1984 octets of credentials>",
        "reply": {
            "code": 535,
            "enhanced": "5.7.139",
            "lines": ["Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant."],
        },
        "challenge": "",
    }
    assert report["steps"][-2]["exchanges"][0]["challenge"] == '{"status":"400","schemes":"Bearer"}'
    assert report["findings"][0]["cause"] == "smtp_auth_disabled_tenant"
    assert report["findings"][0]["summary"]
    assert report["token"]["claims"]["roles"] == ["SMTP.SendAsApp"]
    assert report["tls"]["certificate"]["not_after"] == NOW + 160 * DAY
    assert answer["last_failure"]["started_at"] == NOW - 45


async def test_a_check_that_has_not_run_has_no_report(client: Client) -> None:
    answer = await (await client.get("/api/v1/checks/scanner")).json()
    assert [answer[key] for key in ("status", "last_run", "runs", "report", "last_failure", "history")] == [
        "waiting", None, 0, None, None, [],
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["/api/v1/checks/nobody", "/api/v1/nothing"])
async def test_what_is_not_there_is_404_as_json(client: Client, path: str) -> None:
    answer = await client.get(path)
    assert answer.status == 404
    assert list(await answer.json()) == ["error"]


async def test_check_now_runs_the_check_and_answers_its_report(client: Client, world: World) -> None:
    answer = await client.post("/api/v1/checks/scanner/run")
    report = await answer.json()
    assert (answer.status, report["check"], report["outcome"], world.asked) == (200, "scanner", "ok", ["scanner"])


async def test_check_now_too_soon_says_how_long_to_wait(client: Client, world: World) -> None:
    world.answer = TooSoon(6.2)
    answer = await client.post("/api/v1/checks/billing/run")
    assert (answer.status, answer.headers["Retry-After"]) == (429, "7")


async def test_check_now_at_an_agent_that_is_stopping_runs_nothing(client: Client, world: World) -> None:
    world.answer = Busy()
    answer = await client.post("/api/v1/checks/billing/run")
    assert (answer.status, await answer.json()) == (503, {"error": "not run: the agent is starting or stopping"})


async def test_check_now_of_an_unknown_check_runs_nothing(client: Client, world: World) -> None:
    answer = await client.post("/api/v1/checks/nobody/run")
    assert (answer.status, world.asked) == (404, [])


async def test_a_form_is_sent_back_to_the_page(client: Client, world: World) -> None:
    html = {"Accept": "text/html,*/*"}
    ran = await client.post("/api/v1/checks/billing/run", headers=html, allow_redirects=False)
    world.answer = TooSoon(6.2)
    refused = await client.post("/api/v1/checks/billing/run", headers=html, allow_redirects=False)
    assert [(answer.status, answer.headers["Location"]) for answer in (ran, refused)] == [
        (303, "/checks/billing?ran=1"),
        (303, "/checks/billing?wait=7"),
    ]


async def test_the_list_comes_in_pages(client: Client) -> None:
    first = await (await client.get("/api/v1/checks?sort=name&per_page=4")).json()
    last = await (await client.get("/api/v1/checks?sort=name&per_page=4&page=2")).json()
    names = [[check["name"] for check in answer["checks"]] for answer in (first, last)]
    assert (first["pages"], names) == (
        2,
        [["billing", "invoices", "newsletter", "orders"], ["printer-3rd-floor", "scanner"]],
    )


async def test_json_is_json(client: Client) -> None:
    """No NaN and no Infinity, which JSON does not know."""
    text = await (await client.get("/api/v1/checks/billing")).text()
    assert json.loads(text, parse_constant=pytest.fail)["name"] == "billing"


async def test_check_now_sends_no_message_before_it_is_confirmed(
    world: World, connect: Callable[[World], Awaitable[Client]]
) -> None:
    """The page asks, and says to whom; a request says so by a parameter."""
    sending = replace(world.settings.checks[0], depth=Depth.SEND, recipient="probe@contoso.example")
    world = replace(world, settings=replace(world.settings, checks=(sending,)))
    client, asked = await connect(world), world.asked
    path = f"/api/v1/checks/{sending.name}/run"
    refused = await client.post(path)
    assert (refused.status, asked) == (409, [])
    assert "sends a real message to probe@contoso.example" in (await refused.json())["error"]
    page = await (await client.get(f"/checks/{sending.name}", headers={"Accept": "text/html"})).text()
    assert f'action="{path}?send=true"' in page
    assert '<input type="checkbox" required> Send a real message to probe@contoso.example' in page
    assert ((await client.post(f"{path}?send=true")).status, asked) == (200, [sending.name])
