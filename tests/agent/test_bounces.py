"""Bounces and the loopback's service: what is searched where, what a bounce changes, and what is deleted."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from smtpcheck.agent.bounces import MOST_REMEMBERED, remembered
from smtpcheck.loopback.finder import BounceMatch, FinderError, FinderStep, FolderKind, Match, Search, SearchRequest
from smtpcheck.loopback.message_state import Stage, Totals
from smtpcheck.loopback.plan import Find, Loopback
from smtpcheck.loopback.status import merged, success
from smtpcheck.mail.bounce import read_bounce
from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome, Report
from smtpcheck.sandbox.bounces import Refusal, Style, bounce
from smtpcheck.sandbox.scenario import RECIPIENT
from tests.worlds.loopback import PLAN, Setting, correlation_ids_of, sending, setting

REFUSED = Refusal("550 5.1.1 User unknown", Style.POSTFIX, "mx.example.net")
DELAYED = Refusal("451 4.7.1 Greylisted", Style.POSTFIX, "mx.example.net", delayed=True)
assert PLAN.find
WITH_BOUNCES = replace(PLAN, bounces=replace(PLAN.find, mailbox=PLAN.sender))
IN_ONE_MAILBOX = replace(PLAN, bounces=PLAN.find)
OK = Report("healthy", 0.0, 0.1, Outcome.OK)


@dataclass
class Mailboxes:
    """Finds what a test says is there, as the finders do."""

    it: Setting
    refusals: list[Refusal] = field(default_factory=list)
    """Of each message that was sent, in the sender's mailbox."""
    arrives: bool = False
    error: FinderError | None = None
    """Of the search for bounces alone."""
    keeps: bool = False
    """Whether nothing can be deleted."""
    requests: list[tuple[str, SearchRequest]] = field(default_factory=list)
    removed: set[str] = field(default_factory=set)

    async def search(self, find: Find, request: SearchRequest, *, timeout: float, token_timeout: float) -> Search:  # noqa: ASYNC109
        await asyncio.sleep(0)
        self.requests.append((find.mailbox, request))
        if self.error and find.mailbox == PLAN.sender:
            return Search(error=self.error)
        matches = [
            Match(one.correlation_id, "INBOX", FolderKind.INBOX, None, (), deleted=request.delete)
            for one in request.targets
            if self.arrives
        ]
        if self.keeps and request.removals:
            return Search(error=FinderError(FinderStep.DELETE, "no right"))
        self.removed |= set(request.removals)
        return Search(tuple(matches), bounces=tuple(self._bounces(request)), removed=request.removals)

    def _bounces(self, request: SearchRequest) -> list[BounceMatch]:
        contents = {correlation_ids_of(one.content): one.content for one in self.it.world.exchange.messages}
        found = []
        for target in request.returned:
            for number, refusal in enumerate(self.refusals):
                key, content = f"{target.correlation_id}/{number}", contents[target.correlation_id]
                read = read_bounce(bounce(refusal, content, PLAN.sender, RECIPIENT, time.time()))
                if read and key not in self.removed:
                    found.append(BounceMatch(target.correlation_id, read, "INBOX", self.it.now(), key))
        return found

    def searched(self, mailbox: str) -> list[SearchRequest]:
        return [request for where, request in self.requests if where == mailbox]


@asynccontextmanager
async def mailboxes(folder: Path, *refusals: Refusal, plan: Loopback = WITH_BOUNCES) -> AsyncIterator[Mailboxes]:
    async with setting(folder, plan) as it:
        made = Mailboxes(it, list(refusals))
        it.service.search._searcher = made
        yield made


async def test_a_bounce_is_known_seconds_after_it_arrived(tmp_path: Path) -> None:
    """Not when the message is considered lost; with the cause of its own reply, and it is deleted."""
    async with mailboxes(tmp_path, REFUSED) as there:
        it = there.it
        await it.settle()
        await it.passes(2.5)
        assert (it.message.stage, it.record.totals) == (Stage.BOUNCED, Totals(sent=1, bounced=1))
        kept = it.message.bounce
        assert kept
        assert (kept.code, kept.enhanced, kept.remote_mta, kept.deleted) == (550, "5.1.1", "mx.example.net", True)
        assert kept.findings[0].cause is Cause.RECIPIENT_REJECTED
        report = merged(OK, it.loopback_status, it.now())
        assert (report.outcome, report.cause) == (Outcome.CRITICAL, Cause.MAIL_BOUNCED)
        assert (success(it.loopback_status), it.changed[-1]) == (False, it.check.name)
        assert there.removed == {f"{it.message.mark}/0"}


async def test_the_bounce_is_deleted_only_once_it_is_on_disk(tmp_path: Path) -> None:
    """By its own key, over a second connection, and no message with it."""
    async with mailboxes(tmp_path, REFUSED) as there:
        await there.it.settle()
        await there.it.passes(2.5)
        first, second = there.searched(PLAN.sender)[:2]
        assert (len(first.returned), first.removals, first.delete) == (1, (), False)
        assert (second.returned, second.targets, second.removals) == ((), (), (f"{there.it.message.mark}/0",))
        assert first.returned[0].recipient == RECIPIENT


async def test_where_nothing_is_deleted_bounces_stay(tmp_path: Path) -> None:
    async with mailboxes(tmp_path, REFUSED, plan=replace(WITH_BOUNCES, delete=False)) as there:
        await there.it.settle()
        await there.it.passes(2.5)
        assert (there.it.message.stage, there.removed) == (Stage.BOUNCED, set())


async def test_a_bounce_that_could_not_be_deleted_is_again_while_it_is_new(tmp_path: Path) -> None:
    async with mailboxes(tmp_path, REFUSED) as there:
        there.keeps = True
        await there.it.settle()
        await there.it.passes(2.5)
        kept = there.it.message.bounce
        assert kept
        assert not kept.deleted
        there.keeps = False
        await there.it.until(lambda: bool(there.removed), step=5.0)
        assert there.it.record.messages[0].bounce == replace(kept, deleted=True)
        assert there.it.record.totals.bounced == 1


async def test_a_notice_of_delay_warns_and_the_bounce_after_it_counts(tmp_path: Path) -> None:
    async with mailboxes(tmp_path, DELAYED) as there:
        it = there.it
        await it.settle()
        await it.passes(2.5)
        assert (it.message.stage, it.message.delay_notice is not None) == (Stage.ACCEPTED, True)
        assert merged(OK, it.loopback_status, it.now()).outcome is Outcome.WARNING
        there.refusals.append(REFUSED)
        await it.passes(60)
        assert (it.record.messages[0].stage, it.record.totals.bounced) == (Stage.BOUNCED, 1)


async def test_of_a_bounce_and_a_notice_the_failure_counts(tmp_path: Path) -> None:
    async with mailboxes(tmp_path, REFUSED, DELAYED) as there:
        await there.it.settle()
        await there.it.passes(2.5)
        assert (there.it.message.stage, len(there.removed)) == (Stage.BOUNCED, 2)


async def test_one_search_serves_both_where_they_arrive_in_one_mailbox(tmp_path: Path) -> None:
    async with mailboxes(tmp_path, REFUSED, plan=IN_ONE_MAILBOX) as there:
        await there.it.settle()
        await there.it.passes(2.5)
        first = there.searched(RECIPIENT)[0]
        assert (len(first.targets), len(first.returned)) == (1, 1)
        assert {where for where, _ in there.requests} == {RECIPIENT}
        assert there.it.message.stage is Stage.BOUNCED


async def test_a_message_that_arrived_is_not_returned_by_anything(tmp_path: Path) -> None:
    """A copy of its id in a bounce changes nothing, and after it nobody looks for bounces."""
    async with mailboxes(tmp_path, REFUSED, plan=IN_ONE_MAILBOX) as there:
        there.arrives = True
        await there.it.settle()
        await there.it.passes(2.5)
        assert (there.it.message.stage, there.it.record.totals.bounced) == (Stage.DELIVERED, 0)
        before = len(there.requests)
        await there.it.passes(100)
        assert len(there.requests) == before


async def test_without_a_message_under_way_no_bounce_is_looked_for(tmp_path: Path) -> None:
    async with mailboxes(tmp_path, plan=WITH_BOUNCES) as there:
        there.arrives = True
        await there.it.settle()
        await there.it.passes(2.5)
        before = len(there.searched(PLAN.sender))
        await there.it.passes(200)
        assert len(there.searched(PLAN.sender)) == before


async def test_a_mailbox_that_was_only_tried_is_left_alone_after_a_refused_login(tmp_path: Path) -> None:
    """Nobody asked for it: no warning, and no second refused login on that day."""
    async with mailboxes(tmp_path) as there:
        there.error = FinderError(FinderStep.LOGIN, "AUTHENTICATE failed.")
        await there.it.settle()
        for _ in range(20):
            await there.it.passes(60)
        assert len(there.searched(PLAN.sender)) == 1
        assert there.it.loopback_status.bounces and there.it.loopback_status.bounces.error
        warnings = merged(OK, there.it.loopback_status, there.it.now()).warnings
        assert Cause.FINDER_FAILED not in {finding.cause for finding in warnings}


async def test_a_mailbox_that_was_asked_for_is_tried_again(tmp_path: Path) -> None:
    async with mailboxes(tmp_path, plan=replace(WITH_BOUNCES, bounces_required=True)) as there:
        there.error = FinderError(FinderStep.LOGIN, "AUTHENTICATE failed.")
        await there.it.settle()
        for _ in range(10):
            await there.it.passes(60)
        assert 1 < len(there.searched(PLAN.sender)) < 8


async def test_bounces_of_others_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with mailboxes(tmp_path) as there:
        search = there.search

        async def with_foreign(*args: object, **kwargs: object) -> Search:
            return replace(await search(*args, **kwargs), foreign=("INBOX/1/7",))  # type: ignore[arg-type]

        monkeypatch.setattr(there, "search", with_foreign)
        await there.it.settle()
        await there.it.passes(2.5)
        await there.it.passes(5)
        first, second = there.searched(PLAN.sender)[:2]
        assert (first.foreign, second.foreign) == (frozenset(), {"INBOX/1/7"})


def test_what_is_remembered_of_others_is_bounded() -> None:
    known = frozenset(map(str, range(MOST_REMEMBERED)))
    assert remembered(known, ()) == known
    assert remembered(known, ("a", "b")) == {"a", "b"}


async def test_a_restart_keeps_the_bounce_and_counts_it_once(tmp_path: Path) -> None:
    async with mailboxes(tmp_path, REFUSED) as there:
        it = there.it
        there.keeps = True
        await it.settle()
        await it.passes(2.5)
        await it.state.close()
        async with sending(it.world, tmp_path / "state", it.plan, ahead_by=it.ahead[0]) as again:
            again.service.search._searcher = Mailboxes(again, [REFUSED])
            assert (again.message.stage, again.message.bounce) == (Stage.BOUNCED, it.message.bounce)
            await again.passes(5)
            assert again.record.totals == Totals(sent=1, bounced=1)


async def test_without_a_finder_bounces_alone_say_what_became_of_it(tmp_path: Path) -> None:
    async with mailboxes(tmp_path, REFUSED, plan=replace(WITH_BOUNCES, find=None)) as there:
        await there.it.settle()
        await there.it.passes(2.5)
        assert (there.it.message.stage, success(there.it.loopback_status)) == (Stage.BOUNCED, False)
        there.refusals.clear()
        await there.it.passes(PLAN.every)
        assert success(there.it.loopback_status) is False
        for _ in range(20):
            await there.it.passes(60)
        assert success(there.it.loopback_status) is True


async def test_a_reload_that_drops_the_search_ends_nothing(tmp_path: Path) -> None:
    async with mailboxes(tmp_path, REFUSED) as there:
        it = there.it
        await it.settle()
        plans = {it.check.name: replace(it.plan, bounces=None)}
        it.service.replace({it.check.name: it.check}, plans, it.kit, first_within=0.0)
        await it.passes(2.5)
        assert (it.message.stage, there.searched(PLAN.sender)) == (Stage.ACCEPTED, [])
        it.service.replace({it.check.name: it.check}, {it.check.name: it.plan}, it.kit, first_within=0.0)
        await it.passes(2.5)
        assert it.message.stage is Stage.BOUNCED


async def test_what_could_not_be_written_is_not_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a kill nothing else would say why the message did not arrive."""
    async with mailboxes(tmp_path, REFUSED) as there:

        async def full() -> bool:
            return False

        monkeypatch.setattr(there.it.state.outbox, "is_on_disk", full)
        await there.it.settle()
        await there.it.passes(2.5)
        assert (there.it.message.stage, there.removed) == (Stage.BOUNCED, set())
