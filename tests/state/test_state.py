"""What is remembered of a check: counts, its last failure, since when, and a short history."""

from dataclasses import replace

import pytest

from smtpcheck.model.cause import Cause
from smtpcheck.model.report import (
    Outcome,
    Report,
)
from smtpcheck.state.check_state import CheckState
from smtpcheck.state.history import HISTORY_LENGTH, Run
from smtpcheck.state.state import State
from tests.worlds.samples import BILLING, SECONDS, full_report, run

CHECK = BILLING


def record(*reports: Report) -> CheckState:
    """Return the state after these runs."""
    state = State()
    return [state.record(CHECK, report) for report in reports][-1]


def test_a_first_run_counts_like_any_other() -> None:
    report = run(100.0)
    state = record(report)
    assert (state.report, state.failure, state.runs, state.failures) == (report, None, 1, 0)
    assert (state.last_success_at, state.since, state.history()) == (
        100.0,
        100.0,
        (Run(100.0, SECONDS, Outcome.OK, None),),
    )


def test_a_failure_is_kept_after_the_recovery() -> None:
    failure = run(200.0, Outcome.CRITICAL, Cause.TIMEOUT)
    state = record(run(100.0), failure, run(300.0))
    assert (state.failure, state.runs, state.failures, state.last_success_at) == (failure, 3, 1, 300.0)


def test_since_is_when_the_present_outcome_began() -> None:
    ill = Outcome.CRITICAL
    assert record(run(100.0), run(200.0, ill), run(300.0, ill)).since == 200.0
    assert record(run(100.0), run(200.0, ill), run(300.0)).since == 300.0


@pytest.mark.parametrize(
    ("outcome", "failures", "last_success_at"),
    [
        (Outcome.OK, 0, 200.0),
        (Outcome.WARNING, 0, 200.0),
        (Outcome.CRITICAL, 1, 100.0),
        (Outcome.UNKNOWN, 0, 100.0),
    ],
)
def test_what_counts_as_success_and_as_failure(outcome: Outcome, failures: int, last_success_at: float) -> None:
    state = record(run(100.0), run(200.0, outcome))
    assert (state.failures, state.last_success_at) == (failures, last_success_at)


def test_a_check_that_never_succeeded_has_no_time_of_success() -> None:
    assert record(run(100.0, Outcome.CRITICAL)).last_success_at is None


def test_the_history_holds_the_last_runs_with_every_outcome_and_cause() -> None:
    causes = (None, *Cause)
    reports = [run(float(number), list(Outcome)[number % 4], causes[number % len(causes)]) for number in range(200)]
    rows = tuple(Run(report.started_at, SECONDS, report.outcome, report.cause) for report in reports)
    assert record(*reports[:10]).history() == rows[:10]
    assert record(*reports).history() == rows[-HISTORY_LENGTH:]


def test_a_report_is_kept_whole_and_shares_its_parts_with_others() -> None:
    state = State()
    one, two = (state.record(replace(CHECK, name=name), full_report(name)).report for name in ("one", "two"))
    assert (one, two) == (full_report("one"), full_report("two"))
    assert one.tls is two.tls
    assert one.attempts is two.attempts
    assert one.steps[1].exchanges is two.steps[1].exchanges


def test_forgotten_checks_are_gone() -> None:
    state = State()
    for name in ("one", "two", "three"):
        state.record(replace(CHECK, name=name), run(1.0))
    state.only(["three", "not yet run"])
    assert set(state.checks) == {"three"}
    assert state.record(replace(CHECK, name="one"), run(2.0)).runs == 1
