"""Refusals that must come: which replies they are, and what a run comes to with them and without."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from smtpcheck.check.outcome import failed_to_reach, has_failed, with_outcome, without_connectivity
from smtpcheck.model import expected_refusal
from smtpcheck.model.backoff import Breaker, after
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Depth, Expect, Phase
from smtpcheck.model.report import Exchange, Fault, FaultKind, Finding, Outcome, Reply, Report, Step
from smtpcheck.output.metrics.check import failed_phase
from tests.check.test_outcome import CHECK, NOW

RCPT = Expect(Phase.RCPT, ("550", "554"), ("5.7.*",))
DENIED = Reply(554, "5.7.1", ("Relay access denied",))
OWN = (Finding(Cause.RELAY_DENIED, 0.8, "own", evidence=("reply: 554",)),)


def run(phase: Phase, reply: Reply | None, kind: FaultKind | None = FaultKind.REPLY, expect: Expect = RCPT) -> Report:
    """Return an unjudged report whose last phase ended with this reply and fault."""
    steps = (
        Step(Phase.CONNECT, 0, 0.1),
        Step(phase, 0.1, 0.1, (Exchange("said", reply),), Fault(kind) if kind else None),
        Step(Phase.QUIT, 0.2, 0.1),
    )
    return Report("relay", NOW, 0.3, Outcome.UNKNOWN, steps=steps, expect=expect)


def judged_by_itself(report: Report) -> Report:
    passed = expected_refusal.unexpected_success(report)
    assert passed is not None
    assert has_failed(report)
    return with_outcome(report, (passed,), ())


codes = st.integers(200, 599)
enhanced = st.from_regex(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}", fullmatch=True) | st.just("")


@given(code=codes, seen=enhanced)
def test_a_listed_code_matches_itself_and_its_classes_alone(code: int, seen: str) -> None:
    reply = Reply(code, seen, ("no",))
    for pattern in (str(code), f"{code // 10}x", f"{code // 100}xx"):
        assert expected_refusal.matches(Expect(Phase.AUTH, ("200", pattern)), reply)
    other = 400 if code >= 500 else 500
    assert not expected_refusal.matches(Expect(Phase.AUTH, (f"{other // 100}xx", str(code + 1))), reply)


@given(seen=enhanced, x=st.integers(0, 999), y=st.integers(0, 999))
def test_a_star_stands_for_any_number_and_a_missing_code_matches_none(seen: str, x: int, y: int) -> None:
    for pattern, right in (
        (f"5.{x}.{y}", seen == f"5.{x}.{y}"),
        (f"5.{x}.*", seen.startswith(f"5.{x}.")),
        ("5.*.*", seen.startswith("5.")),
        (f"5.*.{y}", seen.startswith("5.") and seen.rpartition(".")[2] == str(y)),
    ):
        assert expected_refusal.matches(Expect(Phase.AUTH, ("5xx",), (pattern,)), Reply(550, seen, ())) is right


def test_a_listed_refusal_in_its_phase_is_ok_and_has_no_cause() -> None:
    report = run(Phase.RCPT, DENIED)
    assert not has_failed(report)
    judged = with_outcome(report, (), ())
    assert judged == structs.replace(report, outcome=Outcome.OK)
    assert judged.refused_as_expected == DENIED


def test_what_will_break_is_warned_of_beside_an_expected_refusal() -> None:
    warnings = (Finding(Cause.CERTIFICATE_EXPIRING, 1.0, "x"),)
    judged = with_outcome(run(Phase.RCPT, DENIED), (), warnings)
    assert (judged.outcome, judged.warnings, judged.refused_as_expected) == (Outcome.WARNING, warnings, DENIED)


def test_a_success_in_its_place_is_critical() -> None:
    judged = judged_by_itself(run(Phase.RCPT, Reply(250, "2.1.5", ("Ok",)), None))
    assert (judged.outcome, judged.cause, judged.refused_as_expected) == (
        Outcome.CRITICAL,
        Cause.UNEXPECTED_SUCCESS,
        None,
    )
    assert judged.findings[0].evidence == (
        "phase rcpt was accepted: 250 2.1.5 Ok",
        "a refusal 550/554 5.7.* in phase rcpt was expected",
    )
    assert failed_phase(judged) == Phase.RCPT


def test_a_success_counts_although_something_broke_behind_it() -> None:
    report = run(Phase.RCPT, Reply(250, "", ()), None)
    broken = Step(Phase.DATA, 1, 1, fault=Fault(FaultKind.TIMEOUT))
    judged = judged_by_itself(structs.replace(report, steps=(*report.steps, broken)))
    assert (judged.cause, failed_phase(judged)) == (Cause.UNEXPECTED_SUCCESS, Phase.RCPT)


@pytest.mark.parametrize(
    "report",
    [
        run(Phase.MAIL, Reply(530, "5.7.0", ("Authentication required",))),
        run(Phase.RCPT, Reply(450, "4.7.1", ("Greylisted",))),
        run(Phase.RCPT, Reply(550, "5.1.1", ("No such user",))),
        run(Phase.RCPT, Reply(550, "", ("No",))),
        run(Phase.RCPT, None, FaultKind.TIMEOUT),
        run(Phase.RCPT, DENIED, FaultKind.CLOSED),
        run(Phase.DNS, None, FaultKind.NAME_NOT_FOUND),
        run(Phase.TOKEN, None, FaultKind.TOKEN),
    ],
)
def test_anything_else_is_critical_with_its_own_cause_and_says_what_was_expected(report: Report) -> None:
    assert has_failed(report)
    assert expected_refusal.unexpected_success(report) is None
    judged = with_outcome(report, OWN, ())
    assert (judged.outcome, judged.cause, judged.refused_as_expected) == (Outcome.CRITICAL, Cause.RELAY_DENIED, None)
    assert judged.findings[0].evidence == ("reply: 554", "a refusal 550/554 5.7.* in phase rcpt was expected")


def test_an_expected_refusal_closes_the_breaker_and_another_one_counts() -> None:
    met = with_outcome(run(Phase.RCPT, DENIED), (), ())
    other = with_outcome(run(Phase.RCPT, Reply(550, "5.1.1", ())), OWN, ())
    assert after(Breaker(7, NOW + 9000), met, 3600) == Breaker()
    assert after(Breaker(2), other, 3600).refusals == 3
    assert after(Breaker(2), other, 60).until is not None


@pytest.mark.parametrize(
    ("depth", "due"), [(Depth.TOKEN, False), (Depth.SENDER, False), (Depth.RECIPIENT, True), (Depth.SEND, True)]
)
def test_a_run_that_does_not_go_as_deep_has_no_refusal_to_meet(depth: Depth, due: bool) -> None:
    check = dataclasses.replace(CHECK, depth=depth, expect=RCPT)
    assert (check.due_refusal == RCPT) is due


def test_what_is_said_of_a_run_is_about_the_phase_that_was_to_be_refused() -> None:
    met = with_outcome(run(Phase.RCPT, DENIED), (), ())
    other = with_outcome(run(Phase.MAIL, Reply(530, "", ())), OWN, ())
    passed = judged_by_itself(run(Phase.RCPT, Reply(250, "", ()), None))
    assert [expected_refusal.phase_of(report) for report in (met, other, passed)] == [
        Phase.RCPT,
        Phase.MAIL,
        Phase.RCPT,
    ]
    assert [expected_refusal.refusal_note(report) for report in (met, other, passed)] == [
        "refused as expected: 554 5.7.1 Relay access denied",
        "",
        "",
    ]


def test_a_run_of_an_agent_that_is_cut_off_has_met_nothing() -> None:
    unreachable = with_outcome(run(Phase.CONNECT, None, FaultKind.TIMEOUT), OWN, ())
    assert failed_to_reach(unreachable)
    report = without_connectivity(unreachable)
    assert (report.outcome, report.cause, report.refused_as_expected) == (Outcome.UNKNOWN, Cause.AGENT_CUT_OFF, None)
    assert not failed_to_reach(with_outcome(run(Phase.RCPT, DENIED), (), ()))
