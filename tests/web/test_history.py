"""A check's past over HTTP: its page, the report of a failure, the badge, and the same as JSON."""

import re
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Awaitable, Callable
from html import unescape
from pathlib import Path

import pytest
from msgspec import structs

from smtpcheck.diagnosis.catalogue import Catalogue
from smtpcheck.model.report import Outcome
from smtpcheck.web import history_drawing
from smtpcheck.web.formatting import long_duration
from tests.web.conftest import Client
from tests.web.history_world import HOUR, world_with_a_past
from tests.web.world import NOW, World, ok_report, refused_report

HTML = {"Accept": "text/html"}
LAST = int(NOW - 45)
"""When the last run of `billing` began, which failed."""


@pytest.fixture
async def world(catalogue: Catalogue, tmp_path: Path) -> AsyncIterator[World]:
    world = await world_with_a_past(catalogue, tmp_path)
    yield world
    await world.state.close()


@pytest.fixture
async def client(world: World, connect: Callable[[World], Awaitable[Client]]) -> Client:
    return await connect(world)


async def page(client: Client, path: str) -> str:
    """Return the words of a page."""
    answer = await client.get(path, headers=HTML)
    assert answer.status == 200
    return " ".join(
        unescape(re.sub(r"<(style|svg).*?</\1>|<[^>]+>", " ", await answer.text(), flags=re.DOTALL)).split()
    )


async def test_the_page_tells_availability_and_every_outage(client: Client) -> None:
    text = await page(client, "/checks/billing/history")
    for words in ("24 hours", "7 days", "30 days", "90 days", "13 of 1054 runs failed, 6 unknown", "Outages 5"):
        assert words in text
    assert "2026-10-14 13:45 ongoing 4 h smtp auth disabled tenant report" in text
    assert "2026-10-02 13:45 2026-10-02 19:45 6 h smtp auth disabled tenant report" in text
    assert "2026-09-24 09:45 2026-09-24 11:45 2 h throttled logins report" in text


async def test_the_check_s_page_leads_to_it(client: Client) -> None:
    answer = await client.get("/checks/billing", headers=HTML)
    assert 'href="/checks/billing/history"' in await answer.text()


async def test_every_number_of_the_drawings_is_in_the_table(client: Client) -> None:
    """The text alternative: a row for each day of which anything is known."""
    text = await page(client, "/checks/billing/history")
    assert "2026-10-14 54.54 % 9 3 0" in text
    assert len(re.findall(r"\d{4}-\d\d-\d\d (?:\d+(?:\.\d\d)? %|\N{EN DASH}) \d+ \d+ \d+ ", text)) == 89


async def test_every_report_that_the_page_links_to_is_there(client: Client) -> None:
    answer = await client.get("/checks/billing/history", headers=HTML)
    links = set(re.findall(r'href="(/checks/billing/failures/\d+)"', await answer.text()))
    assert len(links) == 11
    for link in sorted(links):
        assert "SMTP AUTH" in await page(client, link) or "throttled" in await page(client, link)
    assert "run of 2026-10-14 17:45:55 UTC" in await page(client, f"/checks/billing/failures/{LAST}")


@pytest.mark.parametrize("name", ["invoices", "scanner"])
async def test_a_check_without_a_past_has_a_page_too(client: Client, name: str) -> None:
    text = await page(client, f"/checks/{name}/history")
    assert "Outages none" in text
    assert ("no runs" if name == "scanner" else "0 of 1 runs failed") in text


@pytest.mark.parametrize(
    "path",
    [
        "/checks/nobody/history",
        "/checks/nobody/badge.svg",
        "/checks/nobody/failures/1",
        "/checks/billing/failures/1",
        "/checks/billing/failures/-1",
        "/checks/billing/failures/1e9",
        "/api/v1/checks/nobody/history",
        "/api/v1/checks/billing/failures/1",
        "/api/v1/checks/billing/failures/999999999999",
    ],
)
async def test_what_is_not_there_is_404(client: Client, path: str) -> None:
    assert (await client.get(path)).status == 404


async def test_the_history_as_json(client: Client) -> None:
    answer = await (await client.get("/api/v1/checks/billing/history")).json()
    assert answer.keys() == {"availability", "hours", "outages", "failures"}
    assert answer["availability"].keys() == {"1d", "7d", "30d", "90d"}
    assert answer["availability"]["90d"] | {"availability": 0, "mean_seconds": 0} == {
        "availability": 0,
        "runs": 1054,
        "failures": 13,
        "unknown": 6,
        "mean_seconds": 0,
        "longest_seconds": 20.0,
    }
    assert answer["outages"][0] == {
        "number": 5,
        "began": NOW - 45 - 4 * HOUR,
        "ended": None,
        "cause": "smtp_auth_disabled_tenant",
    }
    first = answer["hours"][0]
    assert first.keys() == {
        "begin", "availability", "runs", "failures", "unknown", "mean_seconds", "longest_seconds",
    }  # fmt: skip
    assert (first["begin"] % 3600, first["availability"]) == (0, 1.0)
    report = await (await client.get(f"/api/v1/checks/billing/failures/{LAST}")).json()
    assert (report["started_at"], report["outcome"]) == (NOW - 45, "critical")
    assert answer["failures"][0] == {"at": NOW - 45, "outage": 5, "cause": "smtp_auth_disabled_tenant"}


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/checks/billing/badge.svg", "billing: critical"),
        ("/checks/invoices/badge.svg", "invoices: ok"),
        ("/checks/scanner/badge.svg", "scanner: waiting"),
        ("/checks/invoices/badge.svg?days=30", "invoices: 100 % (30 d)"),
        ("/checks/scanner/badge.svg?days=7", "scanner: \N{EN DASH} (7 d)"),
    ],
)
async def test_the_badge_says_it_in_words(client: Client, path: str, says: str) -> None:
    answer = await client.get(path)
    assert answer.headers["Content-Type"] == "image/svg+xml; charset=utf-8"
    root = ET.fromstring(await answer.text())
    assert (root.attrib["aria-label"], root[0].text) == (says, says)
    assert (root.attrib["width"], "style" in await answer.text()) == ("236", False)


async def test_a_badge_of_other_days_is_refused(client: Client) -> None:
    answer = await client.get("/checks/invoices/badge.svg?days=12")
    assert (answer.status, await answer.text()) == (400, "days must be one of 1, 7, 30, 90\n")


async def test_the_badge_may_be_shown_elsewhere_and_kept_for_a_minute(client: Client, world: World) -> None:
    """It is sent again only when it says something else."""
    first = await client.get("/checks/invoices/badge.svg")
    assert first.headers["Cache-Control"] == "max-age=60"
    assert first.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    asked = {"If-None-Match": first.headers["ETag"]}
    assert (await client.get("/checks/invoices/badge.svg", headers=asked)).status == 304
    world.record(structs.replace(refused_report("invoices"), started_at=NOW))
    changed = await client.get("/checks/invoices/badge.svg", headers=asked)
    assert (changed.status, changed.headers["ETag"] != asked["If-None-Match"]) == (200, True)
    assert (await client.get("/checks/invoices")).headers["Cross-Origin-Resource-Policy"] == "same-origin"


async def test_what_happened_a_moment_ago_is_on_the_page(client: Client, world: World) -> None:
    """Before it is in the file: the outage's end, and the runs of today."""
    world.record(structs.replace(ok_report("billing"), started_at=NOW - 1))
    text = await page(client, "/checks/billing/history")
    assert "2026-10-14 13:45 2026-10-14 17:46 4 h" in text
    assert "13 of 1055 runs failed" in text


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (None, "\N{EN DASH}"),
        (1.0, "100 %"),
        (0.999999, "99.99 %"),
        (0.9996, "99.96 %"),
        (0.5, "50.00 %"),
        (0.0, "0.00 %"),
    ],
)
def test_a_share_is_never_rounded_up(share: float | None, words: str) -> None:
    assert history_drawing.percent(share) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (45, "45 s"),
        (60, "1 min"),
        (3600, "1 h"),
        (7800, "2 h 10 min"),
        (273_700, "3 d 4 h"),
        (86_460, "1 d"),
    ],
)
def test_how_long_something_lasted(seconds: float, words: str) -> None:
    assert long_duration(seconds) == words


def test_outcomes_have_a_word_on_the_badge() -> None:
    assert {outcome.value for outcome in Outcome} == {"ok", "warning", "critical", "unknown"}
