"""What becomes an alert, and when: thresholds, grouping, maintenance, and what each notifier is told."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from smtpcheck.alerts.alert_state import AlertState
from smtpcheck.alerts.grouping import Key, Severity, Subject, issues_of
from smtpcheck.alerts.maintenance import DAY_MINUTES, Window
from smtpcheck.alerts.notification import Notification, Status, notification_of
from smtpcheck.alerts.notification_log import (
    STALE_SECONDS,
    DueNotification,
    Entry,
    NotificationLog,
    Reason,
    RepeatIntervals,
)
from smtpcheck.alerts.thresholds import Thresholds
from smtpcheck.diagnosis import catalogue
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check, Depth, Phase, Provider, Security, Server, Warn
from smtpcheck.model.report import Exchange, Fault, FaultKind, Finding, Outcome, Reply, Report, Step

NOW = 1_792_000_000.0
CONTOSO_DEAD = Key(Subject.CREDENTIAL, "contoso", Severity.CRITICAL, Cause.SECRET_EXPIRED)


def check(name: str, *, credential: str | None = "contoso", **labels: str) -> Check:
    return Check(
        name=name,
        mailbox=f"{name}@contoso.com",
        credential=credential,
        provider=Provider.MICROSOFT,
        server=Server("smtp.office365.com", 587, Security.STARTTLS, "smtp.office365.com", "[127.0.0.1]"),
        depth=Depth.AUTH,
        interval=60.0,
        timeout=20.0,
        token_timeout=10.0,
        sender=f"{name}@contoso.com",
        recipient=None,
        mechanism=None,
        warn=Warn(1.0, 1.0, 1.0, 1.0),
        labels=tuple(sorted(labels.items())),
    )


def good(name: str, *causes: Cause) -> Report:
    findings = tuple(Finding(cause, 1.0, f"judge.{cause}") for cause in causes)
    return Report(name, NOW, 0.5, Outcome.WARNING if causes else Outcome.OK, warnings=findings)


def bad(name: str, phase: Phase = Phase.TOKEN, cause: Cause = Cause.SECRET_EXPIRED, certainty: float = 1.0) -> Report:
    kind = FaultKind.TOKEN if phase is Phase.TOKEN else FaultKind.REPLY
    talk = () if phase is Phase.TOKEN else (Exchange("AUTH XOAUTH2", Reply(535, "5.7.3", ("no",))),)
    finding = Finding(cause, certainty, "a.rule", values={"mailbox": f"{name}@contoso.com", "client_id": "11-22"})
    steps = (Step(phase, 0.0, 0.1, talk, Fault(kind)),)
    return Report(name, NOW, 0.5, Outcome.CRITICAL, steps=steps, cause=cause, findings=(finding,))


def unknown(name: str, cause: Cause = Cause.AGENT_CUT_OFF) -> Report:
    return Report(name, NOW, 0.5, Outcome.UNKNOWN, cause=cause, findings=(Finding(cause, 1.0, "judge.x"),))


def firing(alert_state: AlertState) -> dict[Key, list[str]]:
    found = defaultdict(list)
    for key, name in alert_state.firing():
        found[key].append(name)
    return dict(found)


def run(
    alert_state: AlertState, each: Check, *reports: Report, thresholds: Thresholds | None = None, muted: bool = False
) -> None:
    for report in reports:
        alert_state.observe(each, report, thresholds or Thresholds(), muted=muted)


# -- what a run shows -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("report", "key"),
    [
        (bad("a"), CONTOSO_DEAD),
        (
            bad("a", Phase.CONNECT, Cause.PORT_BLOCKED),
            Key(Subject.HOST, "smtp.office365.com:587", Severity.CRITICAL, Cause.PORT_BLOCKED),
        ),
        (bad("a", Phase.AUTH, Cause.USER_MISMATCH), Key(Subject.CHECK, "a", Severity.CRITICAL, None)),
        (
            bad("a", Phase.AUTH, Cause.SMTP_AUTH_DISABLED_TENANT),
            Key(Subject.CREDENTIAL, "contoso", Severity.CRITICAL, Cause.SMTP_AUTH_DISABLED_TENANT),
        ),
        (good("a", Cause.SLOW), Key(Subject.CHECK, "a", Severity.WARNING, Cause.SLOW)),
        (
            good("a", Cause.CERTIFICATE_EXPIRING),
            Key(Subject.HOST, "smtp.office365.com:587", Severity.WARNING, Cause.CERTIFICATE_EXPIRING),
        ),
        (unknown("a"), Key(Subject.AGENT, "smtpcheck", Severity.CRITICAL, Cause.AGENT_CUT_OFF)),
    ],
)
def test_what_is_wrong_belongs_to_whom_it_concerns(report: Report, key: Key) -> None:
    """A token to its credential, a connection to its host, a mailbox to its check."""
    assert [issue.key for issue in issues_of(check("a"), report).values()] == [key]


def test_a_check_that_is_well_shows_nothing() -> None:
    assert issues_of(check("a"), good("a")) == {}


def test_the_reason_of_a_fresh_token_that_fails_is_no_trouble_of_its_own() -> None:
    root = Finding(Cause.SECRET_EXPIRED, 0.99, "entra.7000222")
    report = good("a", Cause.FRESH_TOKEN_FAILING, Cause.SLOW)
    report = replace(report, warnings=(report.warnings[0], root, report.warnings[1]))
    found = issues_of(check("a"), report)
    assert {kind: [each.cause for each in issue.findings] for kind, issue in found.items()} == {
        "fresh_token_failing": [Cause.FRESH_TOKEN_FAILING, Cause.SECRET_EXPIRED],
        "slow": [Cause.SLOW],
    }


# -- how many runs it takes -------------------------------------------------------------------------------------------


def test_an_alert_fires_after_three_runs_in_a_row_and_ends_after_two() -> None:
    alert_state, a = AlertState(), check("a")
    run(alert_state, a, bad("a"), bad("a"), good("a"), bad("a"), bad("a"))
    assert firing(alert_state) == {}
    run(alert_state, a, bad("a"))
    assert firing(alert_state) == {CONTOSO_DEAD: ["a"]}
    run(alert_state, a, good("a"), bad("a"), good("a"))
    assert firing(alert_state) == {CONTOSO_DEAD: ["a"]}
    run(alert_state, a, good("a"))
    assert firing(alert_state) == {}
    assert dict(alert_state.streaks) == {}


def test_what_replaces_the_report_of_a_run_counts_only_for_what_it_changes() -> None:
    """A run that failed counts once, whatever becomes known of it later; what has become known counts at once."""
    alert_state, a = AlertState(), check("a")
    failed, late = bad("a"), good("a", Cause.MAIL_LATE)
    run(alert_state, a, failed)
    for _ in range(3):
        alert_state.observe(a, failed, Thresholds(), amends=failed)
    run(alert_state, a, failed)
    assert firing(alert_state) == {}
    run(alert_state, a, failed)
    assert firing(alert_state) == {CONTOSO_DEAD: ["a"]}
    run(alert_state, a, good("a"))
    alert_state.observe(a, late, Thresholds(fail_after=1), amends=good("a"))
    assert {key.cause for key in firing(alert_state)} == {Cause.SECRET_EXPIRED, Cause.MAIL_LATE}
    alert_state.observe(a, good("a"), Thresholds(recover_after=1), amends=late)
    assert firing(alert_state) == {CONTOSO_DEAD: ["a"]}


@pytest.mark.parametrize(
    ("interval", "fail_after", "recover_after"),
    [(1.0, 3, 2), (60.0, 3, 2), (900.0, 3, 2), (1200.0, 3, 2), (1800.0, 2, 2), (3600.0, 1, 1), (86400.0, 1, 1)],
)
def test_what_is_seldom_looked_at_is_told_within_the_hour(interval: float, fail_after: int, recover_after: int) -> None:
    assert Thresholds(3, 2).for_interval(interval) == Thresholds(fail_after, recover_after)


def test_runs_that_fail_for_different_causes_count_together() -> None:
    """What fails three times in a row is broken, whatever the server says each time."""
    alert_state, a = AlertState(), check("a")
    run(alert_state, a, bad("a", Phase.CONNECT, Cause.TIMEOUT), bad("a", Phase.DNS, Cause.DNS_FAILURE), bad("a"))
    assert firing(alert_state) == {CONTOSO_DEAD: ["a"]}


def test_a_cause_that_flutters_moves_no_check_to_another_alert() -> None:
    alert_state, a = AlertState(), check("a")
    run(alert_state, a, bad("a"), bad("a"), bad("a"))
    other = bad("a", Phase.CONNECT, Cause.TIMEOUT)
    run(alert_state, a, other, other, bad("a"), bad("a"), other, other)
    assert firing(alert_state) == {CONTOSO_DEAD: ["a"]}
    run(alert_state, a, other)
    assert [key.cause for key in firing(alert_state)] == [Cause.TIMEOUT]


def test_unknown_says_nothing_of_a_check_but_is_told_of_the_agent() -> None:
    """It neither counts as a failure nor as a recovery."""
    alert_state, a = AlertState(), check("a")
    run(alert_state, a, bad("a"), unknown("a"), bad("a"), unknown("a"), bad("a"))
    assert CONTOSO_DEAD in firing(alert_state)
    run(alert_state, a, good("a"), unknown("a"), unknown("a"), unknown("a"))
    assert sorted(key.subject for key in firing(alert_state)) == [Subject.AGENT, Subject.CREDENTIAL]
    run(alert_state, a, good("a"), good("a"))
    assert firing(alert_state) == {}


def test_a_warning_waits_while_the_check_fails() -> None:
    """A critical run says nothing of what would break a run that works."""
    alert_state, a = AlertState(), check("a")
    slow = good("a", Cause.SLOW)
    run(alert_state, a, slow, slow, slow, *[bad("a")] * 5)
    assert sorted(key.severity for key in firing(alert_state)) == [Severity.CRITICAL, Severity.WARNING]
    run(alert_state, a, slow, slow)
    assert [key.cause for key in firing(alert_state)] == [Cause.SLOW]


def test_under_maintenance_failures_do_not_count_and_recoveries_do() -> None:
    alert_state, a, b = AlertState(), check("a"), check("b")
    run(alert_state, a, bad("a"), bad("a"), bad("a"))
    run(alert_state, b, bad("b"), bad("b"), bad("b"), bad("b"), muted=True)
    run(alert_state, a, *[bad("a")] * 5, muted=True)
    assert firing(alert_state) == {CONTOSO_DEAD: ["a"]}
    run(alert_state, a, bad("a"), good("a"), good("a"), muted=True)
    assert firing(alert_state) == {}


def test_a_check_on_its_way_into_an_alert_is_counted_but_does_not_make_it_fire() -> None:
    """So the first message names all checks of a dead credential, not only the first that has failed three times."""
    alert_state = AlertState()
    names = [f"c{number:03}" for number in range(500)]
    for name in names:
        run(alert_state, check(name), bad(name), bad(name))
    run(alert_state, check("c000"), bad("c000"))
    assert firing(alert_state) == {CONTOSO_DEAD: ["c000"]}
    assert sorted(alert_state.checks_of(CONTOSO_DEAD)) == names


def test_a_check_that_is_gone_leaves_its_alerts() -> None:
    alert_state = AlertState()
    run(alert_state, check("a"), bad("a"), bad("a"), bad("a"))
    assert alert_state.drop("a") == (CONTOSO_DEAD,)
    assert (firing(alert_state), list(alert_state.checks_of(CONTOSO_DEAD)), alert_state.drop("a")) == ({}, [], ())


# -- maintenance ------------------------------------------------------------------------------------------------------

BERLIN = ZoneInfo("Europe/Berlin")
SUN = 6 * DAY_MINUTES


@pytest.mark.parametrize(
    ("window", "moment", "inside"),
    [
        (Window(SUN + 120, SUN + 240, True, BERLIN), "2026-11-29T02:00+01:00", True),
        (Window(SUN + 120, SUN + 240, True, BERLIN), "2026-11-29T03:59:59+01:00", True),
        (Window(SUN + 120, SUN + 240, True, BERLIN), "2026-11-29T04:00+01:00", False),
        (Window(SUN + 120, SUN + 240, True, BERLIN), "2026-11-28T02:30+01:00", False),
        # Over the end of the week: Sunday 23:00 to Monday 01:00.
        (Window(SUN + 1380, 60, True, BERLIN), "2026-11-29T23:30+01:00", True),
        (Window(SUN + 1380, 60, True, BERLIN), "2026-11-30T00:30+01:00", True),
        (Window(SUN + 1380, 60, True, BERLIN), "2026-11-30T01:00+01:00", False),
        # Each day over midnight.
        (Window(1380, 60, False, BERLIN), "2026-11-25T23:00+01:00", True),
        (Window(1380, 60, False, BERLIN), "2026-11-26T00:59+01:00", True),
        (Window(1380, 60, False, BERLIN), "2026-11-26T12:00+01:00", False),
        # 2026-10-25 the clock goes from 03:00 back to 02:00: both hours belong to it.
        (Window(SUN + 120, SUN + 180, True, BERLIN), "2026-10-25T02:30+02:00", True),
        (Window(SUN + 120, SUN + 180, True, BERLIN), "2026-10-25T02:30+01:00", True),
        (Window(SUN + 120, SUN + 180, True, BERLIN), "2026-10-25T03:00+01:00", False),
        # 2026-03-29 it goes from 02:00 to 03:00: of 02:00 to 04:00 one hour is left.
        (Window(SUN + 120, SUN + 240, True, BERLIN), "2026-03-29T01:59+01:00", False),
        (Window(SUN + 120, SUN + 240, True, BERLIN), "2026-03-29T03:00+02:00", True),
        (Window(SUN + 120, SUN + 240, True, BERLIN), "2026-03-29T04:00+02:00", False),
    ],
)
def test_a_window_is_of_the_wall_clock(window: Window, moment: str, inside: bool) -> None:
    assert window.covers({}, datetime.fromisoformat(moment).timestamp()) is inside


def test_a_window_is_for_the_checks_that_have_its_labels() -> None:
    window = Window(0, 1440, False, BERLIN, (("team", "finance"),))
    assert window.covers({"team": "finance", "site": "north"}, NOW)
    assert not window.covers({"team": "sales"}, NOW)
    assert not window.covers({}, NOW)


# -- what a notifier is told ------------------------------------------------------------------------------------------

DAY = 86400.0


def told(notification_log: NotificationLog, now: float) -> list[tuple[Key, Reason]]:
    """Send everything that is due, and return it."""
    due = notification_log.due(now)
    for each in due:
        notification_log.mark_sent(each, now)
    return [(each.key, each.reason) for each in due]


def test_an_alert_is_told_once_then_reminded_of_then_resolved() -> None:
    notification_log = NotificationLog({}, RepeatIntervals(remind_every=DAY / 2))
    notification_log.joined(CONTOSO_DEAD, "a", (), NOW)
    assert told(notification_log, NOW) == [(CONTOSO_DEAD, Reason.NEW)]
    assert told(notification_log, NOW + DAY / 2 - 1) == []
    assert told(notification_log, NOW + DAY / 2) == [(CONTOSO_DEAD, Reason.REMINDER)]
    notification_log.left(CONTOSO_DEAD, NOW + DAY)
    assert told(notification_log, NOW + DAY) == [(CONTOSO_DEAD, Reason.RESOLVED)]
    assert told(notification_log, NOW + 2 * DAY) == []
    assert dict(notification_log.entries) == {}


def test_a_group_that_grows_is_not_notified_again() -> None:
    notification_log = NotificationLog({}, RepeatIntervals(remind_every=2 * DAY))
    notification_log.joined(CONTOSO_DEAD, "a", (), NOW)
    told(notification_log, NOW)
    notification_log.joined(CONTOSO_DEAD, "b", (), NOW + 1)
    assert told(notification_log, NOW + DAY) == []
    assert notification_log.entries[CONTOSO_DEAD].names == ("a", "b")


@pytest.mark.parametrize("seconds", [-10 * DAY, -DAY, DAY, 10 * DAY])
@pytest.mark.parametrize(
    ("intervals", "reason"),
    [(RepeatIntervals(DAY), Reason.REMINDER), (RepeatIntervals(None, refresh_every=60.0), Reason.REFRESH)],
)
def test_a_clock_that_was_set_delays_no_reminder_and_no_refresh(
    intervals: RepeatIntervals, reason: Reason, seconds: float
) -> None:
    """An Alertmanager that hears nothing for four minutes believes that the alert is over."""
    notification_log = NotificationLog({}, intervals)
    notification_log.joined(CONTOSO_DEAD, "a", (), NOW)
    told(notification_log, NOW)
    assert told(notification_log, NOW + seconds) == [(CONTOSO_DEAD, reason)]
    assert told(notification_log, NOW + seconds + 1) == []


def test_a_clock_set_back_a_little_makes_nothing_wait_longer_than_twice_its_interval() -> None:
    notification_log = NotificationLog({}, RepeatIntervals(None, refresh_every=60.0))
    notification_log.joined(CONTOSO_DEAD, "a", (), NOW)
    told(notification_log, NOW)
    assert told(notification_log, NOW - 59) == []
    assert told(notification_log, NOW - 59 + 120) == [(CONTOSO_DEAD, Reason.REFRESH)]


def test_an_end_is_dropped_after_a_day_and_what_still_fires_is_not() -> None:
    """What fires is news however long it has waited; a clock that was set back makes nothing too old."""
    notification_log, other = NotificationLog({}, RepeatIntervals(None)), replace(CONTOSO_DEAD, name="fabrikam")
    notification_log.joined(CONTOSO_DEAD, "a", (), NOW)
    notification_log.joined(other, "b", (), NOW)
    notification_log.left(other, NOW + 5)
    for moment in (NOW - 10 * DAY, NOW + 5 + STALE_SECONDS):
        assert notification_log.drop_stale(moment) == 0
    assert notification_log.drop_stale(NOW + 6 + STALE_SECONDS) == 1
    assert told(notification_log, NOW + 10 * DAY) == [(CONTOSO_DEAD, Reason.NEW)]
    assert notification_log.changes()[other] is None


def test_what_ended_before_it_could_be_told_is_told_once() -> None:
    notification_log = NotificationLog({}, RepeatIntervals(None))
    notification_log.joined(CONTOSO_DEAD, "a", (), NOW)
    notification_log.left(CONTOSO_DEAD, NOW + 5)
    assert told(notification_log, NOW + 9) == [(CONTOSO_DEAD, Reason.RESOLVED)]


def test_an_alert_that_fires_again_before_its_end_was_told_goes_on() -> None:
    notification_log = NotificationLog({}, RepeatIntervals(None))
    notification_log.joined(CONTOSO_DEAD, "a", (), NOW)
    first = notification_log.due(NOW)[0].id
    told(notification_log, NOW)
    notification_log.left(CONTOSO_DEAD, NOW + 5)
    notification_log.joined(CONTOSO_DEAD, "a", (), NOW + 6)
    assert told(notification_log, NOW + 7) == []
    notification_log.left(CONTOSO_DEAD, NOW + 8)
    assert [due.id for due in notification_log.due(NOW + 9)] == [first]


def test_an_alert_that_fires_again_after_a_request_with_its_end_is_sent_again() -> None:
    """The answer may have been lost: the notifier may believe that it is over."""
    notification_log = NotificationLog({}, RepeatIntervals(None))
    notification_log.joined(CONTOSO_DEAD, "a", (), NOW)
    told(notification_log, NOW)
    notification_log.left(CONTOSO_DEAD, NOW + 5)
    (end,) = notification_log.due(NOW + 5)
    notification_log.mark_started(end)
    notification_log.mark_failed(end)
    notification_log.joined(CONTOSO_DEAD, "a", (), NOW + 6)
    assert [(due.reason, due.id) for due in notification_log.due(NOW + 7)] == [(Reason.NEW, end.id)]


def test_an_alert_that_fires_again_while_its_end_is_being_told_is_a_new_one() -> None:
    notification_log = NotificationLog({}, RepeatIntervals(None))
    notification_log.joined(CONTOSO_DEAD, "a", (), NOW)
    told(notification_log, NOW)
    notification_log.left(CONTOSO_DEAD, NOW + 5)
    (end,) = notification_log.due(NOW + 5)
    notification_log.joined(CONTOSO_DEAD, "a", (), NOW + 6)
    notification_log.mark_sent(end, NOW + 7)
    (again,) = notification_log.due(NOW + 8)
    assert (again.reason, again.id == end.id) == (Reason.NEW, False)


def test_a_notifier_that_forgets_is_told_again_and_again() -> None:
    notification_log = NotificationLog({}, RepeatIntervals(remind_every=DAY, refresh_every=60.0))
    notification_log.joined(CONTOSO_DEAD, "a", (), NOW)
    assert [reason for _, reason in told(notification_log, NOW)] == [Reason.NEW]
    assert [reason for _, reason in told(notification_log, NOW + 59)] == []
    assert [reason for _, reason in told(notification_log, NOW + 60)] == [Reason.REFRESH]


def test_no_reminder_of_what_is_quiet() -> None:
    notification_log = NotificationLog({}, RepeatIntervals(remind_every=DAY))
    notification_log.joined(CONTOSO_DEAD, "a", (), NOW)
    told(notification_log, NOW)
    assert notification_log.due(NOW + DAY, lambda _: True) == []
    assert len(notification_log.due(NOW + DAY, lambda _: False)) == 1


@pytest.mark.parametrize(
    ("match", "severity", "wanted"),
    [
        ({}, Severity.WARNING, True),
        ({"team": "finance"}, Severity.CRITICAL, True),
        ({"team": "sales"}, Severity.CRITICAL, False),
        ({"severity": "critical"}, Severity.WARNING, False),
        ({"severity": "critical", "team": "finance"}, Severity.CRITICAL, True),
        ({"check": "a"}, Severity.CRITICAL, True),
        ({"credential": "fabrikam"}, Severity.CRITICAL, False),
    ],
)
def test_labels_decide_who_is_told(match: dict[str, str], severity: Severity, wanted: bool) -> None:
    assert NotificationLog(match, RepeatIntervals(None)).is_for(check("a", team="finance"), severity) is wanted


def test_what_failed_to_be_told_lets_others_go_first() -> None:
    notification_log, other = NotificationLog({}, RepeatIntervals(None)), replace(CONTOSO_DEAD, name="fabrikam")
    notification_log.joined(CONTOSO_DEAD, "a", (), NOW)
    notification_log.joined(other, "b", (), NOW + 1)
    notification_log.mark_failed(notification_log.due(NOW + 2)[0])
    assert [due.key.name for due in notification_log.due(NOW + 2)] == ["fabrikam", "contoso"]


def test_after_a_start_what_fires_is_known_and_what_is_gone_is_resolved() -> None:
    gone = replace(CONTOSO_DEAD, name="gone")
    notification_log = NotificationLog({}, RepeatIntervals(None))
    notification_log.restore(CONTOSO_DEAD, Entry(NOW, (), ("a",), notified_at=NOW))
    notification_log.restore(gone, Entry(NOW, (), ("b",), notified_at=NOW))
    new = replace(CONTOSO_DEAD, name="new")
    notification_log.reconcile([(CONTOSO_DEAD, "a"), (new, "c")], lambda _key, _name: (), NOW + 9)
    assert sorted((each.key.name, each.reason) for each in notification_log.due(NOW + 9)) == [
        ("gone", Reason.RESOLVED),
        ("new", Reason.NEW),
    ]


# -- in words ---------------------------------------------------------------------------------------------------------

RULES = catalogue.load()


def notification(
    due: DueNotification, names: Sequence[str], total: int, labels: dict[str, str] | None = None
) -> Notification:
    return notification_of(
        due, names=names, total=total, labels=labels or {}, catalogue=RULES, address="https://mon.example.org"
    )


def test_a_dead_credential_is_named_with_its_count_its_cause_and_its_repair() -> None:
    finding = replace(bad("a").findings[0], evidence=("error: invalid_client AADSTS7000222",))
    due = DueNotification(CONTOSO_DEAD, Entry(NOW, (finding,), ("a",)), Reason.NEW)
    told = notification(due, [f"c{number:02}" for number in range(30)], 500, {"team": "finance"})
    assert told.title() == (
        "[FIRING] credential contoso: the client secret (or certificate) of the app has expired (30 of 500 checks)"
    )
    lines = told.text().splitlines()
    assert lines[0] == "Critical since 2026-10-14 17:46 UTC"
    assert lines[1].startswith("Checks: c00, c01, ") and lines[1].endswith("c19 and 10 more")
    assert lines[2:4] == ["Labels: team=finance", "Evidence: error: invalid_client AADSTS7000222"]
    assert lines[4].startswith("Fix 1: ")
    assert lines[-1] == "Page: https://mon.example.org/?outcome=critical&cause=secret_expired"


def test_the_repair_of_one_mailbox_names_it_and_that_of_many_names_none() -> None:
    finding = replace(bad("a", Phase.AUTH, Cause.SMTP_AUTH_DISABLED_MAILBOX).findings[0])
    key = Key(Subject.CHECK, "a", Severity.CRITICAL, None)
    one = notification(DueNotification(key, Entry(NOW, (finding,), ("a",)), Reason.NEW), ["a"], 1)
    assert "a@contoso.com" in one.text()
    assert one.page == "https://mon.example.org/checks/a"
    many = notification(DueNotification(CONTOSO_DEAD, Entry(NOW, (finding,), ("a",)), Reason.NEW), ["a", "b"], 2)
    assert "a@contoso.com" not in many.text()
    assert "<mailbox>" in many.text()


def test_a_resolved_alert_says_how_long_it_lasted_and_repairs_nothing() -> None:
    entry = Entry(NOW, bad("a").findings, ("a", "b"), notified_at=NOW, ended_at=NOW + 7200)
    told = notification(DueNotification(CONTOSO_DEAD, entry, Reason.RESOLVED), [], 500)
    assert (told.status, told.count, told.checks) == (Status.RESOLVED, 0, ("a", "b"))
    assert told.title().startswith("[RESOLVED] credential contoso: ")
    assert "From 2026-10-14 17:46 UTC to 2026-10-14 19:46 UTC" in told.text()
    assert "Repair" not in told.text()


def test_what_is_not_certain_names_the_other_causes() -> None:
    findings = (*bad("a", certainty=0.5).findings, Finding(Cause.SECRET_INVALID, 0.3, "a.rule"))
    told = notification(DueNotification(CONTOSO_DEAD, Entry(NOW, findings, ("a",)), Reason.NEW), ["a"], 1)
    assert told.remedy[-1].startswith("Alternatively: ")


def test_a_reminder_says_so() -> None:
    due = DueNotification(CONTOSO_DEAD, Entry(NOW, (), ("a",)), Reason.REMINDER)
    assert notification(due, ["a"], 1).title() == "[STILL FIRING] credential contoso: secret expired (1 of 1 checks)"


# -- any order of events ----------------------------------------------------------------------------------------------

NAMES = ("a", "b")
CHECKS = {name: check(name, team="finance" if name == "a" else "sales") for name in NAMES}
REPORTS: dict[str, Callable[[str], Report]] = {
    "good": good,
    "dead": bad,
    "down": lambda name: bad(name, Phase.CONNECT, Cause.TIMEOUT),
    "refused": lambda name: bad(name, Phase.AUTH, Cause.USER_MISMATCH),
    "slow": lambda name: good(name, Cause.SLOW),
    "unknown": unknown,
}


class Telling(RuleBasedStateMachine):
    """An agent's alerts under any order of runs, deliveries, failures, restarts and reloads."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.thresholds = Thresholds(1, 1)

    @initialize(match=st.sampled_from([{}, {"team": "finance"}, {"severity": "critical"}]))
    def begin(self, match: dict[str, str]) -> None:
        self.match = match
        self.intervals = RepeatIntervals(remind_every=3600.0)
        self.alert_state = AlertState()
        self.notification_log = NotificationLog(match, self.intervals)
        self.live = dict(CHECKS)
        self.heard: dict[Key, Status] = {}
        self.sending: DueNotification | None = None
        self.unsure: set[Key] = set()
        self.over: set[str] = set()

    def wanted(self) -> set[Key]:
        return {
            key for key, name in self.alert_state.firing() if self.notification_log.is_for(CHECKS[name], key.severity)
        }

    @rule(name=st.sampled_from(NAMES))
    def one_good_run(self, name: str) -> None:
        self.one_run(name, "good", muted=False)

    @rule(name=st.sampled_from(NAMES))
    def one_bad_run(self, name: str) -> None:
        self.one_run(name, "dead", muted=False)

    @rule(name=st.sampled_from(NAMES), what=st.sampled_from(sorted(REPORTS)), muted=st.booleans())
    def one_run(self, name: str, what: str, muted: bool) -> None:
        if name not in self.live:
            return
        self.now += 1.0
        change = self.alert_state.observe(CHECKS[name], REPORTS[what](name), self.thresholds, muted=muted)
        for key in change.joined if change else ():
            if self.notification_log.is_for(CHECKS[name], key.severity):
                self.notification_log.joined(key, name, (), self.now)
        for key in change.left if change else ():
            if self.notification_log.is_for(CHECKS[name], key.severity):
                self.notification_log.left(key, self.now)

    @rule(seconds=st.sampled_from([1.0, 400.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def something_is_being_sent(self) -> None:
        if self.sending is None and (waiting := self.notification_log.due(self.now)):
            self.sending = waiting[0]
            self.notification_log.mark_started(self.sending)

    @rule(arrives=st.booleans(), is_known=st.booleans())
    def it_is_sent(self, arrives: bool, is_known: bool) -> None:
        """It may arrive without our knowing it: the answer is lost, or we are killed before it is kept."""
        due, self.sending = self.sending, None
        if due is None:
            return
        if arrives:
            self.hear(due)
        if arrives and is_known:
            self.notification_log.mark_sent(due, self.now)
        else:
            self.unsure.add(due.key)
            self.notification_log.mark_failed(due)

    @rule(is_known=st.booleans())
    def everything_is_sent(self, is_known: bool) -> None:
        for _ in range(len(self.notification_log.due(self.now))):
            self.something_is_being_sent()
            self.it_is_sent(arrives=True, is_known=is_known)

    def hear(self, due: DueNotification) -> None:
        before = self.heard.get(due.key)
        if due.reason is Reason.NEW:
            assert before is not Status.FIRING or due.key in self.unsure, "told twice that it fires"
        elif due.reason is Reason.REMINDER:
            assert before is Status.FIRING
        else:
            assert due.id not in self.over or due.key in self.unsure, "told twice that it is over"
            self.over.add(due.id)
        self.heard[due.key] = Status.RESOLVED if due.reason is Reason.RESOLVED else Status.FIRING

    @rule()
    def restart(self) -> None:
        """Everything that is kept is all that is needed."""
        if self.sending:
            self.unsure.add(self.sending.key)
        alert_state, notification_log = AlertState(), NotificationLog(self.match, self.intervals)
        for name, streaks in self.alert_state.streaks.items():
            alert_state.restore(name, dict(streaks))
        for key, entry in self.notification_log.entries.items():
            notification_log.restore(key, entry)
        self.alert_state, self.notification_log, self.sending = alert_state, notification_log, None
        self.reconcile()

    @rule(name=st.sampled_from(NAMES))
    def reload(self, name: str) -> None:
        """A check leaves the configuration, or comes back."""
        if self.live.pop(name, None):
            self.alert_state.drop(name)
        else:
            self.live[name] = CHECKS[name]
        self.reconcile()

    def reconcile(self) -> None:
        members = [
            (key, name)
            for key, name in self.alert_state.firing()
            if self.notification_log.is_for(CHECKS[name], key.severity)
        ]
        self.notification_log.reconcile(members, lambda _key, _name: (), self.now)

    @invariant()
    def nothing_is_lost(self) -> None:
        """Once everything is sent, what was heard is what is: each that fires was told, each that ended is resolved."""
        if not hasattr(self, "notification_log"):
            return
        pending = {due.key for due in self.notification_log.due(self.now)} | (
            {self.sending.key} if self.sending else set()
        )
        for key in self.wanted():
            assert key in pending or self.heard.get(key) is Status.FIRING
        for key, status in self.heard.items():
            assert status is Status.RESOLVED or key in self.wanted() or key in pending


TestTelling = Telling.TestCase
TestTelling.settings = hypothesis_settings(max_examples=150, stateful_step_count=60, deadline=None)
