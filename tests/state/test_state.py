"""What is remembered of a check: counts, its last failure, since when, and a short history."""

from dataclasses import replace

import pytest

from smtpcheck.model.cause import Cause
from smtpcheck.model.check import (
    Phase,
)
from smtpcheck.model.report import (
    Attempt,
    CertificateFacts,
    Exchange,
    Fault,
    FaultKind,
    Finding,
    Outcome,
    Reply,
    Report,
    Step,
    TlsFacts,
    TokenFacts,
)
from smtpcheck.state.check_state import CheckState
from smtpcheck.state.history import HISTORY_LENGTH, Run
from smtpcheck.state.state import State
from tests.worlds.samples import BILLING

CHECK = BILLING


def run(started_at: float, outcome: Outcome = Outcome.OK, cause: Cause | None = None) -> Report:
    """Return a report of one run."""
    return Report(check="billing", started_at=started_at, seconds=0.25, outcome=outcome, cause=cause)


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
        (Run(100.0, 0.25, Outcome.OK, None),),
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
    rows = tuple(Run(report.started_at, 0.25, report.outcome, report.cause) for report in reports)
    assert record(*reports[:10]).history() == rows[:10]
    assert record(*reports).history() == rows[-HISTORY_LENGTH:]


def full_report(check: str) -> Report:
    """Return a report in which everything is set, made anew at every call."""
    certificate = CertificateFacts(1.0, 2.0, "CN=smtp", "CN=ca", (f"smtp{'.'}example.org",), "ab" * 32, False, True)
    return Report(
        check=check,
        started_at=1.0,
        seconds=2.0,
        outcome=Outcome.CRITICAL,
        steps=(
            Step(Phase.CONNECT, 0.0, 0.5),
            Step(
                Phase.AUTH,
                0.5,
                0.5,
                (Exchange("AUTH XOAUTH2", Reply(535, "5.7.3", ("no!",)), challenge="{}"),),
                Fault(FaultKind.REPLY, "x"),
            ),
        ),
        cause=Cause.USER_MISMATCH,
        findings=(Finding(Cause.USER_MISMATCH, 0.9, "rule", ("evidence",), {"mailbox": check}),),
        token=TokenFacts("f", "jwt", 1.0, 2.0, "s", 3, {"aud": "a"}, True),
        tls=TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", certificate),
        attempts=(Attempt("192.0.2.1", 4, None),),
        mechanism="XOAUTH2",
        auth_line_length=12,
        waited=0.5,
    )


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
