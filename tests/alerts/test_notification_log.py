"""What a notifier is sent of an alert, when it is sent again, and what of it outlives a restart."""

from dataclasses import replace

import pytest

from smtpcheck.alerts.grouping import Key, Severity
from smtpcheck.alerts.notification_log import (
    STALE_SECONDS,
    Entry,
    NotificationLog,
    Reason,
    RepeatIntervals,
)
from tests.alerts.test_alerts import CONTOSO_DEAD
from tests.worlds.samples import NOW
from tests.worlds.samples import exchange_online as check

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
    assert notification_log.drop_stale(NOW + 10 * DAY) == 0  # nobody has tried to send it
    notification_log.mark_failed(next(due for due in notification_log.due(NOW + 6) if due.key == other))
    for moment in (NOW - 10 * DAY, NOW + 5 + STALE_SECONDS):
        assert notification_log.drop_stale(moment) == 0
    assert notification_log.drop_stale(NOW + 6 + STALE_SECONDS) == 1
    assert told(notification_log, NOW + 10 * DAY) == [(CONTOSO_DEAD, Reason.NEW)]
    assert notification_log.changes()[other] is None


@pytest.mark.parametrize("step", [-30 * DAY, 30 * DAY])
def test_what_waits_ages_on_when_the_clock_is_set(step: float) -> None:
    """Reminders come and ends are dropped when they would have been without, and the alert is the same one."""
    notification_log, other = NotificationLog({}, RepeatIntervals(3600.0)), replace(CONTOSO_DEAD, name="fabrikam")
    for key, name in ((CONTOSO_DEAD, "a"), (other, "b")):
        notification_log.joined(key, name, (), NOW)
    told(notification_log, NOW)
    notification_log.left(other, NOW + 5)
    ended = next(due for due in notification_log.due(NOW + 6) if due.key == other)
    notification_log.mark_failed(ended)
    notification_log.clock_set(step)
    assert notification_log.drop_stale(NOW + 10 + step) == 0
    assert next(due for due in notification_log.due(NOW + 10 + step) if due.key == other).id == ended.id
    assert told(notification_log, NOW + 10 + step) == [(other, Reason.RESOLVED)]
    assert told(notification_log, NOW + 3599 + step) == []
    assert told(notification_log, NOW + 3600 + step) == [(CONTOSO_DEAD, Reason.REMINDER)]


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
    assert (
        NotificationLog(match, RepeatIntervals(None)).is_for(check("a", labels=(("team", "finance"),)), severity)
        is wanted
    )


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
