"""What the loopback says of its check, and what the metrics show of it."""

from dataclasses import replace

import pytest
from msgspec import structs

from smtpcheck.diagnosis.catalogue import load
from smtpcheck.diagnosis.explain import describe
from smtpcheck.limits.send_limits import Limits
from smtpcheck.loopback.finder import FinderError, FinderStep, FolderKind, Match
from smtpcheck.loopback.message_state import (
    KEPT_MESSAGES,
    Message,
    Receipt,
    Record,
    Stage,
    Totals,
    after_search,
    uncertain,
)
from smtpcheck.loopback.plan import Find, FindVia, Loopback
from smtpcheck.loopback.status import FinderState, LoopbackStatus, merged, success
from smtpcheck.loopback.timeline import timeline
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Phase
from smtpcheck.model.report import Exchange, Fault, FaultKind, Finding, Outcome, Reply, Report, Step
from smtpcheck.output.metrics import AgentState, Metrics
from smtpcheck.state.serialization import pack, unpack_as
from tests.worlds.samples import BILLING

AGENT = AgentState("0.1.0", 1, 0, connectivity_lost=False)
SENT = 1_800_000_000.0
PLAN = Loopback(
    every=900.0,
    sender="billing@example.org",
    recipient="probe@example.org",
    find=Find(FindVia.IMAP, "probe@example.org", "site"),
    warn_after=60.0,
    lost_after=900.0,
    limits=Limits(12, 200),
    authserv_id="mx.example.org",
)
CHECK = BILLING
OK = Report("billing", SENT, 0.5, Outcome.OK, tuple(Step(phase, 0.0, 0.1) for phase in (Phase.CONNECT, Phase.AUTH)))
ACCEPTED = Message(
    "billing",
    slot=int(SENT),
    sequence=7,
    mark="sc1mark",
    message_id="<a@example.org>",
    intended_at=SENT - 0.1,
    stage=Stage.ACCEPTED,
    sent_at=SENT,
    receipt=Receipt("250 2.0.0 OK <b@mx.example.org>", "<b@mx.example.org>"),
)
HEADERS = (
    ("Received", "by mx.example.org; Fri, 15 Jan 2027 08:00:03 +0000"),
    ("Authentication-Results", "mx.example.org; spf=pass; dmarc=fail"),
)
SEEN = Match("sc1mark", "INBOX", FolderKind.INBOX, SENT + 4.0, HEADERS, deleted=True)


def found(kind: FolderKind = FolderKind.INBOX, after: float = 5.0) -> Message:
    """Return the message as it is after a search that saw it, so many seconds after it was sent."""
    seen = replace(SEEN, kind=kind, folder=kind.title(), arrived_at=SENT + after)
    return after_search(ACCEPTED, [seen], PLAN, began=SENT + after, ended=SENT + after + 0.5, whole=True)


def missed(after: float, message: Message = ACCEPTED, *, whole: bool = True) -> Message:
    return after_search(message, [], PLAN, began=SENT + after, ended=SENT + after + 1, whole=whole)


def loopback_status(
    *messages: Message, sending: Report | None = None, error: FinderError | None = None
) -> LoopbackStatus:
    finder = FinderState(SENT, error, 2 if error else 0)
    return LoopbackStatus(PLAN, Record(7, int(SENT), messages, Totals(), sending), finder)


def refusal(phase: Phase, code: int = 554, fault: FaultKind = FaultKind.REPLY) -> Report:
    """Return the run of a message that was refused in a phase."""
    exchange = Exchange("<1 octets>", Reply(code, "5.2.0", ("no",)) if fault is FaultKind.REPLY else None)
    return structs.replace(
        OK,
        started_at=SENT - 1,
        outcome=Outcome.CRITICAL,
        steps=(*OK.steps, Step(phase, 0.2, 0.1, (exchange,), Fault(fault))),
        cause=Cause.MAILBOX_PERMISSION_MISSING,
        findings=(Finding(Cause.MAILBOX_PERMISSION_MISSING, 0.9, "rule"),),
    )


LOGIN = FinderError(FinderStep.LOGIN, "AUTHENTICATE failed.", "AUTHENTICATIONFAILED")
SHORTAGE = FinderError(FinderStep.AGENT, "no descriptor")
ARRIVED = LoopbackStatus(
    PLAN,
    Record(7, int(SENT), (found(FolderKind.JUNK),), Totals(sent=7, found=5, late=2, lost=1, uncertain=1)),
    FinderState(SENT),
)


@pytest.mark.parametrize(
    ("now", "state", "expected"),
    [
        (5, loopback_status(), []),
        (5, loopback_status(ACCEPTED), []),
        (10, loopback_status(found()), []),
        (70, loopback_status(missed(65)), [Cause.MAIL_LATE]),
        (70, loopback_status(ACCEPTED), []),
        (70, loopback_status(found(after=65.0)), [Cause.MAIL_LATE]),
        (10, loopback_status(found(FolderKind.JUNK)), [Cause.MAIL_IN_JUNK]),
        (99, loopback_status(found(FolderKind.JUNK, 65.0)), [Cause.MAIL_IN_JUNK, Cause.MAIL_LATE]),
        (5, loopback_status(uncertain(replace(ACCEPTED, receipt=None), SENT)), [Cause.MAIL_UNCERTAIN]),
        (5, replace(loopback_status(ACCEPTED), kept=False), [Cause.STATE_NOT_KEPT]),
        (5, loopback_status(ACCEPTED, error=LOGIN), [Cause.FINDER_FAILED]),
        (5, loopback_status(ACCEPTED, error=SHORTAGE), [Cause.AGENT_OUT_OF_RESOURCES]),
        (10, loopback_status(found(FolderKind.OTHER)), []),
    ],
)
def test_what_is_not_right_is_a_warning(now: float, state: LoopbackStatus, expected: list[Cause]) -> None:
    report = merged(OK, state, SENT + now)
    assert [finding.cause for finding in report.warnings] == expected
    assert (report.outcome, report.cause) == (Outcome.WARNING if expected else Outcome.OK, None)
    assert (report is OK) == (not expected)


def test_mail_is_lost_by_a_search_that_began_after_its_time_and_not_by_one_that_ended_then() -> None:
    """It may have arrived while the search looked elsewhere."""
    missed_late = after_search(
        ACCEPTED, [], PLAN, began=SENT + PLAN.lost_after - 1, ended=SENT + PLAN.lost_after + 30, whole=True
    )
    assert (missed_late.stage, missed_late.lost_at) == (Stage.ACCEPTED, None)
    assert missed_late.missed_at == SENT + PLAN.lost_after - 1
    lost = after_search(
        missed_late, [], PLAN, began=SENT + PLAN.lost_after, ended=SENT + PLAN.lost_after + 30, whole=True
    )
    assert (lost.stage, lost.lost_at) == (Stage.LOST, SENT + PLAN.lost_after + 30)


def test_lost_mail_is_critical_and_names_the_message() -> None:
    report = merged(OK, loopback_status(missed(901)), SENT + 902)
    assert (report.outcome, report.cause) == (Outcome.CRITICAL, Cause.MAIL_LOST)
    assert report.failed_step
    assert (report.failed_step.phase, report.failed_step.fault) == (
        Phase.DELIVERY,
        Fault(FaultKind.NOT_DELIVERED, "not found within 902 s"),
    )
    assert report.findings[0].evidence == (
        "message 7 was accepted, and not found within 902 s",
        "its Message-ID is <b@mx.example.org>",
        "the server said: 250 2.0.0 OK <b@mx.example.org>",
    )


def test_what_arrives_later_resolves_what_was_lost() -> None:
    """The lost message itself, and the next one too."""
    lost = missed(901)
    turned_up = after_search(lost, [SEEN], PLAN, began=SENT + 1800, ended=SENT + 1801, whole=True)
    assert turned_up.delivered_at == SENT + 901
    assert [each.cause for each in merged(OK, loopback_status(turned_up), SENT + 1801).warnings] == [Cause.MAIL_LATE]
    following = replace(found(), sequence=8, slot=int(SENT) + 900)
    assert merged(OK, loopback_status(lost, following), SENT + 1000) is OK


@pytest.mark.parametrize("phase", [Phase.MAIL, Phase.RCPT, Phase.DATA])
def test_a_refused_message_is_the_checks_failure(phase: Phase) -> None:
    """With the reply that refused it, and with the finding that explains it."""
    sending = refusal(phase)
    report = merged(OK, loopback_status(sending=sending), SENT + 1)
    assert (report.outcome, report.cause, report.findings) == (Outcome.CRITICAL, sending.cause, sending.findings)
    assert report.failed_step
    assert (report.failed_step.phase, report.failed_reply and report.failed_reply.code) == (phase, 554)


@pytest.mark.parametrize("phase", [Phase.TOKEN, Phase.CONNECT, Phase.AUTH])
def test_what_the_check_has_seen_better_itself_is_not_laid_over(phase: Phase) -> None:
    assert merged(OK, loopback_status(found(), sending=refusal(phase)), SENT + 10) is OK


def test_a_lost_connection_after_the_final_dot_is_no_refusal() -> None:
    message = uncertain(replace(ACCEPTED, receipt=None), SENT)
    state = loopback_status(message, sending=refusal(Phase.DATA, fault=FaultKind.RESET))
    assert [each.cause for each in merged(OK, state, SENT + 1).warnings] == [Cause.MAIL_UNCERTAIN]
    assert success(state) is None


@pytest.mark.parametrize("outcome", [Outcome.CRITICAL, Outcome.UNKNOWN])
def test_the_checks_own_failure_goes_before(outcome: Outcome) -> None:
    report = structs.replace(OK, outcome=outcome, cause=Cause.TIMEOUT)
    assert merged(report, loopback_status(missed(901), error=LOGIN), SENT + 950) is report


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (loopback_status(), None),
        (loopback_status(ACCEPTED), None),
        (loopback_status(found(FolderKind.JUNK)), True),
        (loopback_status(missed(901)), False),
        (loopback_status(found(), sending=refusal(Phase.AUTH)), False),
        (replace(loopback_status(ACCEPTED), plan=replace(PLAN, find=None)), True),
        (replace(loopback_status(), plan=replace(PLAN, find=None)), None),
    ],
)
def test_success_is_that_the_last_message_arrived(state: LoopbackStatus, expected: bool | None) -> None:
    assert success(state) is expected


# ---------------------------------------------------------------------------------------------------------------------
# When it arrived


@pytest.mark.parametrize(
    ("arrived_at", "missed_after", "seconds"),
    [
        (4.0, None, 4.0),
        (None, None, 10.5),
        (-3600.0, None, 0.0),
        (3600.0, None, 10.5),
        (4.0, 8.0, 8.0),
        (9.0, 8.0, 9.0),
    ],
)
def test_the_mailboxs_clock_is_believed_within_what_was_observed(
    arrived_at: float | None, missed_after: float | None, seconds: float
) -> None:
    before = ACCEPTED if missed_after is None else missed(missed_after)
    seen = replace(SEEN, arrived_at=None if arrived_at is None else SENT + arrived_at)
    after = after_search(before, [seen], PLAN, began=SENT + 10, ended=SENT + 10.5, whole=True)
    assert after.delivery_seconds == pytest.approx(seconds)


# ---------------------------------------------------------------------------------------------------------------------
# Where it was found, and why


EXCHANGE = replace(PLAN, authserv_id="", exchange_online=True)
REPORT = "CIP:192.0.2.9;CTRY:DE;SCL:5;SFV:SPM;CAT:SPM;DIR:INB;"
OUTBOUND = "CIP:192.0.2.9;SCL:5;SFV:SPM;CAT:OSPM;DIR:OUT;SFP:1501;"


def with_fields(kind: FolderKind, *fields: tuple[str, str], plan: Loopback = PLAN, folder: str = "") -> Message:
    """Return the message as it is after it was found in a folder with these fields in its header."""
    seen = replace(SEEN, kind=kind, folder=folder or kind.title(), headers=fields)
    return after_search(ACCEPTED, [seen], plan, began=SENT + 5, ended=SENT + 6, whole=True)


def warnings_of(message: Message, plan: Loopback = PLAN) -> tuple[Finding, ...]:
    return merged(OK, replace(loopback_status(message), plan=plan), SENT + 10).warnings


def test_mail_in_junk_comes_with_the_receivers_verdict_and_its_fix() -> None:
    delivery = ("X-Microsoft-Antispam-Mailbox-Delivery", "ucf:0;dest:J;OFR:CustomRules;")
    message = with_fields(FolderKind.JUNK, ("X-Forefront-Antispam-Report", REPORT), delivery, plan=EXCHANGE)
    (finding,) = warnings_of(message, EXCHANGE)
    assert finding.cause is Cause.MAIL_IN_JUNK
    assert "a rule of the mailbox moved it" in finding.evidence[1]
    assert "OFR:CustomRules" in finding.evidence[1]
    remedy = describe(finding, load()).remedy
    assert any("Get-InboxRule -Mailbox probe@example.org" in step for step in remedy)
    assert not any("BlockedSenders" in step or "BulkThreshold" in step for step in remedy)


def test_a_verdict_that_anybody_can_have_written_is_a_hint() -> None:
    """Below the receiver's own fields, or where no receiver is named."""
    fields = (*HEADERS, ("X-Spam-Status", "Yes, score=7.0 required=5.0 tests=BAYES_99"))
    for plan in (PLAN, replace(PLAN, authserv_id=None)):
        message = with_fields(FolderKind.JUNK, *fields, plan=plan)
        (finding,) = warnings_of(message, plan)
        assert any("anybody can have written: SpamAssassin" in line for line in finding.evidence)
        assert finding.values["why"] == message.junk_reason == "unknown"


def test_the_receivers_own_filter_is_believed() -> None:
    fields = (("X-Spam-Status", "Yes, score=7.0 required=5.0 tests=BAYES_99"), *HEADERS)
    (finding,) = warnings_of(with_fields(FolderKind.JUNK, *fields))
    assert "SpamAssassin: the filter rated it as spam" in finding.evidence[1]
    assert finding.values["why"] == "filter"


@pytest.mark.parametrize("kind", [FolderKind.INBOX, FolderKind.JUNK, FolderKind.OTHER])
@pytest.mark.parametrize("suffix", ["", "-Untrusted"])
def test_spam_when_it_left_is_a_warning_of_its_own_wherever_it_lands(kind: FolderKind, suffix: str) -> None:
    found = warnings_of(with_fields(kind, (f"X-Forefront-Antispam-Report{suffix}", OUTBOUND)))
    (outbound,) = (each for each in found if each.cause is Cause.RATED_OUTBOUND_SPAM)
    assert "CAT:OSPM" in outbound.evidence[0]
    assert (Cause.MAIL_IN_JUNK in {each.cause for each in found}) is (kind is FolderKind.JUNK)


def test_another_folder_by_a_rule_is_named_and_no_warning() -> None:
    delivery = ("X-Microsoft-Antispam-Mailbox-Delivery", "ucf:0;dest:C;OFR:CustomRules;")
    message = with_fields(FolderKind.OTHER, delivery, plan=EXCHANGE, folder="Invoices")
    assert "found in the folder Invoices, moved by an inbox rule" in [event.text for event in timeline(message)][-1]
    assert warnings_of(message, EXCHANGE) == ()


def test_exchange_says_how_long_it_took_only_where_it_serves_the_mailbox() -> None:
    latency = ("X-MS-Exchange-Transport-EndToEndLatency", "00:00:02.4567890")
    message = with_fields(FolderKind.INBOX, latency, plan=EXCHANGE)
    assert any("counts 2.5 s from end to end" in event.detail for event in timeline(message))
    assert with_fields(FolderKind.INBOX, latency).exchange_seconds is None


def test_results_come_as_the_receiver_writes_them_and_a_contradiction_is_named() -> None:
    fields = (
        ("Authentication-Results", "mx.example.org; dmarc=bestguesspass header.from=example.org"),
        ("Authentication-Results", "mx.example.org; dara=pass; dmarc=fail"),
    )
    message = with_fields(FolderKind.JUNK, *fields)
    assert dict(message.authentication) == {"dmarc": "bestguesspass", "dara": "pass"}
    (finding,) = warnings_of(message)
    assert "dmarc is bestguesspass and fail by the same server" in finding.evidence


def test_where_no_receiver_is_believed_the_name_that_it_uses_is_proposed() -> None:
    message = with_fields(FolderKind.INBOX, *reversed(HEADERS), plan=replace(PLAN, authserv_id=None))
    assert (message.receiver_id, message.authentication) == ("mx.example.org", ())
    assert with_fields(FolderKind.INBOX, *reversed(HEADERS)).receiver_id is None


def test_all_that_was_read_outlives_a_restart() -> None:
    message = with_fields(FolderKind.JUNK, ("X-Forefront-Antispam-Report", REPORT), *HEADERS, plan=EXCHANGE)
    assert message.verdicts
    assert unpack_as(pack(message), Message) == message


def test_a_search_that_failed_in_part_loses_nothing_and_what_it_saw_counts() -> None:
    assert missed(5000, whole=False).stage is Stage.ACCEPTED
    seen = after_search(ACCEPTED, [SEEN], PLAN, began=SENT + 5, ended=SENT + 6, whole=False)
    assert (seen.stage, seen.authentication) == (Stage.DELIVERED, (("spf", "pass"), ("dmarc", "fail")))


def test_messages_that_are_done_are_kept_in_bounded_number() -> None:
    record = Record()
    for number in range(100):
        message = replace(found(), sequence=number, slot=number)
        record = record.with_message(replace(message, stage=Stage.ACCEPTED), SENT).with_message(message, SENT + 10)
    assert [message.sequence for message in record.messages] == list(range(99 - KEPT_MESSAGES, 100))
    assert (record.totals, record.sequence) == (Totals(sent=100, found=100), 99)


# ---------------------------------------------------------------------------------------------------------------------
# Metrics


def test_the_metrics_of_a_loopback_are_these() -> None:
    metrics = Metrics((), expose_addresses=False)
    metrics.record_loopback(CHECK, ARRIVED)
    shown = metrics.expose(openmetrics=False, credentials=(), agent=AGENT).decode()
    assert [line for line in shown.splitlines() if line.startswith("smtpcheck_loopback") and "bucket" not in line] == [
        'smtpcheck_loopback_success{check="billing"} 1',
        'smtpcheck_loopback_delivery_duration_seconds{check="billing"} 5.000',
        'smtpcheck_loopback_pending{check="billing"} 0',
        'smtpcheck_loopback_sent_total{check="billing"} 7',
        'smtpcheck_loopback_found_total{check="billing"} 5',
        'smtpcheck_loopback_late_total{check="billing"} 2',
        'smtpcheck_loopback_lost_total{check="billing"} 1',
        'smtpcheck_loopback_bounced_total{check="billing"} 0',
        'smtpcheck_loopback_uncertain_total{check="billing"} 1',
        'smtpcheck_loopback_folder_info{check="billing",folder="junk"} 1',
        'smtpcheck_loopback_junk_info{check="billing",reason="unknown"} 1',
        'smtpcheck_loopback_authentication_info{check="billing",method="spf",result="pass"} 1',
        'smtpcheck_loopback_authentication_info{check="billing",method="dmarc",result="fail"} 1',
        'smtpcheck_loopback_finder_success{check="billing"} 1',
    ]


def test_a_finder_that_fails_shows_and_nothing_else_is_told_before_the_first_message() -> None:
    metrics = Metrics((), expose_addresses=False)
    metrics.record_loopback(CHECK, loopback_status(error=LOGIN))
    shown = metrics.expose(openmetrics=False, credentials=(), agent=AGENT).decode()
    assert 'smtpcheck_loopback_finder_success{check="billing"} 0' in shown
    assert "smtpcheck_loopback_success" not in shown
    metrics.relabel((), expose_addresses=False, checks=(CHECK,), states={})
    assert (
        "smtpcheck_loopback_finder_success"
        not in metrics.expose(openmetrics=False, credentials=(), agent=AGENT).decode()
    )


def test_deliveries_are_measured_by_provider() -> None:
    metrics = Metrics((), expose_addresses=False)
    metrics.observe_delivery(CHECK, 2.5)
    shown = metrics.expose(openmetrics=False, credentials=(), agent=AGENT).decode()
    assert 'smtpcheck_loopback_seconds_bucket{le="3.0",provider="generic"} 1.0' in shown
    assert 'smtpcheck_loopback_seconds_sum{provider="generic"} 2.5' in shown


def test_copies_without_end_are_counted_up_to_a_bound() -> None:
    """Whoever has received a message can send it on as often as he likes."""
    copies = [replace(SEEN, headers=(("Received", f"by mx{number}"),)) for number in range(5000)]
    message = ACCEPTED
    for some in (copies[:2500], copies[2500:]):
        message = after_search(message, some, PLAN, began=SENT + 5, ended=SENT + 6, whole=True)
    assert (message.stage, message.duplicates) == (Stage.DELIVERED, 99)
