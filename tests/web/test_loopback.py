"""The loopback on a check's page and in the API: the way of each message, as far as it is known."""

from dataclasses import replace

import pytest
from aiohttp.test_utils import TestClient

from smtpcheck.loopback.finder import FinderError, FinderStep, FolderKind
from smtpcheck.loopback.status import FinderState, LoopbackStatus
from smtpcheck.loopback.timeline import EventKind, timeline
from smtpcheck.mail.headers import Hop
from tests.loopback.test_status import ACCEPTED, HEADERS, PLAN, SENT, found, loopback_status, missed, with_fields
from tests.web.world import World

AHEAD = replace(
    found(FolderKind.JUNK), deleted=True, hops=(Hop("mx.example.org", SENT - 7), Hop("<b>store</b>", SENT + 3))
)


@pytest.fixture
def name(world: World) -> str:
    return world.settings.checks[0].name


async def page(client: TestClient, world: World, name: str, known: LoopbackStatus) -> str:  # type: ignore[type-arg]
    world.standings[name] = known
    response = await client.get(f"/checks/{name}")
    assert response.status == 200
    return await response.text()


async def test_the_page_shows_the_way_of_a_message(client: TestClient, world: World, name: str) -> None:  # type: ignore[type-arg]
    """From sending to the folder, with the server's words, clocks that differ, and what was authenticated."""
    shown = await page(client, world, name, loopback_status(AHEAD))
    for part in (
        "250 2.0.0 OK &lt;b@mx.example.org&gt;",
        "received by mx.example.org",
        "its clock is behind the previous one",
        "received by &lt;b&gt;store&lt;/b&gt;",
        "in the mailbox: Junk",
        "found in Junk, and deleted",
        "<li>spf=pass</li>",
        "probe@example.org",
    ):
        assert part in shown
    assert "style=" not in shown


async def test_the_page_shows_what_is_not_known_yet(client: TestClient, world: World, name: str) -> None:  # type: ignore[type-arg]
    assert "No message has been sent yet." in await page(client, world, name, loopback_status())
    assert "not there yet, after 1 search" in await page(client, world, name, loopback_status(missed(65)))
    assert "considered lost" in await page(client, world, name, loopback_status(missed(901)))
    assert "not looked for" in await page(
        client, world, name, replace(loopback_status(ACCEPTED), plan=replace(PLAN, find=None))
    )
    error = FinderError(FinderStep.LOGIN, "<no>", "AUTHENTICATIONFAILED")
    failing = replace(loopback_status(ACCEPTED), finder=FinderState(SENT, error, 3, SENT - 60))
    assert "failed in step login</span> &lt;no&gt; (AUTHENTICATIONFAILED)" in await page(client, world, name, failing)


async def test_a_check_without_a_loopback_shows_none(client: TestClient, world: World, name: str) -> None:  # type: ignore[type-arg]
    assert "loopback-head" not in await (await client.get(f"/checks/{name}")).text()
    assert (await (await client.get(f"/api/v1/checks/{name}")).json())["loopback"] is None


async def test_the_api_tells_all_that_is_known(client: TestClient, world: World, name: str) -> None:  # type: ignore[type-arg]
    world.standings[name] = loopback_status(AHEAD)
    answer = (await (await client.get(f"/api/v1/checks/{name}")).json())["loopback"]
    message = answer["messages"][0]
    assert (answer["success"], answer["pending"], answer["finder"]["success"]) == (True, 0, True)
    assert (message["stage"], message["kind"], message["delivery_seconds"]) == ("delivered", "junk", 5.0)
    assert (message["reply"], message["server_message_id"]) == (
        "250 2.0.0 OK <b@mx.example.org>",
        "<b@mx.example.org>",
    )
    assert message["authentication"] == {"spf": "pass", "dmarc": "fail"}
    told = [(event["what"], event["clocks_differ"]) for event in message["timeline"]]
    assert told == [
        ("intended", False),
        ("accepted", False),
        ("hop", True),
        ("hop", False),
        ("arrived", False),
        ("found", False),
    ]
    assert "mark" not in message


def test_a_lost_message_that_turned_up_tells_both() -> None:
    late = replace(found(after=1800.0), lost_at=SENT + 902)
    assert [event.what for event in timeline(late)][-2:] == [EventKind.LOST, EventKind.FOUND]


async def test_verdicts_are_shown_each_in_its_line_and_escaped(client: TestClient, world: World, name: str) -> None:  # type: ignore[type-arg]
    fields = (
        ("X-Spam-Status", "Yes, score=7.0 required=5.0 tests=<b>A</b>"),
        *HEADERS,
        ("X-Rspamd-Action", "add header"),
    )
    message = replace(with_fields(FolderKind.JUNK, *fields), receiver_id="<i>mx", contradictions=("spf <u>",))
    shown = await page(client, world, name, loopback_status(message))
    for part in (
        (
            '<span class="exchange">SpamAssassin: the filter rated it as spam (X-Spam-Status: Yes score=7.0 '
            "required=5.0 tests=&lt;b&gt;A&lt;/b&gt;)</span>"
        ),
        '<span class="exchange">rspamd: the filter rated it as spam (X-Rspamd-Action: add header); anybody can have',
        "delivered to Junk",
        "“&lt;i&gt;mx”",
        "spf &lt;u&gt;",
    ):
        assert part in shown
    answer = (await (await client.get(f"/api/v1/checks/{name}")).json())["loopback"]["messages"][0]
    assert (answer["junk_reason"], answer["contradictions"]) == ("filter", ["spf <u>"])
    assert [verdict["believed"] for verdict in answer["verdicts"]] == [True, False]
