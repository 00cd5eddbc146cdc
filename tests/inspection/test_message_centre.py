"""Announced changes: those of submission by SMTP and no others, bounded, and harmless whatever they say."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from smtpcheck.inspection.questions.message_centre import MESSAGE_CENTRE, concerns_submission
from smtpcheck.model.inspection import Announcement, Inspection, NotReadable, Obstacle
from smtpcheck.sandbox.graph_directory import announcement
from tests.inspection.message_titles import KNOWN_MISSES, OTHER, RELEVANT
from tests.worlds.inspection import Tenant, tenant


async def announced(site: Tenant) -> tuple[Announcement, ...]:
    return (await _ask(site)).announcements


async def _ask(site: Tenant) -> Inspection:
    return await site.inspector.ask(MESSAGE_CENTRE, await site.inspector.subject(), Inspection())


@pytest.mark.parametrize("title", RELEVANT)
def test_a_change_of_submission_by_smtp_is_found_by_its_title(title: str) -> None:
    assert concerns_submission(title)


@pytest.mark.parametrize("title", [*OTHER, *KNOWN_MISSES])
def test_a_title_about_anything_else_is_not(title: str) -> None:
    assert not concerns_submission(title)


async def test_what_concerns_submission_is_read_with_its_dates(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        others = [announcement(f"MC{number}", title) for number, title in enumerate(OTHER, 1)]
        site.world.issuer.graph_directory.messages = [*others, announcement(act_by="2026-12-31T08:00:00Z")]
        (found,) = await announced(site)
    assert (found.id, found.service, found.title) == ("MC786329", "exchange_online", RELEVANT[0])
    assert found.act_by == datetime(2026, 12, 31, 8, tzinfo=UTC).timestamp()
    assert found.changed_at


async def test_only_messages_of_the_last_year_are_asked_for(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        old = f"{datetime.now(UTC) - timedelta(days=400):%Y-%m-%dT%H:%M:%SZ}"
        site.world.issuer.graph_directory.messages = [announcement() | {"lastModifiedDateTime": old}]
        assert await announced(site) == ()


async def test_a_message_of_another_service_does_not_count(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        other = announcement() | {"services": ["Microsoft Teams"]}
        site.world.issuer.graph_directory.messages = [other, announcement() | {"services": None}]
        assert await announced(site) == ()


async def test_pages_are_read_and_an_endless_list_is_used_as_far_as_it_was_read(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        graph = site.world.issuer.graph_directory
        graph.messages = [announcement(f"MC{number}") for number in range(1, 31)]
        graph.page_size = 7
        assert len(await announced(site)) == 10
        graph.endless = True
        asked = len(graph.asked)
        assert len(await announced(site)) == 10
        assert len(graph.asked) - asked == 10


@pytest.mark.parametrize(
    "change",
    [
        {"id": "<script>"},
        {"id": None},
        {"title": None},
        {"title": ["SMTP AUTH"]},
        {"services": "Exchange"},
    ],
)
async def test_what_is_no_message_is_left_out(tmp_path: Path, change: dict[str, object]) -> None:
    async with tenant(tmp_path) as site:
        site.world.issuer.graph_directory.messages = [announcement() | change]
        assert await announced(site) == ()


async def test_hostile_texts_are_bounded_and_bodies_are_not_kept(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        title = "SMTP AUTH \x1b[31m<b>eyJhbGciOiJSUzI1NiJ9.eyJyb2xlcyI6W119.c2lnbmF0dXJl</b>" + "x" * 10_000
        body = {"contentType": "html", "content": "<script>evil()</script>" * 1000}
        hostile = {"title": title, "body": body, "actionRequiredByDateTime": "soon", "lastModifiedDateTime": "2999"}
        site.world.issuer.graph_directory.messages = [announcement() | hostile]
        (found,) = await announced(site)
    assert found.title.isprintable()
    assert len(found.title) == 200
    assert "eyJ" not in found.title
    assert "evil" not in repr(found)
    assert found.act_by is None


async def test_without_the_permission_it_is_said(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        site.auditor.graph_roles = tuple(role for role in site.auditor.graph_roles if "ServiceMessage" not in role)
        (missed,) = (await _ask(site)).not_readable
    assert isinstance(missed, NotReadable)
    assert (missed.obstacle, missed.detail) == (
        Obstacle.PERMISSION,
        "permission ServiceMessage.Read.All is missing",
    )
