"""Which checks a silence is for, and how long it lasts."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.alerts.silence import DURATIONS, LONGEST_SECONDS, Silence, end_of, outcome_to_outlast, silence_id
from smtpcheck.model.report import Outcome
from tests.worlds.samples import exchange_online

BERLIN = ZoneInfo("Europe/Berlin")
CHECK = exchange_online("billing-1", credential="contoso", labels=(("site", "fra"), ("team", "finance")))


def silence(**fields: object) -> Silence:
    return Silence("0123456789ab", 100.0, 200.0, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "covered"),
    [
        ({"checks": ("billing-1",)}, True),
        ({"checks": ("billing",)}, False),
        ({"checks": ("other", "billing-*")}, True),
        ({"checks": ("*",)}, True),
        ({"checks": ("BILLING-1",)}, False),
        ({"credentials": ("contoso",)}, True),
        ({"credentials": ("cont*",)}, False),
        ({"labels": (("team", "finance"),)}, True),
        ({"labels": (("team", "finance"), ("site", "ams"))}, False),
        ({"labels": (("team", "sales"),), "checks": ("billing-?",)}, True),
        ({}, False),
    ],
)
def test_a_check_is_covered_by_name_or_credential_or_all_labels(fields: dict[str, object], covered: bool) -> None:
    assert silence(**fields).covers(CHECK) is covered


def test_a_check_without_a_credential_is_covered_by_no_credential() -> None:
    assert not silence(credentials=("",)).covers(exchange_online("gateway", credential=None))


@pytest.mark.parametrize(("now", "active"), [(99.9, False), (100.0, True), (199.9, True), (200.0, False)])
def test_it_is_in_force_from_its_start_to_its_end(now: float, active: bool) -> None:
    assert silence().is_active(now) is active


@pytest.mark.parametrize(
    ("local", "monday"),
    [
        (datetime(2026, 11, 27, 23, 0, tzinfo=BERLIN), datetime(2026, 11, 30, 8, tzinfo=BERLIN)),
        (datetime(2026, 11, 30, 7, 59, tzinfo=BERLIN), datetime(2026, 11, 30, 8, tzinfo=BERLIN)),
        (datetime(2026, 11, 30, 8, 0, tzinfo=BERLIN), datetime(2026, 12, 7, 8, tzinfo=BERLIN)),
        (datetime(2026, 10, 24, 12, 0, tzinfo=BERLIN), datetime(2026, 10, 26, 8, tzinfo=BERLIN)),
    ],
)
def test_until_monday_is_its_morning_where_people_are(local: datetime, monday: datetime) -> None:
    """Also over the end of summer time."""
    assert end_of("monday", local.timestamp(), BERLIN) == monday.timestamp()


@given(now=st.floats(0, 4e9), duration=st.sampled_from(sorted(DURATIONS)))
def test_no_silence_lasts_longer_than_a_week(now: float, duration: str) -> None:
    assert now < end_of(duration, now, UTC) <= now + LONGEST_SECONDS


def test_another_word_is_refused() -> None:
    with pytest.raises(ValueError, match="forever"):
        end_of("forever", 0.0, UTC)


@pytest.mark.parametrize(
    ("outcomes", "wanted"),
    [
        ([], Outcome.CRITICAL),
        ([Outcome.OK], Outcome.CRITICAL),
        ([Outcome.OK, Outcome.WARNING], Outcome.WARNING),
        ([Outcome.WARNING, Outcome.CRITICAL, Outcome.UNKNOWN], Outcome.CRITICAL),
        ([Outcome.UNKNOWN], Outcome.CRITICAL),
    ],
)
def test_repaired_is_when_the_worst_is_gone(outcomes: list[Outcome], wanted: Outcome) -> None:
    assert outcome_to_outlast(outcomes) is wanted


def test_ids_differ_by_what_makes_them_up() -> None:
    assert len({silence_id("a", 1), silence_id("a", 2), silence_id("b", 1)}) == 3
