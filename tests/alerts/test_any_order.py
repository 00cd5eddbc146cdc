"""An agent's alerts under any order of runs, requests, failures, restarts and reloads."""

from collections.abc import Callable

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from smtpcheck.alerts.alert_state import AlertState
from smtpcheck.alerts.grouping import Key
from smtpcheck.alerts.notification import Status
from smtpcheck.alerts.notification_log import (
    DueNotification,
    NotificationLog,
    Reason,
    RepeatIntervals,
)
from smtpcheck.alerts.thresholds import Thresholds
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Phase
from smtpcheck.model.report import Report
from tests.worlds.samples import NOW, bad, good, unknown
from tests.worlds.samples import exchange_online as check

NAMES = ("a", "b")
CHECKS = {name: check(name, labels=(("team", "finance" if name == "a" else "sales"),)) for name in NAMES}
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
