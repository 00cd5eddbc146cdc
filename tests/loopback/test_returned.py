"""What a bounce and a notice of delay mean for a message, its check, its path and its metrics."""

from dataclasses import replace

import pytest

from smtpcheck.diagnosis import catalogue
from smtpcheck.loopback.finder import BounceMatch, FinderError, FinderStep, FolderKind
from smtpcheck.loopback.message_state import (
    Message,
    Record,
    Stage,
    Totals,
    after_bounce,
    after_delay_notice,
    after_missing_bounce,
    after_search,
)
from smtpcheck.loopback.plan import Loopback
from smtpcheck.loopback.returned import Returned, returned
from smtpcheck.loopback.status import FinderState, LoopbackStatus, merged, success
from smtpcheck.loopback.timeline import EventKind, timeline
from smtpcheck.loopback.timing import SEARCH_UNTIL
from smtpcheck.mail.bounce import Action, Bounce
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Phase
from smtpcheck.model.report import FaultKind, Finding, Outcome
from smtpcheck.output.finding import findings_text, show
from smtpcheck.output.loopback_json import loopback_as_json
from smtpcheck.output.metrics import Metrics
from smtpcheck.state.serialization import pack, unpack_as
from tests.loopback.test_status import ACCEPTED, AGENT, CHECK, OK, PLAN, SEEN, SENT, found, missed

FINDING = Finding(Cause.RECIPIENT_REJECTED, 0.95, "rule", ("550 5.1.1 User unknown",), {"recipient": PLAN.recipient})
BOUNCE = Returned(
    seen_at=SENT + 9.0,
    arrived_at=SENT + 7.0,
    recipient=PLAN.recipient,
    code=550,
    enhanced="5.1.1",
    reply="550 5.1.1 User unknown",
    remote_mta="mx.example.net",
    reporting_mta="mail.example.org",
    folder="INBOX",
    findings=(FINDING,),
)
NOTICE = replace(
    BOUNCE,
    code=451,
    enhanced="4.7.1",
    reply="451 4.7.1 Greylisted",
    findings=(Finding(Cause.TRANSIENT_SERVER_ERROR, 0.8, "rule"),),
)
BOUNCED = after_bounce(ACCEPTED, BOUNCE)
DELAYED = after_delay_notice(ACCEPTED, NOTICE)
BOUNCES_PLAN = replace(PLAN, bounces=replace(PLAN.find, mailbox=PLAN.sender)) if PLAN.find else PLAN


def status(*messages: Message, plan: Loopback = BOUNCES_PLAN, error: FinderError | None = None) -> LoopbackStatus:
    record = Record(7, int(SENT), messages, Totals(sent=7, bounced=1))
    return LoopbackStatus(plan, record, FinderState(SENT), bounces=FinderState(SENT, error, 3 if error else 0))


RETURNED = status(BOUNCED)


def test_a_returned_message_makes_the_check_critical_with_the_causes_of_its_reply() -> None:
    report = merged(OK, RETURNED, SENT + 10)
    assert (report.outcome, report.cause) == (Outcome.CRITICAL, Cause.MAIL_BOUNCED)
    assert [finding.cause for finding in report.findings] == [Cause.MAIL_BOUNCED, Cause.RECIPIENT_REJECTED]
    assert report.findings[0].evidence == (
        "message 7 to probe@example.org was returned: 550 5.1.1 User unknown",
        "the server that says so is mx.example.net",
        "its Message-ID is <a@example.org>",
    )
    step = report.failed_step
    assert step and step.fault
    assert (step.phase, step.fault.kind, str(report.failed_reply)) == (
        Phase.DELIVERY,
        FaultKind.REPLY,
        "550 5.1.1 User unknown",
    )
    assert success(RETURNED) is False


def test_a_bounce_without_a_code_gives_its_words() -> None:
    bounce = replace(BOUNCE, code=None, enhanced="", reply="", findings=(Finding(Cause.UNKNOWN, 0.0, "none"),))
    report = merged(OK, status(after_bounce(ACCEPTED, bounce)), SENT + 10)
    assert report.failed_step and report.failed_step.fault
    assert report.failed_step.fault.kind is FaultKind.NOT_DELIVERED
    assert report.findings[0].evidence[0] == "message 7 to probe@example.org was returned: no reason was given"
    assert [finding.cause for finding in report.findings] == [Cause.MAIL_BOUNCED]


def test_a_later_message_that_arrives_resolves_a_bounce() -> None:
    later = replace(found(), sequence=8, slot=int(SENT) + 900)
    assert merged(OK, status(BOUNCED, later), SENT + 910).outcome is Outcome.OK


@pytest.mark.parametrize("stage", [Stage.ACCEPTED, Stage.UNCERTAIN, Stage.LOST])
def test_a_message_that_has_not_arrived_is_returned_by_a_bounce(stage: Stage) -> None:
    """One that was lost too, and one of which it was unknown whether it was accepted."""
    assert after_bounce(replace(ACCEPTED, stage=stage), BOUNCE).stage is Stage.BOUNCED


@pytest.mark.parametrize("stage", [Stage.DELIVERED, Stage.REFUSED])
def test_a_bounce_changes_nothing_of_what_has_arrived(stage: Stage) -> None:
    assert after_bounce(replace(ACCEPTED, stage=stage), BOUNCE).stage is stage


def test_a_message_that_is_found_all_the_same_has_arrived() -> None:
    """A forged bounce is not believed for long."""
    arrived = after_search(BOUNCED, [SEEN], PLAN, began=SENT + 20, ended=SENT + 21, whole=True)
    assert arrived.stage is Stage.DELIVERED
    assert merged(OK, status(arrived), SENT + 30).outcome is Outcome.OK


def test_a_returned_message_is_never_lost() -> None:
    after = missed(2000.0, BOUNCED)
    assert (after.stage, after.lost_at) == (Stage.BOUNCED, None)


def test_a_bounce_is_searched_for_while_its_message_may_come_back() -> None:
    assert ACCEPTED.may_be_returned(SENT + SEARCH_UNTIL - 1)
    assert not ACCEPTED.may_be_returned(SENT + SEARCH_UNTIL + 1)
    assert not found().may_be_returned(SENT + 10)
    assert BOUNCED.may_be_returned(BOUNCE.seen_at + 60) and not BOUNCED.may_be_returned(BOUNCE.seen_at + 4000)
    deleted = replace(found(), bounce=replace(BOUNCE, deleted=True))
    assert not deleted.may_be_returned(SENT + 10)


def test_each_message_is_counted_once_as_returned() -> None:
    record = Record().with_message(ACCEPTED, SENT).with_message(BOUNCED, SENT + 9).with_message(BOUNCED, SENT + 20)
    assert record.totals == Totals(sent=1, bounced=1)


def test_a_notice_of_delay_is_a_warning_until_the_message_arrives() -> None:
    report = merged(OK, status(DELAYED), SENT + 10)
    assert (report.outcome, [finding.cause for finding in report.warnings]) == (
        Outcome.WARNING,
        [Cause.MAIL_LATE, Cause.TRANSIENT_SERVER_ERROR],
    )
    assert "is delayed: 451 4.7.1 Greylisted" in report.warnings[0].evidence[0]
    arrived = replace(found(), delay_notice=NOTICE)
    assert merged(OK, status(arrived), SENT + 10).outcome is Outcome.OK


def test_lost_mail_says_what_a_notice_of_delay_had_said() -> None:
    report = merged(OK, status(missed(901.0, DELAYED)), SENT + 902)
    assert report.cause is Cause.MAIL_LOST
    assert "mx.example.net had said that it is delayed: 451 4.7.1 Greylisted" in report.findings[0].evidence


def test_the_newest_notice_of_delay_is_kept() -> None:
    newer = replace(NOTICE, arrived_at=SENT + 100.0, reply="452 4.2.2 Full")
    assert after_delay_notice(DELAYED, newer).delay_notice == newer
    assert after_delay_notice(after_delay_notice(ACCEPTED, newer), NOTICE).delay_notice == newer


def test_a_message_found_after_it_was_lost_says_how_late() -> None:
    seen = replace(SEEN, arrived_at=SENT + 1500)
    arrived = after_search(missed(901.0), [seen], PLAN, began=SENT + 1502, ended=SENT + 1503, whole=True)
    report = merged(OK, status(arrived), SENT + 1600)
    assert "it was found 10 minutes after it was considered lost" in report.warnings[0].evidence
    assert timeline(arrived)[-1].text == "found in the inbox, 10 minutes after it was considered lost"


def test_the_path_ends_with_the_bounce_and_its_reason() -> None:
    events = timeline(replace(after_bounce(DELAYED, BOUNCE), bounce=replace(BOUNCE, deleted=True)))
    assert [(event.what, event.text, event.detail, event.seconds) for event in events[-2:]] == [
        (EventKind.DELAYED, "delayed by mx.example.net", "451 4.7.1 Greylisted", 7.0),
        (EventKind.BOUNCED, "returned by mx.example.net, and the bounce deleted", "550 5.1.1 User unknown", 7.0),
    ]


def test_a_clock_that_cannot_be_right_is_not_shown() -> None:
    event = timeline(after_bounce(ACCEPTED, replace(BOUNCE, arrived_at=SENT - 500.0)))[-1]
    assert (event.at, event.seconds) == (BOUNCE.seen_at, 9.0)


def test_without_a_finder_a_message_that_is_not_returned_resolves_a_bounce() -> None:
    """Nobody says that it arrived; after `lost_after` a bounce would have come."""
    plan = replace(BOUNCES_PLAN, find=None)
    later = replace(ACCEPTED, sequence=8, slot=int(SENT) + 900, intended_at=SENT + 900, sent_at=SENT + 900)
    assert merged(OK, status(BOUNCED, later, plan=plan), SENT + 950).cause is Cause.MAIL_BOUNCED
    assert success(status(BOUNCED, later, plan=plan)) is False
    stayed = after_missing_bounce(later, SENT + 900 + plan.lost_after)
    assert merged(OK, status(BOUNCED, stayed, plan=plan), SENT + 1900).outcome is Outcome.OK
    assert success(status(BOUNCED, stayed, plan=plan)) is True


REFUSED_LOGIN = FinderError(FinderStep.LOGIN, "AUTHENTICATE failed.")


@pytest.mark.parametrize(("required", "expected"), [(True, [Cause.FINDER_FAILED]), (False, [])])
def test_a_mailbox_whose_bounces_cannot_be_read_is_warned_of_if_they_were_asked_for(
    required: bool, expected: list[Cause]
) -> None:
    plan = replace(BOUNCES_PLAN, bounces_required=required)
    report = merged(OK, status(found(), plan=plan, error=REFUSED_LOGIN), SENT + 10)
    assert [finding.cause for finding in report.warnings] == expected
    assert [finding.values["mailbox"] for finding in report.warnings] == [PLAN.sender] * required


def test_what_a_bounce_says_is_kept_printable_and_bounded() -> None:
    bounce = Bounce(Action.FAILED, "a\x1b[2J@x", 550, "5.1.1", "550 " + "x\x00" * 5000, "\x07" * 3000, "", "m\n" * 900)
    kept = returned(BounceMatch("sc1", bounce, "IN\rBOX", None, "k"), (), SENT)
    for text in (kept.recipient, kept.reply, kept.wrapped, kept.remote_mta, kept.folder):
        assert text.isprintable() and len(text) <= 1000


def test_what_is_kept_outlives_a_restart() -> None:
    message = after_bounce(DELAYED, BOUNCE)
    assert unpack_as(pack(message), Message) == message


def test_json_has_the_bounce_with_its_findings() -> None:
    shown = loopback_as_json(RETURNED, catalogue.load())
    (message,) = shown["messages"]
    assert (message["stage"], message["delay_notice"], shown["totals"]["bounced"]) == ("bounced", None, 1)
    assert shown["bounces"]["success"] is True
    bounce = message["bounce"]
    assert (bounce["code"], bounce["enhanced"], bounce["remote_mta"], bounce["wrapped"]) == (
        550,
        "5.1.1",
        "mx.example.net",
        None,
    )
    assert [finding["cause"] for finding in bounce["findings"]] == ["recipient_rejected"]


def test_the_metrics_of_a_bounce() -> None:
    metrics = Metrics((), expose_addresses=False)
    metrics.record_loopback(CHECK, RETURNED)
    shown = metrics.expose(openmetrics=False, credentials=(), agent=AGENT).decode()
    labels = 'check="billing",cause="recipient_rejected",smtp_code="550",enhanced_code="5.1.1"'
    assert f"smtpcheck_loopback_bounce_info{{{labels}}} 1" in shown
    assert 'smtpcheck_loopback_bounced_total{check="billing"} 1' in shown
    metrics.record_loopback(CHECK, status(BOUNCED, replace(found(), sequence=8, slot=int(SENT) + 900)))
    assert (
        "smtpcheck_loopback_bounce_info{" not in metrics.expose(openmetrics=False, credentials=(), agent=AGENT).decode()
    )


def test_what_is_shown_never_ends_in_a_folder_of_the_sent() -> None:
    """A copy in Sent Items is no arrival: a bounce stays one."""
    copy = replace(SEEN, kind=FolderKind.SENT)
    assert after_search(BOUNCED, [copy], PLAN, began=SENT + 20, ended=SENT + 21, whole=True).stage is Stage.BOUNCED


def test_what_is_shown_says_why_it_was_returned_and_how_to_fix_that(capsys: pytest.CaptureFixture[str]) -> None:
    """The cause of the reply is no alternative to the bounce, so it is shown whole, behind it."""
    report = merged(OK, RETURNED, SENT + 10)
    show(findings_text(report.findings, catalogue.load()))
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines() if line.strip().startswith(("cause", "fix", "or"))] == [
        *("cause", "fix"),
        *("cause", "fix"),
    ]
    assert "mail_bounced, certain" in shown
    assert "recipient_rejected, certain" in shown
    assert "smtpcheck check billing --depth send" in shown


def test_the_codes_of_a_reply_are_there_once() -> None:
    assert str(BOUNCE.as_reply) == "550 5.1.1 User unknown"
    assert str(replace(BOUNCE, enhanced="").as_reply) == "550 User unknown"
    assert str(replace(BOUNCE, reply="User unknown").as_reply) == "550 5.1.1 User unknown"


def test_a_mailbox_that_counts_whole_seconds_shows_no_bounce_before_its_message() -> None:
    event = timeline(after_bounce(ACCEPTED, replace(BOUNCE, arrived_at=SENT - 0.7)))[-1]
    assert (event.at, event.seconds) == (SENT, 0.0)
