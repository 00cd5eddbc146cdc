"""Silences by the API and by the button: who may, what is needed, what is refused, what the pages show."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import bcrypt
import pytest
from aiohttp import encode_basic_auth
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from smtpcheck.alerts.silence import Silence
from smtpcheck.alerts.thresholds import Thresholds
from smtpcheck.config.alerts import AlertSettings
from smtpcheck.web import create_app
from smtpcheck.web.auth import Guard
from smtpcheck.web.keys import GUARD
from smtpcheck.web.web_config import WebConfig
from tests.web.conftest import Client
from tests.web.world import NOW, World

HOUR = 3600.0
WHOLE: dict[str, Any] = {"checks": ["billing"], "for": "1h", "comment": "migration"}


def name_of(world: World) -> str:
    return world.settings.checks[0].name


@pytest.fixture
def wanted(world: World) -> dict[str, Any]:
    return {**WHOLE, "checks": [name_of(world)]}


async def test_one_is_begun_listed_shown_and_ended(client: Client, world: World, wanted: dict[str, Any]) -> None:
    name = name_of(world)
    with capture_logs() as logs:
        answer = await client.post("/api/v1/silences", json=wanted)
    made = await answer.json()
    assert answer.status == 201
    assert (made["from"], made["to"], made["covers"], made["active"]) == (NOW, NOW + HOUR, 1, True)
    assert (made["author"], made["comment"], made["until_repaired"]) == ("a user of this machine", "migration", False)
    assert [(each["event"], each["by"]) for each in logs] == [("silence begun", "a user of this machine")]
    assert (await (await client.get("/api/v1/silences")).json())["silences"] == [made]
    assert (await (await client.get(f"/api/v1/checks/{name}")).json())["silenced"] is True
    page = await (await client.get(f"/checks/{name}", headers={"Accept": "text/html"})).text()
    assert "<b>Silenced</b>" in page
    assert "migration" in page
    assert "Silenced</span>" in await (await client.get("/", headers={"Accept": "text/html"})).text()
    ended = await client.post(f"/api/v1/silences/{made['id']}/end")
    assert (ended.status, await ended.json()) == (200, {"ended": made["id"]})
    assert (await client.post(f"/api/v1/silences/{made['id']}/end")).status == 404
    assert "Silence this check" in await (await client.get(f"/checks/{name}", headers={"Accept": "text/html"})).text()


async def test_a_form_is_sent_back_to_the_page_of_its_check(client: Client, world: World) -> None:
    name = name_of(world)
    form = {"check": name, "for": "repaired", "comment": "<b>known</b>"}
    answer = await client.post("/api/v1/silences", data=form, headers={"Accept": "text/html"}, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, f"/checks/{name}")
    page = await (await client.get(answer.headers["Location"], headers={"Accept": "text/html"})).text()
    assert "&lt;b&gt;known&lt;/b&gt;" in page
    [made] = world.alerting.silences.all()
    assert made.until_gone is not None
    answer = await client.post(
        f"/api/v1/silences/{made.id}/end", headers={"Accept": "text/html"}, allow_redirects=False
    )
    assert (answer.status, answer.headers["Location"]) == (303, f"/checks/{name}")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"comment": "  "}, "a comment is needed"),
        ({"comment": None}, "a comment is needed"),
        ({"for": "forever"}, "for must be one of 1h, 8h, monday, repaired"),
        ({"for": ["1h"]}, "for must be one of"),
        ({"checks": []}, "no check is covered"),
        ({"checks": ["nobody"]}, "no check is covered"),
        ({"checks": "*"}, "checks must be a list"),
        ({"checks": [7]}, "checks must be a list"),
        ({"checks": ["*"] * 101}, "checks must be a list of at most 100 names"),
        ({"credentials": {"contoso": 1}}, "credentials must be a list"),
        ({"labels": ["team"]}, "labels must be names with text values"),
        ({"labels": {"team": 7}}, "labels must be names with text values"),
    ],
)
async def test_what_is_missing_or_wrong_is_named(
    client: Client, world: World, wanted: dict[str, Any], change: dict[str, Any], problem: str
) -> None:
    answer = await client.post("/api/v1/silences", json={**wanted, **change})
    assert (answer.status, problem in (await answer.json())["error"]) == (400, True)
    assert world.alerting.silences.all() == []


@pytest.mark.parametrize("to", [NOW, NOW - 1, NOW + 7 * 86400 + 1, float("nan"), float("inf"), True, "tomorrow", None])
async def test_an_end_is_in_the_future_and_within_a_week(client: Client, wanted: dict[str, Any], to: object) -> None:
    body = {name: value for name, value in wanted.items() if name != "for"} | {"to": to}
    assert (await client.post("/api/v1/silences", json=body)).status == 400


async def test_an_end_in_unix_seconds(client: Client, wanted: dict[str, Any]) -> None:
    body = {name: value for name, value in wanted.items() if name != "for"} | {"to": NOW + 90}
    assert (await (await client.post("/api/v1/silences", json=body)).json())["to"] == NOW + 90


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b"[" * 100_000, b"\xff"])
async def test_a_body_that_is_no_object_is_refused(client: Client, body: bytes) -> None:
    answer = await client.post("/api/v1/silences", data=body, headers={"Content-Type": "application/json"})
    assert answer.status == 400


async def test_another_origin_may_not(client: Client, wanted: dict[str, Any]) -> None:
    headers = {"Origin": "https://evil.example"}
    assert (await client.post("/api/v1/silences", json=wanted, headers=headers)).status == 403


async def test_without_users_only_this_machine_may(
    client: Client, wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smtpcheck.web.silences.is_loopback", lambda _: False)
    for path, body in (("/api/v1/silences", wanted), ("/api/v1/silences/0123456789ab/end", None)):
        answer = await client.post(path, json=body)
        assert answer.status == 403
        assert "only this machine" in (await answer.json())["error"]


async def test_there_is_an_end_to_how_many(
    client: Client, wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smtpcheck.web.silences.MOST_SILENCES", 2)
    answers = [await client.post("/api/v1/silences", json=wanted) for _ in range(3)]
    assert [each.status for each in answers] == [201, 201, 409]


async def test_what_is_written_in_a_comment_breaks_no_log_and_no_page(
    client: Client, world: World, wanted: dict[str, Any]
) -> None:
    answer = await client.post("/api/v1/silences", json={**wanted, "comment": "a\x1b[2J\n\ud800" + "x" * 9999})
    made = await answer.json()
    assert made["comment"].startswith("a\\x1b[2J\\n\\ud800")
    assert len(made["comment"]) == 500
    page = await client.get(f"/checks/{name_of(world)}", headers={"Accept": "text/html"})
    assert page.status == 200


async def test_one_of_the_configuration_is_ended_there(
    connect: Callable[[World], Awaitable[Client]], world: World
) -> None:
    configured = Silence("c" * 12, NOW - 1, NOW + HOUR, checks=("*",), comment="planned")
    alerts = AlertSettings(Thresholds(1, 1), None, silences=(configured,))
    world.alerting.silences.replace(replace(world.settings, alerts=alerts))
    client = await connect(world)
    answer = await client.post(f"/api/v1/silences/{configured.id}/end")
    assert (answer.status, "in the configuration" in (await answer.json())["error"]) == (409, True)
    page = await (await client.get(f"/checks/{name_of(world)}", headers={"Accept": "text/html"})).text()
    assert "by the configuration" in page
    assert "End the silence" not in page


async def test_where_there_are_users_it_is_the_users_name(
    world: World, wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smtpcheck.web.silences.is_loopback", lambda _: False)
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
    app = create_app(world, clock=lambda: NOW)
    app[GUARD] = Guard(lambda: WebConfig(users={"anna": hashed}))
    async with TestClient(TestServer(app)) as client:
        assert (await client.post("/api/v1/silences", json=wanted)).status == 401
        answer = await client.post(
            "/api/v1/silences", json=wanted, headers={"Authorization": encode_basic_auth("anna", "right")}
        )
        assert (answer.status, (await answer.json())["author"]) == (201, "anna")
