"""Availability: what counts, what does not, and how hours become days and longer."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.state.availability import Span, by_hour, grouped, total
from smtpcheck.state.history import DAY_SECONDS, Day, Hour
from smtpcheck.state.outage import Outage

TODAY = 20_000
MIDNIGHT = float(TODAY * DAY_SECONDS)
NOW = MIDNIGHT + 10.5 * 3600
NOTHING = Hour(0, 0, 0, 0.0, 0.0)
WELL = Hour(60, 0, 0, 30.0, 1.0)
FAILED = Hour(60, 60, 0, 30.0, 1.0)


def day(number: int = TODAY, /, **hours: Hour) -> Day:
    """Return a day with these hours, named `h7`."""
    return Day(number, tuple(hours.get(f"h{place}", NOTHING) for place in range(24)))


def figure(*days: Day, outages: tuple[Outage, ...] = (), interval: float = 60.0) -> Span:
    """Return the last two days as one."""
    return total(by_hour(days, outages, interval=interval, now=NOW, last_days=2))


def outage(began: float, ended: float | None = None) -> Outage:
    return Outage(1, began, ended, "timeout")


def test_without_a_run_nothing_is_known() -> None:
    assert figure(day()).availability is None
    assert (figure().mean, figure().runs) == (None, 0)


@pytest.mark.parametrize(
    ("hour", "availability"),
    [
        (WELL, 1.0),
        (FAILED, 0.0),
        (Hour(60, 15, 0, 30.0, 1.0), 0.75),
        (Hour(60, 15, 30, 30.0, 1.0), 0.5),
        (Hour(60, 0, 60, 30.0, 1.0), None),
        (Hour(60, 0, 59, 30.0, 1.0), 1.0),
    ],
)
def test_within_an_hour_every_run_counts_the_same_and_unknown_ones_do_not(
    hour: Hour, availability: float | None
) -> None:
    assert figure(day(h3=hour)).availability == availability


def test_every_hour_counts_the_same() -> None:
    """An hour with one run that failed weighs as much as one with sixty: a refused check is run less often."""
    assert figure(day(h3=WELL, h4=Hour(1, 1, 0, 1.0, 1.0))).availability == 0.5


def test_an_hour_of_waiting_within_an_outage_counts_as_failed() -> None:
    known = day(h1=WELL, h2=FAILED, h6=WELL)
    outages = (outage(MIDNIGHT + 2 * 3600, MIDNIGHT + 6 * 3600),)
    assert figure(known).availability == 2 / 3
    assert figure(known, outages=outages).availability == 2 / 6
    assert figure(known, outages=outages, interval=86400.0).availability == 2 / 3


def test_an_outage_that_goes_on_counts_until_now() -> None:
    assert figure(day(h7=WELL, h8=FAILED), outages=(outage(MIDNIGHT + 8 * 3600),)).availability == 1 / 4


def test_hours_in_which_the_agent_was_stopped_count_for_nothing() -> None:
    """More than a day without a run is no waiting, whatever goes on before and after."""
    days = (day(TODAY - 1, h0=WELL, h1=FAILED), day(h9=FAILED, h10=FAILED))
    outages = (outage(MIDNIGHT - DAY_SECONDS + 3600),)
    assert figure(*days, outages=outages).availability == 1 / 4


def test_days_that_are_too_old_are_left_out_and_hours_to_come_are_none() -> None:
    hours = by_hour([day(TODAY - 2, h5=FAILED), day(h5=WELL)], (), interval=60.0, now=NOW, last_days=2)
    assert (len(hours), total(hours).runs) == (24 + 11, 60)
    assert (hours[0].begin, hours[-1].begin) == (MIDNIGHT - DAY_SECONDS, MIDNIGHT + 10 * 3600)


def _hour(runs: int, failures: int, unknown: int, seconds: float) -> Hour:
    unknown %= runs + 1
    return Hour(runs, failures % (runs - unknown + 1), unknown, seconds, seconds)


COUNTS = st.integers(0, 60)
HOURS = st.builds(_hour, COUNTS, COUNTS, COUNTS, st.floats(0, 100, width=32))
DAYS = st.lists(HOURS, min_size=24, max_size=24).map(tuple)


@given(st.lists(DAYS, min_size=1, max_size=4), st.floats(0, 4 * DAY_SECONDS), st.integers(1, 48))
def test_the_parts_add_up_to_the_whole(days: list[tuple[Hour, ...]], ago: float, size: int) -> None:
    """However hours are grouped, the figures of all are the same, and a share stays a share."""
    known = [Day(TODAY - age, hours) for age, hours in enumerate(days)]
    hours = by_hour(known, (outage(NOW - ago),), interval=60.0, now=NOW, last_days=len(days))
    spans = grouped(hours, size)
    whole, parts = total(hours), total(spans)
    assert (parts.begin, parts.hours, parts.runs, parts.failures, parts.unknown, parts.known_hours, parts.longest) == (
        whole.begin,
        whole.hours,
        whole.runs,
        whole.failures,
        whole.unknown,
        whole.known_hours,
        whole.longest,
    )
    assert parts.healthy_hours == pytest.approx(whole.healthy_hours)
    assert all(one.begin + one.hours * 3600 == other.begin for one, other in pairwise(spans))
    assert all(span.availability is None or 0 <= span.availability <= 1 for span in spans)
    assert all((span.availability is None) == (span.known_hours == 0) for span in spans)
