"""How long a refused check waits: what counts as a refusal, how the wait grows, and what ends it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.model.backoff import (
    DEFERRED,
    LOCKED,
    LONGEST,
    PENALIZED,
    REFUSED,
    THROTTLED,
    BackoffPolicy,
    Breaker,
    after,
    bounded,
)
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Phase
from smtpcheck.model.report import Exchange, Fault, FaultKind, Outcome, Reply, Report, Step, TokenError, TokenErrorKind

NOW = 1_700_000_000.0
MINUTE, HOUR = 60.0, 3600.0


def refused(code: int, cause: Cause = Cause.USER_MISMATCH, phase: Phase = Phase.AUTH) -> Report:
    """Return the report of a run that ended at NOW with this reply."""
    step = Step(phase, 0.0, 0.5, (Exchange("AUTH", Reply(code, "5.7.3", ("no",))),), Fault(FaultKind.REPLY))
    return Report("billing", NOW - 0.5, 0.5, Outcome.CRITICAL, (step,), cause)


def failed(kind: FaultKind, phase: Phase) -> Report:
    """Return the report of a run that ended without a reply."""
    return Report("billing", NOW, 0.5, Outcome.CRITICAL, (Step(phase, 0.0, 0.5, (), Fault(kind)),), Cause.TIMEOUT)


def no_token(*codes: int, cause: Cause = Cause.SECRET_INVALID) -> Report:
    """Return the report of a run that the issuer refused."""
    error = TokenError(TokenErrorKind.OAUTH, NOW, error="invalid_grant", error_codes=codes)
    return replace(failed(FaultKind.TOKEN, Phase.TOKEN), started_at=NOW - 0.5, cause=cause, token_error=error)


def waits(report: Report, times: int, interval: float = MINUTE) -> list[float | None]:
    """Return how long the check waits after each of so many equal runs."""
    breaker, found = Breaker(), []
    for _ in range(times):
        breaker = after(breaker, report, interval)
        found.append(None if breaker.until is None else breaker.until - NOW)
    return found


def test_two_refusals_change_nothing_and_then_the_interval_doubles_up_to_an_hour() -> None:
    grown = [None, None, *(MINUTE * factor for factor in (2, 4, 8, 16, 32)), HOUR, HOUR]
    assert waits(refused(535), 9) == grown
    assert waits(refused(550, phase=Phase.MAIL), 9) == grown
    assert waits(refused(550, phase=Phase.RCPT), 9) == grown
    assert waits(refused(554, phase=Phase.DATA), 9) == grown


def test_a_deferral_may_be_over_soon() -> None:
    assert waits(refused(451), 7) == [None, None, *(MINUTE * factor for factor in (2, 4, 8)), 900.0, 900.0]


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (Cause.ACCOUNT_LOCKED, [15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 4 * HOUR]),
        (Cause.SENDER_THROTTLED, [HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 16 * HOUR, 24 * HOUR]),
        (Cause.ACCOUNT_BLOCKED_OUTBOUND_SPAM, [HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 16 * HOUR, 24 * HOUR]),
        (Cause.THROTTLED_LOGINS, [5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 40 * MINUTE, 80 * MINUTE, 2 * HOUR]),
    ],
)
def test_where_trying_again_is_punished_the_first_refusal_counts(cause: Cause, expected: list[float]) -> None:
    assert waits(refused(550, cause), 6) == expected


@pytest.mark.parametrize("code", [50053, 50196])
def test_an_account_that_the_issuer_has_locked_is_left_alone_at_once(code: int) -> None:
    assert waits(no_token(code), 2) == [15 * MINUTE, 30 * MINUTE]
    assert waits(no_token(cause=Cause.ACCOUNT_LOCKED), 1) == [15 * MINUTE]


@pytest.mark.parametrize(
    "report",
    [
        no_token(7000222),
        refused(554, phase=Phase.BANNER),
        refused(421, Cause.THROTTLED_CONNECTIONS, phase=Phase.BANNER),
        refused(501, phase=Phase.EHLO),
        refused(454, phase=Phase.STARTTLS),
        failed(FaultKind.NAME_NOT_FOUND, Phase.DNS),
        failed(FaultKind.REFUSED, Phase.CONNECT),
        failed(FaultKind.TLS_UNTRUSTED, Phase.TLS),
        *(failed(kind, Phase.AUTH) for kind in FaultKind if kind is not FaultKind.REPLY),
        Report("billing", NOW, 0.0, Outcome.UNKNOWN, cause=Cause.AGENT_CUT_OFF),
        replace(refused(535), outcome=Outcome.UNKNOWN),
        Report("billing", NOW, 0.0, Outcome.CRITICAL, cause=Cause.UNEXPECTED_SUCCESS),
    ],
)
def test_where_nobody_refused_a_token_or_a_sender_nothing_changes(report: Report) -> None:
    """Neither does the wait of an open breaker end, nor does a closed one open."""
    assert waits(report, 20) == [None] * 20
    opened = Breaker(5, NOW + HOUR)
    assert after(opened, report, MINUTE) == opened
    assert after(Breaker(5, NOW), report, MINUTE) == Breaker(5, None)


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.WARNING])
def test_a_success_closes_it(outcome: Outcome) -> None:
    good = Report("billing", NOW, 0.5, outcome)
    assert after(Breaker(20, NOW + HOUR), good, MINUTE) == Breaker()


def test_a_check_that_runs_rarely_anyway_is_not_said_to_wait() -> None:
    assert waits(refused(535), 9, interval=6 * HOUR) == [None] * 9
    assert waits(refused(550, Cause.SENDER_THROTTLED), 2, interval=6 * HOUR) == [12 * HOUR, 24 * HOUR]


@given(
    st.sampled_from([REFUSED, DEFERRED, THROTTLED, LOCKED, PENALIZED]),
    st.integers(0, 10_000),
    st.floats(1.0, 1e6),
)
def test_a_wait_never_shrinks_and_keeps_its_bounds(policy: BackoffPolicy, refusals: int, interval: float) -> None:
    wait = policy.wait(refusals, interval)
    assert interval <= wait <= max(interval, policy.longest)
    assert wait <= policy.wait(refusals + 1, interval)


@given(refusals=st.integers(0, 99), until=st.none() | st.floats(allow_nan=True), now=st.floats(0, 4e9))
def test_no_wait_is_longer_than_the_longest_policy(refusals: int, until: float | None, now: float) -> None:
    """Whatever a file says of it, that was written while the clock was wrong."""
    found = bounded(Breaker(refusals, until), now)
    assert found.refusals == refusals
    assert (found.until is None) == (until is None)
    assert found.until is None or found.until <= now + LONGEST
    assert until is None or not until <= now + LONGEST or found.until == until


def test_a_run_without_an_answer_keeps_no_wait_of_a_wrong_clock() -> None:
    days = 160 * 24 * HOUR
    found = after(Breaker(3, NOW + days), failed(FaultKind.TIMEOUT, Phase.CONNECT), MINUTE)
    assert found == Breaker(3, NOW + 0.5 + LONGEST)


def test_every_wait_that_a_policy_gives_is_kept() -> None:
    for code, cause in ((550, Cause.SENDER_THROTTLED), (421, Cause.THROTTLED_LOGINS), (535, Cause.USER_MISMATCH)):
        breaker = Breaker()
        for _ in range(40):
            breaker = after(breaker, refused(code, cause), MINUTE)
            assert bounded(breaker, NOW) is breaker
