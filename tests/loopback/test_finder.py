"""What every finder does, whatever it speaks: IMAP like Exchange Online, IMAP like Gmail, Microsoft Graph."""

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from smtpcheck.loopback.finder import FolderKind
from smtpcheck.loopback.plan import Find
from smtpcheck.sandbox.mail_store import Delivery, Use
from smtpcheck.sandbox.world import World
from tests.worlds.finders import Site, by_gmail, by_graph, by_imap, letter, new_correlation_id, running

RESULTS = "mx.contoso.example; spf=pass smtp.mailfrom=contoso.example; dkim=pass; dmarc=pass"
DAY = 86400.0


@pytest.fixture(params=[by_imap, by_gmail, by_graph])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    make: Callable[[World], Find] = request.param
    async with running(tmp_path) as (world, finders):
        yield Site(world, finders, make(world))


async def test_a_message_is_seen_with_its_way_and_deleted(site: Site) -> None:
    target = site.send(Delivery(authentication=RESULTS))
    found = await site.search(target)
    assert found.error is None
    (match,) = found.matches
    assert (match.correlation_id, match.folder.upper(), match.kind, match.deleted) == (
        target.correlation_id,
        "INBOX",
        FolderKind.INBOX,
        True,
    )
    names = [name for name, _ in match.headers]
    latency = "X-MS-Exchange-Transport-EndToEndLatency"
    assert names == ["Authentication-Results", "Received", "Received", latency, "Date", "Message-ID"]
    headers = dict(reversed(match.headers))
    assert headers["Authentication-Results"] == RESULTS
    assert "\n" not in headers["Received"] and "Microsoft SMTP Server" in headers["Received"]
    assert match.arrived_at is not None and abs(match.arrived_at - time.time()) < 60
    assert site.lying() == []


@pytest.mark.parametrize(("use", "kind"), [(Use.JUNK, FolderKind.JUNK), (Use.ARCHIVE, FolderKind.OTHER)])
async def test_a_message_is_seen_where_it_lies(site: Site, use: Use, kind: FolderKind) -> None:
    target = site.send(Delivery(folder=use))
    found = await site.search(target)
    expected = (site.box.folders[use].name, kind, True)
    assert [(one.folder, one.kind, one.deleted) for one in found.matches] == [expected]
    assert site.lying() == []


async def test_each_copy_is_a_sighting(site: Site) -> None:
    target = site.send(Delivery(copies=2))
    found = await site.search(target)
    assert [(one.kind, one.deleted) for one in found.matches] == [(FolderKind.INBOX, True)] * 2
    assert site.lying() == []


async def test_what_is_lost_or_not_there_yet_is_not_seen(site: Site) -> None:
    lost, late = site.send(Delivery(copies=0)), site.send(Delivery(copies=0))
    assert (await site.search(lost, late)).matches == ()
    site.put(Use.INBOX, letter(late.correlation_id))
    found = await site.search(lost, late)
    assert (found.error, [one.correlation_id for one in found.matches]) == (None, [late.correlation_id])


async def test_the_copy_of_a_sender_is_told_apart_and_deleted(site: Site) -> None:
    target = site.put_ours(Use.SENT)
    site.put(Use.INBOX, letter(target.correlation_id))
    found = await site.search(target)
    assert {(one.kind, one.deleted) for one in found.matches} == {(FolderKind.INBOX, True), (FolderKind.SENT, True)}
    assert site.lying() == []


async def test_what_is_not_to_be_deleted_stays(site: Site) -> None:
    target = site.send()
    found = await site.search(target, delete=False)
    assert [one.deleted for one in found.matches] == [False]
    assert site.lying() == [("inbox", 1)]


async def test_a_message_without_its_header_is_known_by_its_subject(site: Site) -> None:
    correlation_id = new_correlation_id()
    site.correlation_ids.add(correlation_id)
    content = letter(correlation_id, subject=f"=?utf-8?q?=5BEXT=C3=89RN=5D_smtpcheck_{correlation_id}?=")
    site.put(Use.INBOX, content.replace(b"X-Smtpcheck-Id", b"X-Other"))
    target = site.send()
    other = type(target)((f"<{correlation_id}@contoso.example>",), correlation_id, time.time())
    found = await site.search(target, other)
    assert {one.correlation_id for one in found.matches} == {target.correlation_id, correlation_id}


async def test_foreign_mail_stays_whatever_it_says(site: Site) -> None:
    """Also with the Message-ID that is sought, or with a mark that nobody has signed."""
    target = site.send()
    forged = letter(new_correlation_id()).replace(b"Message-ID: <", b"X-Message-ID: <")
    site.put(Use.INBOX, forged + b"\r\n", age=3 * DAY)
    site.put(Use.INBOX, forged.replace(b"From", f"Message-ID: {target.message_ids[0]}\r\nFrom".encode(), 1))
    site.put(Use.INBOX, b"Subject: hello\r\n\r\n", age=3 * DAY)
    found = await site.search(target, purge_before=time.time() - DAY)
    assert [one.correlation_id for one in found.matches] == [target.correlation_id]
    assert (found.error, found.purged, site.lying()) == (None, 0, [("inbox", 3)])


async def test_only_what_is_sought_or_old_is_deleted(site: Site) -> None:
    """A message of ours that another search is about stays until it is a left-over."""
    target, others = site.send(), site.put_ours(Use.INBOX)
    for use in (Use.INBOX, Use.JUNK, Use.SENT, Use.ARCHIVE):
        site.put_ours(use, age=2 * DAY)
    assert (await site.search(target)).purged == 0
    assert sum(count for _, count in site.lying()) == 5
    found = await site.search(purge_before=time.time() - DAY)
    assert (found.error, found.matches, found.purged, site.lying()) == (None, (), 4, [("inbox", 1)])
    assert [one.correlation_id for one in (await site.search(others)).matches] == [others.correlation_id]


async def test_many_messages_are_found_in_one_search(site: Site) -> None:
    target = [site.send() for _ in range(120)]
    found = await site.search(*target)
    assert found.error is None
    assert {one.correlation_id for one in found.matches if one.deleted} == {one.correlation_id for one in target}
    assert site.lying() == []


async def test_a_token_is_asked_for_once(site: Site) -> None:
    for _ in range(3):
        await site.search(site.send())
    assert sum(site.world.issuer.token_requests.values()) + len(site.world.google.issued) == 1
