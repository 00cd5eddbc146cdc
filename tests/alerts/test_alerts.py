"""What becomes an alert, and when: grouping, thresholds and the alerts that fire."""

from collections import defaultdict
from dataclasses import replace

import pytest
from msgspec import structs

from smtpcheck.alerts.alert_state import AlertState
from smtpcheck.alerts.grouping import Key, Severity, Subject, issues_of
from smtpcheck.alerts.thresholds import Thresholds
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check, Phase
from smtpcheck.model.report import Finding, Report
from tests.worlds.samples import bad, good, unknown
from tests.worlds.samples import exchange_online as check

CONTOSO_DEAD = Key(Subject.CREDENTIAL, "contoso", Severity.CRITICAL, Cause.SECRET_EXPIRED)


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
            good("a", Cause.STATE_NOT_KEPT),
            Key(Subject.AGENT, "smtpcheck", Severity.WARNING, Cause.STATE_NOT_KEPT),
        ),
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


@pytest.mark.parametrize("cause", [Cause.ACCOUNT_LOCKED, Cause.MAILBOX_MISSING_OR_UNLICENSED, Cause.USER_MISMATCH])
def test_a_token_that_is_refused_for_its_mailbox_concerns_the_credential_only_where_all_share_it(cause: Cause) -> None:
    """A service account of Google has a token for each mailbox, the credential of a user has one for all checks."""
    refused = bad("a", Phase.TOKEN, cause)
    per_mailbox = replace(check("a"), token_per_mailbox=True)
    assert [issue.key for issue in issues_of(per_mailbox, refused).values()] == [
        Key(Subject.CHECK, "a", Severity.CRITICAL, None)
    ]
    assert [issue.key for issue in issues_of(check("a"), refused).values()] == [
        Key(Subject.CREDENTIAL, "contoso", Severity.CRITICAL, cause)
    ]


def test_what_is_refused_for_every_mailbox_concerns_the_credential() -> None:
    per_mailbox = replace(check("a"), token_per_mailbox=True)
    assert [issue.key for issue in issues_of(per_mailbox, bad("a")).values()] == [CONTOSO_DEAD]


@pytest.mark.parametrize(
    ("cause", "subject"), [(Cause.ACCOUNT_LOCKED, Subject.CHECK), (Cause.SECRET_EXPIRED, Subject.CREDENTIAL)]
)
def test_a_fresh_token_that_fails_concerns_whom_its_reason_does(cause: Cause, subject: Subject) -> None:
    report = good("a", Cause.FRESH_TOKEN_FAILING)
    report = structs.replace(report, warnings=(*report.warnings, Finding(cause, 0.9, "google.account")))
    (issue,) = issues_of(replace(check("a"), token_per_mailbox=True), report).values()
    assert issue.key.subject is subject


def test_a_check_that_is_well_shows_nothing() -> None:
    assert issues_of(check("a"), good("a")) == {}


def test_the_reason_of_a_fresh_token_that_fails_is_no_trouble_of_its_own() -> None:
    root = Finding(Cause.SECRET_EXPIRED, 0.99, "entra.7000222")
    report = good("a", Cause.FRESH_TOKEN_FAILING, Cause.SLOW)
    report = structs.replace(report, warnings=(report.warnings[0], root, report.warnings[1]))
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
