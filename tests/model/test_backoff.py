"""How long a refused check waits: what counts as a refusal, how the wait grows, and what ends it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

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
from smtpcheck.model.report import FaultKind, Outcome, Report
from tests.worlds.samples import NOW, SECONDS, failed, refused, report, without_token

MINUTE, HOUR = 60.0, 3600.0
END = NOW + SECONDS
"""When the runs ended."""


def waits(report: Report, times: int, interval: float = MINUTE) -> list[float | None]:
    """Return how long the check waits after each of so many equal runs."""
    breaker, found = Breaker(), []
    for _ in range(times):
        breaker = after(breaker, report, interval)
        found.append(None if breaker.until is None else breaker.until - END)
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
    assert waits(refused(550, cause=cause), 6) == expected


@pytest.mark.parametrize("code", [50053, 50196])
def test_an_account_that_the_issuer_has_locked_is_left_alone_at_once(code: int) -> None:
    assert waits(without_token("invalid_grant", code), 2) == [15 * MINUTE, 30 * MINUTE]
    assert waits(without_token("invalid_grant", cause=Cause.ACCOUNT_LOCKED), 1) == [15 * MINUTE]


@pytest.mark.parametrize(
    "report",
    [
        without_token("invalid_grant", 7000222),
        refused(554, phase=Phase.BANNER),
        refused(421, cause=Cause.THROTTLED_CONNECTIONS, phase=Phase.BANNER),
        refused(501, phase=Phase.EHLO),
        refused(454, phase=Phase.STARTTLS),
        failed(FaultKind.NAME_NOT_FOUND, Phase.DNS),
        failed(FaultKind.REFUSED, Phase.CONNECT),
        failed(FaultKind.TLS_UNTRUSTED, Phase.TLS),
        *(failed(kind, Phase.AUTH) for kind in FaultKind if kind is not FaultKind.REPLY),
        report(Outcome.UNKNOWN, cause=Cause.AGENT_CUT_OFF),
        structs.replace(refused(535), outcome=Outcome.UNKNOWN),
        report(Outcome.CRITICAL, cause=Cause.UNEXPECTED_SUCCESS),
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
    assert after(Breaker(20, NOW + HOUR), report(outcome), MINUTE) == Breaker()


def test_a_check_that_runs_rarely_anyway_is_not_said_to_wait() -> None:
    assert waits(refused(535), 9, interval=6 * HOUR) == [None] * 9
    assert waits(refused(550, cause=Cause.SENDER_THROTTLED), 2, interval=6 * HOUR) == [12 * HOUR, 24 * HOUR]


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
    assert found == Breaker(3, END + LONGEST)


def test_every_wait_that_a_policy_gives_is_kept() -> None:
    for code, cause in ((550, Cause.SENDER_THROTTLED), (421, Cause.THROTTLED_LOGINS), (535, Cause.USER_MISMATCH)):
        breaker = Breaker()
        for _ in range(40):
            breaker = after(breaker, refused(code, cause=cause), MINUTE)
            assert bounded(breaker, END) is breaker
