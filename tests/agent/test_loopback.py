"""The loopback's service: what it sends, when it looks, and what it makes of what it sees."""

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from smtpcheck.limits.send_limits import Limits
from smtpcheck.loopback.finder import FinderError, FinderStep, FolderKind, Search
from smtpcheck.loopback.message_state import Message, Stage, Totals
from smtpcheck.loopback.status import success
from smtpcheck.loopback.timing import search_ages
from smtpcheck.mail.correlation_id import CorrelationIds
from smtpcheck.model.check import Phase
from smtpcheck.model.report import Outcome
from smtpcheck.sandbox import replies
from smtpcheck.sandbox.scenario import Scenario
from smtpcheck.sandbox.smtp_session import Session
from smtpcheck.state.database import Database, NotKeptError
from smtpcheck.state.outbox import Held, Outbox
from smtpcheck.state.sent_messages import SentMessages
from tests.worlds.loopback import KEY, PLAN, correlation_ids_of, sending, setting

LOGIN_REFUSED = FinderError(FinderStep.LOGIN, "AUTHENTICATE failed.", "AUTHENTICATIONFAILED")


async def test_a_message_is_sent_in_its_slot_and_found(tmp_path: Path) -> None:
    """Once a slot; its mark is ours, what the server says is kept, and what is found is not looked for any more."""
    async with setting(tmp_path) as it:
        await it.settle()
        assert (it.message.stage, len(it.world.exchange.messages)) == (Stage.ACCEPTED, 1)
        mark = correlation_ids_of(it.world.exchange.messages[0].content)
        read = CorrelationIds(KEY).read(mark)
        assert (it.message.mark, read and read.sequence) == (mark, 1)
        assert it.message.receipt
        assert it.message.receipt.message_id == it.message.message_id
        assert it.searcher.requests == []
        await it.passes(2.5)
        assert (it.message.stage, it.message.kind, it.message.deleted) == (Stage.DELIVERED, FolderKind.INBOX, True)
        assert 2.4 < (it.message.delivery_seconds or 0) < 10
        assert it.arrived == [it.message.delivery_seconds]
        assert it.record.totals == Totals(sent=1, found=1)
        await it.passes(100)
        assert [request.delete for request in it.searcher.requests] == [False, True]
        assert len(it.world.exchange.messages) == 1
        await it.passes(PLAN.every)
        assert [message.sequence for message in it.record.messages] == [1, 2]
        assert success(it.loopback_status) is True


async def test_a_restart_sends_no_second_message_for_a_slot(tmp_path: Path) -> None:
    async with setting(tmp_path) as it:
        await it.settle()
        for _ in range(2):
            await it.state.close()
            async with sending(it.world, tmp_path / "state", ahead_by=it.ahead[0]) as again:
                await again.settle()
                assert (again.record.sequence, len(it.world.exchange.messages)) == (1, 1)
                await again.passes(2.5)
                assert again.message.stage is Stage.DELIVERED
        async with sending(it.world, tmp_path / "state", ahead_by=it.ahead[0]) as last:
            await last.passes(PLAN.every)
            assert (last.record.sequence, len(it.world.exchange.messages)) == (2, 2)


async def test_an_intent_without_outcome_is_uncertain_and_never_sent_again(tmp_path: Path) -> None:
    """The agent was killed between the intent and the answer; the finder decides."""
    async with setting(tmp_path) as it:
        await it.settle()
        accepted = it.message
        it.state.outbox._records[it.check.name] = replace(
            it.record, messages=(replace(accepted, stage=Stage.INTENDED, sent_at=None, receipt=None),)
        )
        file = it.state._file
        assert file
        it.state.outbox.put_all(file)
        await it.state.close()
        async with sending(it.world, tmp_path / "state", ahead_by=it.ahead[0]) as again:
            assert (again.message.stage, again.record.totals.uncertain) == (Stage.UNCERTAIN, 1)
            await again.settle()
            assert len(it.world.exchange.messages) == 1
            await again.passes(5)
            assert (again.message.stage, again.record.totals.found) == (Stage.DELIVERED, 1)


async def test_a_connection_lost_after_the_final_dot_is_uncertain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not sent again; if it is never found, nothing is said to be lost."""
    async with setting(tmp_path) as it:
        submit = it.world.exchange.submit

        def cut(session: Session, content: bytes) -> str:
            reply = submit(session, content)
            session._transport.abort()
            return reply

        monkeypatch.setattr(it.world.exchange, "submit", cut)
        await it.settle()
        assert (it.message.stage, it.record.totals) == (Stage.UNCERTAIN, Totals(sent=1, uncertain=1))
        it.searcher.kinds = ()
        await it.passes(PLAN.lost_after - PLAN.every * 2.5)
        assert it.record.messages[0].under_way
        monkeypatch.setattr(it.world.exchange, "submit", submit)
        await it.passes(PLAN.every * 3)
        assert (it.record.messages[0].stage, it.record.totals.lost) == (Stage.UNCERTAIN, 0)
        assert not it.record.messages[0].under_way


async def test_a_refused_login_costs_no_place_among_the_messages_of_the_day(tmp_path: Path) -> None:
    scenario = Scenario("healthy", "Refuses.", refuses={"AUTH": "535 5.7.3 Authentication unsuccessful"})
    async with setting(tmp_path, replace(PLAN, limits=Limits(1, 1)), scenario) as it:
        await it.settle()
        assert (it.record.messages, it.record.slot) == ((), 0)
        assert it.record.sending
        assert it.record.sending.outcome is Outcome.CRITICAL
        assert it.state.outbox.until(it.check.mailbox, it.kit.tenant(it.check), it.now(), it.plan.limits) is None
        assert success(it.loopback_status) is False


async def test_data_that_is_refused_before_the_message_gives_its_count_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was sent: neither the message nor its count stays, in the file neither."""
    async with setting(tmp_path, replace(PLAN, limits=Limits(1, 1))) as it:
        monkeypatch.setattr(
            it.world.exchange.reply_style(1).replies, "START_MAIL", "452 4.3.1 Insufficient system resources"
        )
        await it.settle()
        assert it.record.sending
        step = it.record.sending.failed_step
        assert step
        assert (step.phase, it.record.messages) == (Phase.DATA, ())
        assert it.state.outbox.until(it.check.mailbox, it.kit.tenant(it.check), it.now(), it.plan.limits) is None
        await it.state.close()
    connection = sqlite3.connect(tmp_path / "state" / "state.db")
    counted = [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("messages", "sent")]
    connection.close()
    assert counted == [0, 0]


async def test_a_refused_message_is_told_and_not_looked_for(tmp_path: Path) -> None:
    scenario = Scenario("healthy", "Refuses.", refuses={"DATA": replies.MAILBOX_LOGON_FAILURE})
    async with setting(tmp_path, scenario=scenario) as it:
        await it.settle()
        assert (it.message.stage, it.record.totals) == (Stage.REFUSED, Totals())
        assert success(it.loopback_status) is False
        await it.passes(100)
        assert it.searcher.requests == []


async def test_repeated_refusals_lengthen_the_time_to_the_next_message(tmp_path: Path) -> None:
    scenario = Scenario(
        "healthy", "Refuses.", refuses={"DATA": "550 5.2.252 Sender throttled due to continuous send as denied errors."}
    )
    async with setting(tmp_path, scenario=scenario) as it:
        await it.settle()
        assert it.record.breaker.until
        logins = it.world.exchange.logins.total()
        for _ in range(5):
            await it.passes(PLAN.every)
        assert it.world.exchange.logins.total() == logins
        assert it.loopback_status.next_send == it.record.breaker.until


async def test_a_cap_leaves_messages_out_and_opens_no_connection(tmp_path: Path) -> None:
    async with setting(tmp_path, replace(PLAN, limits=Limits(2, 100))) as it:
        for _ in range(4):
            await it.passes(PLAN.every)
        assert (len(it.world.exchange.messages), it.service.capped) == (2, 2)
        assert it.world.exchange.connections.total() == 2


@pytest.mark.parametrize("kind", [FolderKind.JUNK, FolderKind.OTHER])
async def test_another_folder_than_the_inbox_is_told(tmp_path: Path, kind: FolderKind) -> None:
    async with setting(tmp_path) as it:
        it.searcher.kinds = (kind,)
        await it.settle()
        await it.passes(3)
        assert (it.message.kind, it.message.folder, success(it.loopback_status)) == (kind, kind.title(), True)


async def test_the_copy_in_sent_items_is_no_arrival(tmp_path: Path) -> None:
    async with setting(tmp_path) as it:
        it.searcher.kinds = (FolderKind.SENT,)
        await it.settle()
        await it.passes(3)
        assert it.message.stage is Stage.ACCEPTED
        it.searcher.kinds = (FolderKind.SENT, FolderKind.INBOX)
        await it.passes(3)
        assert (it.message.stage, it.message.duplicates) == (Stage.DELIVERED, 0)


async def test_a_lost_message_that_turns_up_is_counted_and_resolves(tmp_path: Path) -> None:
    plan = replace(PLAN, every=86400.0)
    async with setting(tmp_path, plan) as it:
        it.searcher.kinds = ()
        await it.settle()
        await it.until(lambda: it.message.stage is Stage.LOST, step=30)
        waited = (it.message.lost_at or 0) - it.message.begun_at
        assert plan.lost_after <= waited < plan.lost_after + 31
        assert (it.record.totals, success(it.loopback_status)) == (Totals(sent=1, lost=1), False)
        assert len(it.searcher.requests) <= len(search_ages(plan.warn_after, plan.lost_after))
        it.searcher.kinds = (FolderKind.INBOX,)
        await it.until(lambda: it.message.stage is Stage.DELIVERED, step=300, most=3600)
        assert it.record.totals == Totals(sent=1, found=1, late=1, lost=1, found_after_lost=1)
        assert success(it.loopback_status) is True


async def test_a_finder_that_cannot_log_in_never_loses_mail(tmp_path: Path) -> None:
    """It is told as a fault of its own, asked ever more seldom, and the mail is judged when it works again."""
    async with setting(tmp_path, replace(PLAN, every=86400.0)) as it:
        it.searcher.error = LOGIN_REFUSED
        await it.settle()
        for _ in range(120):
            await it.passes(60)
        assert (it.message.stage, it.record.totals.lost) == (Stage.ACCEPTED, 0)
        finder = it.loopback_status.finder
        assert finder
        assert (finder.error, finder.failures) == (LOGIN_REFUSED, len(it.searcher.requests))
        assert 5 < len(it.searcher.requests) < 12
        it.searcher.error, it.searcher.kinds = None, ()
        await it.until(lambda: it.message.stage is Stage.LOST, step=60, most=3700)
        restored = it.loopback_status.finder
        assert restored
        assert restored.error is None


async def test_two_copies_are_a_duplicate_and_one_copy_in_two_folders_is_none(tmp_path: Path) -> None:
    async with setting(tmp_path) as it:
        it.searcher.kinds = (FolderKind.OTHER, FolderKind.INBOX)
        it.searcher.headers = (("Received", "by mx.example; Wed, 25 Nov 2026 10:00:00 +0000"),)
        await it.settle()
        await it.passes(3)
        assert (it.message.kind, it.message.duplicates) == (FolderKind.INBOX, 0)
        it.searcher.headers = (("Received", "by mx.example; Wed, 25 Nov 2026 10:00:07 +0000"),)
        it.searcher.gone.clear()
        await it.passes(PLAN.every)
        await it.passes(3)
        assert [message.duplicates for message in it.record.messages] == [1, 0]
        assert it.record.totals.duplicates == 1


async def test_nothing_is_sent_without_its_intent_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection ends before DATA, it is said loudly, and the next slot tries again."""

    async def full(*_: object) -> None:
        raise NotKeptError("the disk is full")

    async with setting(tmp_path) as it:
        with monkeypatch.context() as patched, capture_logs() as logs:
            patched.setattr(Database, "commit", full)
            await it.settle()
            assert (len(it.world.exchange.messages), it.record.messages) == (0, ())
            assert it.world.exchange.logins.total() == 1
            assert [log["log_level"] for log in logs if log.get("check")] == ["error"]
            assert (it.loopback_status.kept, it.changed) == (False, [it.check.name])
        assert it.state.outbox.until(it.check.mailbox, it.kit.tenant(it.check), it.now(), Limits(1, 1)) is None
        await it.passes(PLAN.every)
        assert len(it.world.exchange.messages) == 1
        assert it.loopback_status.kept


RARE = replace(PLAN, every=7200.0)
SLOWLY_LOST = replace(RARE, lost_after=3000.0)
"""Considered lost long after the first purge, which searches too."""
STEPS = [-1000 * PLAN.every, -10 * PLAN.every, -PLAN.every, -7.0, 7.0, PLAN.every, 10 * PLAN.every, 1000 * PLAN.every]


@pytest.mark.parametrize("step", STEPS)
async def test_a_clock_that_is_set_costs_no_message_and_sends_none_twice(tmp_path: Path, step: float) -> None:
    async with setting(tmp_path) as it:
        await it.settle()
        await it.passes(PLAN.every)
        it.set_clock(step)
        for _ in range(22):  # a slot that has moved may begin seconds later
            await it.passes(PLAN.every / 10)
        assert len(it.world.exchange.messages) == 4
        slots = [message.slot for message in it.record.messages]
        assert len(slots) == len(set(slots)) == 4


@pytest.mark.parametrize("step", [10 * PLAN.every, 1000 * PLAN.every])
async def test_a_clock_that_is_seen_to_be_set_only_after_a_message_was_due_by_it_costs_none(
    tmp_path: Path, step: float
) -> None:
    async with setting(tmp_path) as it:
        await it.settle()
        it.ahead[0] += step
        await it.settle()
        it.service.clock_set(step)
        for _ in range(22):
            await it.passes(PLAN.every / 10)
        assert len(it.world.exchange.messages) == 3


@pytest.mark.parametrize("step", STEPS)
async def test_a_clock_that_is_set_delays_no_search_and_loses_no_message(tmp_path: Path, step: float) -> None:
    async with setting(tmp_path, RARE) as it:
        it.searcher.kinds = ()
        await it.settle()
        await it.until(lambda: it.message.looks >= 2)
        it.set_clock(step)
        looks = it.message.looks
        await it.until(lambda: it.message.looks > looks, most=PLAN.lost_after)
        assert it.message.stage is Stage.ACCEPTED
        it.searcher.kinds = (FolderKind.INBOX,)
        await it.until(lambda: it.message.stage is Stage.DELIVERED, most=PLAN.lost_after)
        assert it.message.lost_at is None
        assert it.message.delivery_seconds is not None
        assert it.message.delivery_seconds < PLAN.lost_after


async def test_a_message_that_is_lost_is_considered_lost_in_time_whatever_the_clock_says(tmp_path: Path) -> None:
    async with setting(tmp_path, RARE) as it:
        it.searcher.kinds = ()
        await it.settle()
        await it.until(lambda: it.message.looks >= 1)
        it.set_clock(-10 * PLAN.every)
        await it.until(lambda: it.message.stage is Stage.LOST, most=PLAN.lost_after + 60)
        assert it.message.lost_at is not None


async def test_a_search_that_lasts_until_mail_would_be_lost_delays_no_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes due while a search lasts is searched for soon after it, and not only an hour later."""
    async with setting(tmp_path, SLOWLY_LOST) as it:
        it.searcher.kinds = ()
        await it.settle()
        await it.until(lambda: it.now() - it.message.begun_at > 2940, step=5, most=3000)
        searched, lasted = it.searcher.search, list[float]()

        async def slow(*arguments: Any, **limits: Any) -> Search:
            lasted.append(60.0)
            monkeypatch.setattr(it.searcher, "search", searched)
            it.ahead[0] += lasted[0]
            it.passed[0] += lasted[0]
            return await searched(*arguments, **limits)

        monkeypatch.setattr(it.searcher, "search", slow)
        await it.until(lambda: bool(lasted), step=5)
        assert it.now() - it.message.begun_at > SLOWLY_LOST.lost_after
        assert it.message.stage is Stage.ACCEPTED
        await it.until(lambda: it.message.stage is Stage.LOST, most=30)
        assert it.message.lost_at == pytest.approx(it.message.begun_at + SLOWLY_LOST.lost_after, abs=60)


async def test_a_search_that_fails_when_mail_would_be_lost_is_repeated_soon(tmp_path: Path) -> None:
    async with setting(tmp_path, SLOWLY_LOST) as it:
        it.searcher.kinds = ()
        await it.settle()
        await it.until(lambda: it.now() - it.message.begun_at > 2990, step=5, most=3000)
        it.searcher.error = FinderError(FinderStep.SEARCH, "no answer")
        asked = len(it.searcher.requests)
        await it.until(lambda: len(it.searcher.requests) >= asked + 3, most=120)
        assert it.message.stage is Stage.ACCEPTED
        it.searcher.error = None
        await it.until(lambda: it.message.stage is Stage.LOST, most=60)
        assert it.message.lost_at == pytest.approx(it.message.begun_at + SLOWLY_LOST.lost_after, abs=120)


async def test_a_restart_under_a_clock_that_is_behind_forgets_no_message(tmp_path: Path) -> None:
    async with setting(tmp_path) as it:
        await it.settle()
        await it.passes(PLAN.every)
        behind = it.ahead[0] - 10 * PLAN.every
        before = {message.slot for message in it.record.messages}
        await it.service.drain(5.0)
        await it.state.close()
        async with sending(it.world, tmp_path / "state", ahead_by=behind) as after:
            for _ in range(12):
                await after.passes(PLAN.every / 10)
            slots = [message.slot for message in after.record.messages]
            assert before < set(slots)
            assert len(slots) == len(set(slots))


async def test_a_slot_is_used_once_without_a_file_too() -> None:
    """Whose disk is broken goes on from memory."""
    outbox, limits = Outbox(SentMessages()), Limits(per_hour=2, per_day=2)
    message = Message("billing", slot=900, sequence=1, mark="one", message_id="<one@x>", intended_at=1000.0)
    assert await outbox.intend(message, "billing@x", "x", limits) is None
    again = replace(message, sequence=2, mark="two", message_id="<two@x>")
    assert await outbox.intend(again, "billing@x", "x", limits) is Held.SLOT_USED
    assert outbox.records["billing"].messages == (message,)
    assert outbox.until("billing@x", "x", 1000.0, limits) is None


async def test_what_was_left_over_is_swept_once_a_day_and_nothing_else_is_looked_for(tmp_path: Path) -> None:
    async with setting(tmp_path, replace(PLAN, every=30 * 86400.0)) as it:
        await it.settle()
        await it.passes(3)
        it.searcher.requests.clear()
        await it.until(lambda: bool(it.searcher.requests), step=60, most=1300)
        purged = it.searcher.requests[-1].purge_before
        assert purged is not None
        assert it.now() - 86460 < purged <= it.now() - 86400
        for _ in range(47):
            await it.passes(1800)
        assert len(it.searcher.requests) == 1
        await it.passes(3600)
        assert len(it.searcher.requests) == 2


async def test_a_sweep_that_failed_is_repeated_soon_and_its_error_does_not_stay(tmp_path: Path) -> None:
    async with setting(tmp_path, replace(PLAN, every=30 * 86400.0)) as it:
        await it.settle()
        await it.passes(3)
        it.searcher.requests.clear()
        it.searcher.error = FinderError(FinderStep.TOKEN, "wrong secret")
        await it.until(lambda: bool(it.searcher.requests), step=60, most=1300)
        it.searcher.error = None
        await it.until(lambda: len(it.searcher.requests) > 1, step=10, most=120)
        finder = it.loopback_status.finder
        assert finder is not None and finder.error is None


async def test_a_message_that_the_record_has_dropped_uses_no_slot_again(tmp_path: Path) -> None:
    """Its slot would become the last one, and those after it have been used."""
    async with setting(tmp_path) as it:
        await it.settle()
        await it.passes(PLAN.every)
        first, last = it.record.messages
        it.state.outbox.only([])
        it.state.outbox.keep(last, it.now())
        it.state.outbox.keep(first, it.now())
        assert it.record.slot == last.slot


async def test_the_senders_sent_items_are_swept_too(tmp_path: Path) -> None:
    """Once a day, with the finder's credential; where that fails, it is nobody's fault."""
    async with setting(tmp_path, replace(PLAN, every=30 * 86400.0)) as it:
        await it.settle()
        await it.until(lambda: bool(it.searcher.elsewhere), step=60, most=1300)
        mailbox, request = it.searcher.elsewhere[0]
        assert (mailbox, request.targets) == (it.check.mailbox, ())
        assert request.purge_before
        await it.passes(3600)
        assert len(it.searcher.elsewhere) == 1


@pytest.mark.parametrize(("credential", "purged"), [("probe-password", False), ("", True)])
async def test_a_password_of_the_finder_is_not_tried_at_the_sender(
    tmp_path: Path, credential: str, purged: bool
) -> None:
    """A credential of its own has the password of another account; the check's own one logs in as the sender anyway."""
    async with setting(tmp_path) as it:
        assert PLAN.find
        find = replace(PLAN.find, password=True, credential=credential or it.check.credential or "")
        places = replace(PLAN, find=find).purged_mailboxes(it.check)
        assert [place.mailbox for place in places] == [find.mailbox, it.check.mailbox][: 1 + purged]
        plans = {it.check.name: replace(PLAN, find=find)}
        it.service.replace({it.check.name: it.check}, plans, it.kit, first_within=0.0)
        assert {place.mailbox for place in it.service.search.mailboxes} == {place.mailbox for place in places}


async def test_nothing_is_deleted_before_the_disk_knows_that_it_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a kill between the two it would be considered lost."""

    async def no(_: Outbox) -> bool:
        return False

    async with setting(tmp_path) as it:
        await it.settle()
        with monkeypatch.context() as patched:
            patched.setattr(Outbox, "is_on_disk", no)
            await it.passes(3)
        assert (it.message.stage, it.message.deleted) == (Stage.DELIVERED, False)
        assert [request.delete for request in it.searcher.requests] == [False]
        await it.passes(PLAN.every)
        await it.passes(3)
        assert [message.deleted for message in it.record.messages] == [True, True]


async def test_messages_stay_where_that_is_wanted(tmp_path: Path) -> None:
    async with setting(tmp_path, replace(PLAN, delete=False)) as it:
        await it.settle()
        await it.passes(3)
        await it.passes(PLAN.every)
        await it.passes(3)
        assert [(each.stage, each.deleted, each.duplicates) for each in it.record.messages] == [
            (Stage.DELIVERED, False, 0)
        ] * 2
        assert not any(request.delete or request.purge_before for request in it.searcher.requests)
        assert it.searcher.elsewhere == []


async def test_a_fault_of_the_searcher_is_a_failed_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with setting(tmp_path) as it:
        monkeypatch.setattr(it.searcher, "search", lambda *_, **__: 1 // 0)
        await it.settle()
        with capture_logs():
            await it.passes(3)
        finder = it.loopback_status.finder
        assert finder
        assert finder.error == FinderError(FinderStep.SEARCH, "ZeroDivisionError inside smtpcheck")


async def test_a_drain_lets_a_message_be_sent_to_its_end(tmp_path: Path) -> None:
    async with setting(tmp_path) as it:
        it.service.tick()
        await it.service.drain(10.0)
        assert (it.message.stage, len(it.world.exchange.messages)) == (Stage.ACCEPTED, 1)


async def test_a_check_that_leaves_the_configuration_is_not_looked_for(tmp_path: Path) -> None:
    async with setting(tmp_path) as it:
        await it.settle()
        it.service.replace({}, {}, it.kit, 0.0)
        await it.passes(1000)
        assert (it.searcher.requests, it.service.loopback_status(it.check.name)) == ([], None)
        it.service.replace({it.check.name: it.check}, {it.check.name: it.plan}, it.kit, 0.0)
        await it.settle()
        assert it.record.messages[0].stage is Stage.DELIVERED
