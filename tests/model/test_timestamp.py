"""Times are shown in UTC, and no number breaks a page."""

from collections.abc import Callable

import pytest

from smtpcheck.model import timestamp
from smtpcheck.model.timestamp import is_plausible_expiry, span_text

NOON = 1772366400.25
FORMS: list[tuple[Callable[[float], str], str]] = [
    (timestamp.utc_text, "2026-03-01 12:00 UTC"),
    (timestamp.utc_text_with_seconds, "2026-03-01 12:00:00 UTC"),
    (timestamp.clock_text, "12:00:00"),
    (timestamp.rfc3339, "2026-03-01T12:00:00Z"),
    (timestamp.rfc3339_milliseconds, "2026-03-01T12:00:00.250Z"),
]


@pytest.mark.parametrize(("form", "shown"), FORMS)
def test_a_time_is_shown_in_utc(form: Callable[[float], str], shown: str) -> None:
    """Whatever the zone of the machine."""
    assert form(NOON) == shown


@pytest.mark.parametrize("form", [form for form, _ in FORMS])
@pytest.mark.parametrize("number", [1.7e12, -1e15, 1e300, float("inf"), float("nan")])
def test_a_number_that_is_no_time_is_shown_as_such(form: Callable[[float], str], number: float) -> None:
    """Milliseconds taken for seconds give the year 55841: no page fails for that."""
    assert "not a valid time" in form(number)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(5, "5 seconds"), (119, "119 seconds"), (7200, "2 hours"), (200_000, "2 days")]
)
def test_a_span_is_shown_in_its_largest_unit(seconds: float, shown: str) -> None:
    """Of which there are two or more, so that rounding hides little."""
    assert span_text(seconds) == shown


@pytest.mark.parametrize(("expiry", "plausible"), [(NOON, True), (NOON * 1000, False), (0.0, False), (4.2e9, False)])
def test_an_expiry_is_plausible_from_1990_to_2099(expiry: float, plausible: bool) -> None:
    """What lies outside is a mistake of whoever states it."""
    assert is_plausible_expiry(expiry) is plausible
