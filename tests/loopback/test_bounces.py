"""Bounces in the sender's mailbox, found by IMAP and by Graph: ours, others', and what only looks like ours."""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from smtpcheck.loopback.finder import Search, SearchRequest, Target
from smtpcheck.loopback.plan import Find
from smtpcheck.mail.bounce import Action
from smtpcheck.sandbox.bounces import Style
from smtpcheck.sandbox.mail_store import Use
from smtpcheck.sandbox.scenario import DOMAIN
from smtpcheck.sandbox.world import World
from tests.worlds.bounces import STYLES, of_another, returned
from tests.worlds.finders import PROBE, Site, by_gmail, by_graph, by_imap, new_correlation_id, running

DAY = 86400.0
FINDS = pytest.mark.parametrize("find", [by_imap, by_gmail, by_graph])


@pytest.fixture
async def site(tmp_path: Path, find: Callable[[World], Find]) -> AsyncIterator[Site]:
    async with running(tmp_path) as (world, finders):
        yield Site(world, finders, find(world))


def sent(site: Site, *, ago: float = 0.0) -> Target:
    """Return a message of ours that is under way."""
    correlation_id = new_correlation_id()
    site.correlation_ids.add(correlation_id)
    return Target((f"<{correlation_id}@{DOMAIN}>",), correlation_id, time.time() - ago, PROBE)


async def look(site: Site, *targets: Target, **request: object) -> Search:
    """Search for bounces, and for nothing else."""
    asked = replace(
        SearchRequest((), site.correlation_ids.__contains__, delete=False, returned=targets),
        **request,  # type: ignore[arg-type]
    )
    return await site.finders.search(site.find, asked, timeout=20, token_timeout=10)


@FINDS
@pytest.mark.parametrize("style", STYLES)
async def test_a_bounce_is_found_read_and_deleted(site: Site, style: Style) -> None:
    """And nothing is touched before it is asked for."""
    target = sent(site)
    site.put(Use.INBOX, returned(target.correlation_id, style))
    found = await look(site, target)
    assert found.error is None
    (match,) = found.bounces
    assert (match.correlation_id, match.folder.casefold()) == (target.correlation_id, "inbox")
    assert (match.bounce.action, match.bounce.code, match.bounce.enhanced) == (Action.FAILED, 550, "5.1.1")
    assert match.arrived_at is not None and abs(match.arrived_at - time.time()) < 60
    assert site.lying() == [("inbox", 1)]
    gone = await look(site, removals=(match.key,), delete=True)
    assert (gone.error, gone.removed, site.lying()) == (None, (match.key,), [])


@FINDS
async def test_a_notice_of_delay_is_found_in_junk(site: Site) -> None:
    target = sent(site)
    site.put(Use.JUNK, returned(target.correlation_id, reply="451 4.7.1 Try later", delayed=True))
    (match,) = (await look(site, target)).bounces
    assert (match.bounce.action, match.bounce.enhanced) == (Action.DELAYED, "4.7.1")


@FINDS
@pytest.mark.parametrize("style", STYLES)
async def test_what_is_not_proven_is_neither_believed_nor_touched(site: Site, style: Style) -> None:
    """Bounces of another's message that quotes ours, of a stranger with a copied id, and with an id of nobody."""
    target = sent(site)
    ours = returned(target.correlation_id, style)
    site.put(Use.INBOX, of_another(ours, target.correlation_id))
    site.put(Use.INBOX, ours.replace(b"Return-Path: <>", b"Return-Path: <eve@stranger.example>"))
    site.put(Use.INBOX, returned(new_correlation_id(), style))
    found = await look(site, target, purge_before=time.time() + DAY)
    assert (found.error, found.bounces, found.purged, site.lying()) == (None, (), 0, [("inbox", 3)])
    assert len(found.foreign) == 3


@FINDS
async def test_a_bounce_that_arrived_before_the_message_was_sent_is_not_its_own(site: Site) -> None:
    target, older = sent(site), sent(site, ago=7200.0)
    site.put(Use.INBOX, returned(target.correlation_id), age=3600.0)
    site.put(Use.INBOX, returned(older.correlation_id), age=3600.0)
    found = await look(site, target, older)
    assert [match.correlation_id for match in found.bounces] == [older.correlation_id]


@FINDS
async def test_a_bounce_is_not_the_message(site: Site) -> None:
    """Exchange repeats the subject, which has the correlation id."""
    target = sent(site)
    site.put(Use.INBOX, returned(target.correlation_id, Style.EXCHANGE))
    found = await site.search(target)
    assert (found.matches, site.lying()) == ((), [("inbox", 1)])


@FINDS
async def test_bounces_of_others_are_read_once_and_hide_none_of_ours(site: Site) -> None:
    """A sender of newsletters has thousands of them: each search reads some, and never the same ones again."""
    target = sent(site)
    for _ in range(60):
        site.put(Use.INBOX, returned(new_correlation_id()))
    site.put(Use.INBOX, returned(target.correlation_id), age=1.0)
    foreign: frozenset[str] = frozenset()
    for _ in range(10):
        found = await look(site, target, foreign=foreign)
        assert not foreign.intersection(found.foreign)
        foreign |= frozenset(found.foreign)
        if found.bounces:
            break
    assert [match.correlation_id for match in found.bounces] == [target.correlation_id]
    assert len(foreign) <= 60


@FINDS
async def test_a_bounce_of_fifty_megabytes_is_read_in_its_beginning(site: Site) -> None:
    target = sent(site)
    site.put(Use.INBOX, returned(target.correlation_id) + b"x" * 50_000_000)
    found = await look(site, target)
    assert (found.error, len(found.bounces)) == (None, 1)


@FINDS
async def test_a_thousand_nested_parts_are_no_bounce_and_no_fault(site: Site) -> None:
    target = sent(site)
    nested = b"".join(
        b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (number, number) for number in range(1000)
    )
    head = b"Return-Path: <>\r\nFrom: MAILER-DAEMON@mx.example\r\nSubject: Undelivered\r\nDate: x\r\n"
    site.put(Use.INBOX, head + nested + target.correlation_id.encode())
    found = await look(site, target)
    assert (found.error, found.bounces) == (None, ())


@FINDS
async def test_old_bounces_of_ours_are_purged_and_those_of_others_stay(site: Site) -> None:
    target = sent(site, ago=9 * DAY)
    site.put(Use.INBOX, returned(target.correlation_id), age=2 * DAY)
    site.put(Use.INBOX, returned(new_correlation_id()), age=2 * DAY)
    young = sent(site, ago=60.0)
    site.put(Use.INBOX, returned(young.correlation_id), age=30.0)
    found = await look(site, purge_before=time.time() - DAY)
    assert (found.error, found.purged, site.lying()) == (None, 1, [("inbox", 2)])


@pytest.mark.parametrize("find", [by_imap])
async def test_one_connection_finds_messages_and_bounces(site: Site) -> None:
    """Where sender and recipient are the same mailbox."""
    arrived, lost = site.send(), sent(site)
    site.put(Use.INBOX, returned(lost.correlation_id))
    found = await site.search(arrived, lost, returned=(lost,), delete=False)
    assert ([one.correlation_id for one in found.matches], len(found.bounces)) == ([arrived.correlation_id], 1)
