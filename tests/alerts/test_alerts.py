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

from smtpcheck.alerts.alert_state import Board
from smtpcheck.alerts.grouping import Key, Severity, Subject, troubles
from smtpcheck.alerts.maintenance import DAY_MINUTES, Window
from smtpcheck.alerts.notification import Notice, Status, notice_of
from smtpcheck.alerts.notification_log import GROWN_SECONDS, MOST_WAITING, Due, Entry, Ledger, Pace, Reason
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


def firing(board: Board) -> dict[Key, list[str]]:
    found = defaultdict(list)
    for key, name in board.firing():
        found[key].append(name)
    return dict(found)


def run(board: Board, each: Check, *reports: Report, thresholds: Thresholds | None = None, muted: bool = False) -> None:
    for report in reports:
        board.observe(each, report, thresholds or Thresholds(), muted=muted)


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
        (unknown("a"), Key(Subject.AGENT, "smtpcheck", Severity.WARNING, Cause.AGENT_CUT_OFF)),
    ],
)
def test_what_is_wrong_belongs_to_whom_it_concerns(report: Report, key: Key) -> None:
    """A token to its credential, a connection to its host, a mailbox to its check."""
    assert [trouble.key for trouble in troubles(check("a"), report).values()] == [key]


def test_a_check_that_is_well_shows_nothing() -> None:
    assert troubles(check("a"), good("a")) == {}


def test_the_reason_of_a_fresh_token_that_fails_is_no_trouble_of_its_own() -> None:
    root = Finding(Cause.SECRET_EXPIRED, 0.99, "entra.7000222")
    report = good("a", Cause.FRESH_TOKEN_FAILING, Cause.SLOW)
    report = replace(report, warnings=(report.warnings[0], root, report.warnings[1]))
    found = troubles(check("a"), report)
    assert {slot: [each.cause for each in trouble.findings] for slot, trouble in found.items()} == {
        "fresh_token_failing": [Cause.FRESH_TOKEN_FAILING, Cause.SECRET_EXPIRED],
        "slow": [Cause.SLOW],
    }


# -- how many runs it takes -------------------------------------------------------------------------------------------


def test_an_alert_fires_after_three_runs_in_a_row_and_ends_after_two() -> None:
    board, a = Board(), check("a")
    run(board, a, bad("a"), bad("a"), good("a"), bad("a"), bad("a"))
    assert firing(board) == {}
    run(board, a, bad("a"))
    assert firing(board) == {CONTOSO_DEAD: ["a"]}
    run(board, a, good("a"), bad("a"), good("a"))
    assert firing(board) == {CONTOSO_DEAD: ["a"]}
    run(board, a, good("a"))
    assert firing(board) == {}
    assert dict(board.watches) == {}


@pytest.mark.parametrize(
    ("interval", "fail_after", "recover_after"),
    [(1.0, 3, 2), (60.0, 3, 2), (900.0, 3, 2), (1200.0, 3, 2), (1800.0, 2, 2), (3600.0, 1, 1), (86400.0, 1, 1)],
)
def test_what_is_seldom_looked_at_is_told_within_the_hour(interval: float, fail_after: int, recover_after: int) -> None:
    assert Thresholds(3, 2).at(interval) == Thresholds(fail_after, recover_after)


def test_runs_that_fail_for_different_causes_count_together() -> None:
    """What fails three times in a row is broken, whatever the server says each time."""
    board, a = Board(), check("a")
    run(board, a, bad("a", Phase.CONNECT, Cause.TIMEOUT), bad("a", Phase.DNS, Cause.DNS_FAILURE), bad("a"))
    assert firing(board) == {CONTOSO_DEAD: ["a"]}


def test_a_cause_that_flutters_moves_no_check_to_another_alert() -> None:
    board, a = Board(), check("a")
    run(board, a, bad("a"), bad("a"), bad("a"))
    other = bad("a", Phase.CONNECT, Cause.TIMEOUT)
    run(board, a, other, other, bad("a"), bad("a"), other, other)
    assert firing(board) == {CONTOSO_DEAD: ["a"]}
    run(board, a, other)
    assert [key.cause for key in firing(board)] == [Cause.TIMEOUT]


def test_unknown_says_nothing_of_a_check_but_is_told_of_the_agent() -> None:
    """It neither counts as a failure nor as a recovery."""
    board, a = Board(), check("a")
    run(board, a, bad("a"), unknown("a"), bad("a"), unknown("a"), bad("a"))
    assert CONTOSO_DEAD in firing(board)
    run(board, a, good("a"), unknown("a"), unknown("a"), unknown("a"))
    assert sorted(key.subject for key in firing(board)) == [Subject.AGENT, Subject.CREDENTIAL]
    run(board, a, good("a"), good("a"))
    assert firing(board) == {}


def test_a_warning_waits_while_the_check_fails() -> None:
    """A critical run says nothing of what would break a run that works."""
    board, a = Board(), check("a")
    slow = good("a", Cause.SLOW)
    run(board, a, slow, slow, slow, *[bad("a")] * 5)
    assert sorted(key.severity for key in firing(board)) == [Severity.CRITICAL, Severity.WARNING]
    run(board, a, slow, slow)
    assert [key.cause for key in firing(board)] == [Cause.SLOW]


def test_under_maintenance_failures_do_not_count_and_recoveries_do() -> None:
    board, a, b = Board(), check("a"), check("b")
    run(board, a, bad("a"), bad("a"), bad("a"))
    run(board, b, bad("b"), bad("b"), bad("b"), bad("b"), muted=True)
    run(board, a, *[bad("a")] * 5, muted=True)
    assert firing(board) == {CONTOSO_DEAD: ["a"]}
    run(board, a, bad("a"), good("a"), good("a"), muted=True)
    assert firing(board) == {}


def test_a_check_on_its_way_into_an_alert_is_counted_but_does_not_make_it_fire() -> None:
    """So the first message names all checks of a dead credential, not only the first that has failed three times."""
    board = Board()
    names = [f"c{number:03}" for number in range(500)]
    for name in names:
        run(board, check(name), bad(name), bad(name))
    run(board, check("c000"), bad("c000"))
    assert firing(board) == {CONTOSO_DEAD: ["c000"]}
    assert sorted(board.shown_by(CONTOSO_DEAD)) == names


def test_a_check_that_is_gone_leaves_its_alerts() -> None:
    board = Board()
    run(board, check("a"), bad("a"), bad("a"), bad("a"))
    assert board.drop("a") == (CONTOSO_DEAD,)
    assert (firing(board), list(board.shown_by(CONTOSO_DEAD)), board.drop("a")) == ({}, [], ())


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


def told(ledger: Ledger, now: float) -> list[tuple[Key, Reason, int]]:
    """Tell everything that is due, and return it."""
    due = ledger.due(now)
    for each in due:
        ledger.told(each, now)
    return [(each.key, each.reason, each.checks) for each in due]


def test_an_alert_is_told_once_then_reminded_of_then_resolved() -> None:
    ledger = Ledger({}, Pace(remind_every=DAY / 2))
    ledger.joined(CONTOSO_DEAD, "a", (), NOW)
    assert told(ledger, NOW) == [(CONTOSO_DEAD, Reason.NEW, 1)]
    assert told(ledger, NOW + DAY / 2 - 1) == []
    assert told(ledger, NOW + DAY / 2) == [(CONTOSO_DEAD, Reason.REMINDER, 1)]
    ledger.left(CONTOSO_DEAD, NOW + DAY)
    assert told(ledger, NOW + DAY) == [(CONTOSO_DEAD, Reason.RESOLVED, 0)]
    assert told(ledger, NOW + 2 * DAY) == []
    assert dict(ledger.entries) == {}


def test_it_is_told_that_more_checks_have_joined_but_not_at_once() -> None:
    ledger = Ledger({}, Pace(remind_every=None))
    ledger.joined(CONTOSO_DEAD, "a", (), NOW)
    told(ledger, NOW)
    ledger.joined(CONTOSO_DEAD, "b", (), NOW + 1)
    assert told(ledger, NOW + GROWN_SECONDS - 1) == []
    assert told(ledger, NOW + GROWN_SECONDS) == [(CONTOSO_DEAD, Reason.GROWN, 2)]
    ledger.left(CONTOSO_DEAD, NOW + 400)
    assert told(ledger, NOW + DAY) == []


def test_what_ended_before_it_could_be_told_is_told_once() -> None:
    ledger = Ledger({}, Pace(None))
    ledger.joined(CONTOSO_DEAD, "a", (), NOW)
    ledger.left(CONTOSO_DEAD, NOW + 5)
    assert told(ledger, NOW + 9) == [(CONTOSO_DEAD, Reason.RESOLVED, 0)]


def test_an_alert_that_fires_again_before_its_end_was_told_goes_on() -> None:
    ledger = Ledger({}, Pace(None))
    ledger.joined(CONTOSO_DEAD, "a", (), NOW)
    first = ledger.due(NOW)[0].id
    told(ledger, NOW)
    ledger.left(CONTOSO_DEAD, NOW + 5)
    ledger.joined(CONTOSO_DEAD, "a", (), NOW + 6)
    assert told(ledger, NOW + 7) == []
    ledger.left(CONTOSO_DEAD, NOW + 8)
    assert [due.id for due in ledger.due(NOW + 9)] == [first]


def test_an_alert_that_fires_again_after_it_was_tried_to_tell_its_end_is_told_anew() -> None:
    """The answer may have been lost: the notifier may believe that it is over."""
    ledger = Ledger({}, Pace(None))
    ledger.joined(CONTOSO_DEAD, "a", (), NOW)
    told(ledger, NOW)
    ledger.left(CONTOSO_DEAD, NOW + 5)
    (end,) = ledger.due(NOW + 5)
    ledger.begin(end)
    ledger.failed(end)
    ledger.joined(CONTOSO_DEAD, "a", (), NOW + 6)
    assert [(due.reason, due.id) for due in ledger.due(NOW + 7)] == [(Reason.NEW, end.id)]


def test_an_alert_that_fires_again_while_its_end_is_being_told_is_a_new_one() -> None:
    ledger = Ledger({}, Pace(None))
    ledger.joined(CONTOSO_DEAD, "a", (), NOW)
    told(ledger, NOW)
    ledger.left(CONTOSO_DEAD, NOW + 5)
    (end,) = ledger.due(NOW + 5)
    ledger.joined(CONTOSO_DEAD, "a", (), NOW + 6)
    ledger.told(end, NOW + 7)
    (again,) = ledger.due(NOW + 8)
    assert (again.reason, again.id == end.id) == (Reason.NEW, False)


def test_a_notifier_that_forgets_is_told_again_and_again() -> None:
    ledger = Ledger({}, Pace(remind_every=DAY, refresh_every=60.0))
    ledger.joined(CONTOSO_DEAD, "a", (), NOW)
    assert [reason for _, reason, _ in told(ledger, NOW)] == [Reason.NEW]
    assert [reason for _, reason, _ in told(ledger, NOW + 59)] == []
    assert [reason for _, reason, _ in told(ledger, NOW + 60)] == [Reason.REFRESH]


def test_no_reminder_of_what_is_quiet() -> None:
    ledger = Ledger({}, Pace(remind_every=DAY))
    ledger.joined(CONTOSO_DEAD, "a", (), NOW)
    told(ledger, NOW)
    assert ledger.due(NOW + DAY, lambda _: True) == []
    assert len(ledger.due(NOW + DAY, lambda _: False)) == 1


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
    assert Ledger(match, Pace(None)).is_for(check("a", team="finance"), severity) is wanted


def test_what_failed_to_be_told_lets_others_go_first() -> None:
    ledger, other = Ledger({}, Pace(None)), replace(CONTOSO_DEAD, name="fabrikam")
    ledger.joined(CONTOSO_DEAD, "a", (), NOW)
    ledger.joined(other, "b", (), NOW + 1)
    ledger.failed(ledger.due(NOW + 2)[0])
    assert [due.key.name for due in ledger.due(NOW + 2)] == ["fabrikam", "contoso"]


def test_what_waits_is_bounded_and_the_oldest_is_given_up() -> None:
    ledger = Ledger({}, Pace(None))
    keys = [Key(Subject.CHECK, f"c{number}", Severity.CRITICAL, None) for number in range(MOST_WAITING + 3)]
    for number, key in enumerate(keys):
        ledger.joined(key, key.name, (), NOW + number)
    assert ledger.shed(NOW) == 3
    assert [due.key for due in ledger.due(NOW)] == keys[3:]
    ledger.left(keys[0], NOW)
    assert (keys[0], Reason.RESOLVED) in [(due.key, due.reason) for due in ledger.due(NOW)]


def test_after_a_start_what_fires_is_known_and_what_is_gone_is_resolved() -> None:
    gone = replace(CONTOSO_DEAD, name="gone")
    ledger = Ledger({}, Pace(None))
    ledger.restore(CONTOSO_DEAD, Entry(NOW, (), ("a",), told_at=NOW, told_checks=1))
    ledger.restore(gone, Entry(NOW, (), ("b",), told_at=NOW, told_checks=1))
    new = replace(CONTOSO_DEAD, name="new")
    ledger.settle([(CONTOSO_DEAD, "a"), (new, "c")], lambda _key, _name: (), NOW + 9)
    assert sorted((each.key.name, each.reason) for each in ledger.due(NOW + 9)) == [
        ("gone", Reason.RESOLVED),
        ("new", Reason.NEW),
    ]


# -- in words ---------------------------------------------------------------------------------------------------------

RULES = catalogue.load()


def notice(due: Due, names: Sequence[str], total: int, labels: dict[str, str] | None = None) -> Notice:
    return notice_of(
        due, names=names, total=total, labels=labels or {}, catalogue=RULES, address="https://mon.example.org"
    )


def test_a_dead_credential_is_named_with_its_count_its_cause_and_its_repair() -> None:
    finding = replace(bad("a").findings[0], evidence=("error: invalid_client AADSTS7000222",))
    due = Due(CONTOSO_DEAD, Entry(NOW, (finding,), ("a",)), Reason.NEW, 30)
    told = notice(due, [f"c{number:02}" for number in range(30)], 500, {"team": "finance"})
    assert told.title() == (
        "[FIRING] credential contoso: the client secret (or certificate) of the app has expired (30 of 500 checks)"
    )
    lines = told.text().splitlines()
    assert lines[0] == "Critical since 2026-10-14 17:46 UTC"
    assert lines[1].startswith("Checks: c00, c01, ") and lines[1].endswith("c19 and 10 more")
    assert lines[2:4] == ["Labels: team=finance", "Seen: error: invalid_client AADSTS7000222"]
    assert lines[4].startswith("Repair 1: ")
    assert lines[-1] == "Page: https://mon.example.org/?outcome=critical&cause=secret_expired"


def test_the_repair_of_one_mailbox_names_it_and_that_of_many_names_none() -> None:
    finding = replace(bad("a", Phase.AUTH, Cause.SMTP_AUTH_DISABLED_MAILBOX).findings[0])
    key = Key(Subject.CHECK, "a", Severity.CRITICAL, None)
    one = notice(Due(key, Entry(NOW, (finding,), ("a",)), Reason.NEW, 1), ["a"], 1)
    assert "a@contoso.com" in one.text()
    assert one.page == "https://mon.example.org/checks/a"
    many = notice(Due(CONTOSO_DEAD, Entry(NOW, (finding,), ("a",)), Reason.NEW, 2), ["a", "b"], 2)
    assert "a@contoso.com" not in many.text()
    assert "<mailbox>" in many.text()


def test_a_resolved_alert_says_how_long_it_lasted_and_repairs_nothing() -> None:
    entry = Entry(NOW, bad("a").findings, ("a", "b"), told_at=NOW, told_checks=2, ended_at=NOW + 7200)
    told = notice(Due(CONTOSO_DEAD, entry, Reason.RESOLVED, 0), [], 500)
    assert (told.status, told.count, told.checks) == (Status.RESOLVED, 0, ("a", "b"))
    assert told.title().startswith("[RESOLVED] credential contoso: ")
    assert "From 2026-10-14 17:46 UTC to 2026-10-14 19:46 UTC" in told.text()
    assert "Repair" not in told.text()


def test_what_is_not_certain_names_the_other_causes() -> None:
    findings = (*bad("a", certainty=0.5).findings, Finding(Cause.SECRET_INVALID, 0.3, "a.rule"))
    told = notice(Due(CONTOSO_DEAD, Entry(NOW, findings, ("a",)), Reason.NEW, 1), ["a"], 1)
    assert told.remedy[-1].startswith("If it is not that: ")


def test_a_reminder_says_so() -> None:
    due = Due(CONTOSO_DEAD, Entry(NOW, (), ("a",)), Reason.REMINDER, 1)
    assert notice(due, ["a"], 1).title() == "[STILL FIRING] credential contoso: secret expired (1 of 1 checks)"


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
        self.pace = Pace(remind_every=3600.0)
        self.board = Board()
        self.ledger = Ledger(match, self.pace)
        self.live = dict(CHECKS)
        self.heard: dict[Key, Status] = {}
        self.sending: Due | None = None
        self.unsure: set[Key] = set()
        self.over: set[str] = set()

    def wanted(self) -> set[Key]:
        return {key for key, name in self.board.firing() if self.ledger.is_for(CHECKS[name], key.severity)}

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
        change = self.board.observe(CHECKS[name], REPORTS[what](name), self.thresholds, muted=muted)
        for key in change.joined if change else ():
            if self.ledger.is_for(CHECKS[name], key.severity):
                self.ledger.joined(key, name, (), self.now)
        for key in change.left if change else ():
            if self.ledger.is_for(CHECKS[name], key.severity):
                self.ledger.left(key, self.now)

    @rule(seconds=st.sampled_from([1.0, 400.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def something_is_being_sent(self) -> None:
        if self.sending is None and (waiting := self.ledger.due(self.now)):
            self.sending = waiting[0]
            self.ledger.begin(self.sending)

    @rule(arrives=st.booleans(), is_known=st.booleans())
    def it_is_sent(self, arrives: bool, is_known: bool) -> None:
        """It may arrive without our knowing it: the answer is lost, or we are killed before it is kept."""
        due, self.sending = self.sending, None
        if due is None:
            return
        if arrives:
            self.hear(due)
        if arrives and is_known:
            self.ledger.told(due, self.now)
        else:
            self.unsure.add(due.key)
            self.ledger.failed(due)

    @rule(is_known=st.booleans())
    def everything_is_sent(self, is_known: bool) -> None:
        for _ in range(len(self.ledger.due(self.now))):
            self.something_is_being_sent()
            self.it_is_sent(arrives=True, is_known=is_known)

    def hear(self, due: Due) -> None:
        before = self.heard.get(due.key)
        if due.reason is Reason.NEW:
            assert before is not Status.FIRING or due.key in self.unsure, "told twice that it fires"
        elif due.reason in {Reason.GROWN, Reason.REMINDER}:
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
        board, ledger = Board(), Ledger(self.match, self.pace)
        for name, watches in self.board.watches.items():
            board.restore(name, dict(watches))
        for key, entry in self.ledger.entries.items():
            ledger.restore(key, entry)
        self.board, self.ledger, self.sending = board, ledger, None
        self.settle()

    @rule(name=st.sampled_from(NAMES))
    def reload(self, name: str) -> None:
        """A check leaves the configuration, or comes back."""
        if self.live.pop(name, None):
            self.board.drop(name)
        else:
            self.live[name] = CHECKS[name]
        self.settle()

    def settle(self) -> None:
        members = [(key, name) for key, name in self.board.firing() if self.ledger.is_for(CHECKS[name], key.severity)]
        self.ledger.settle(members, lambda _key, _name: (), self.now)

    @invariant()
    def nothing_is_lost(self) -> None:
        """Once everything is sent, what was heard is what is: each that fires was told, each that ended is resolved."""
        if not hasattr(self, "ledger"):
            return
        pending = {due.key for due in self.ledger.due(self.now)} | ({self.sending.key} if self.sending else set())
        for key in self.wanted():
            assert key in pending or self.heard.get(key) is Status.FIRING
        for key, status in self.heard.items():
            assert status is Status.RESOLVED or key in self.wanted() or key in pending


TestTelling = Telling.TestCase
TestTelling.settings = hypothesis_settings(max_examples=150, stateful_step_count=60, deadline=None)
