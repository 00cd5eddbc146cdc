"""Each parser returns a value within its bounds, or none, for whatever a server sends."""

import json
import math
from email.utils import formatdate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smtpcheck.http_client.parsing import MAX_RETRY_AFTER, parse_http_date, parse_retry_after, parse_seconds

NOW = 1_790_000_000.0
YEAR_10000 = 253402300800.0
DATE_PARTS = st.lists(
    st.sampled_from(
        ["Thu,", "31", "Feb", "Jan", "1970", "9" * 30, "99:99:99", "00:00:00", "GMT", "+9999", "-0000", "("]
    ),
    max_size=8,
).map(" ".join)
ANYTHING = st.text(max_size=80) | DATE_PARTS | st.from_regex(r"[0-9]{1,400}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "date", "seconds"),
    [
        ("120", "", 120.0),
        (" 7 ", "", 7.0),
        ("0", "", 0.0),
        ("-1", "", None),
        ("1.5", "", None),
        ("soon", "", None),
        ("", "", None),
        ("999999999", "", MAX_RETRY_AFTER),
        ("9" * 400, "", MAX_RETRY_AFTER),
        (formatdate(NOW + 60, usegmt=True), "", 60.0),
        (formatdate(NOW + 60, usegmt=True), formatdate(NOW + 30, usegmt=True), 30.0),
        (formatdate(NOW + 60, usegmt=True), "never", 60.0),
        (formatdate(NOW - 60, usegmt=True), "", 0.0),
        (formatdate(NOW + 1e6, usegmt=True), "", MAX_RETRY_AFTER),
        ("Thu, 99 Jan 1970 00:02:00 GMT", "", None),
    ],
)
def test_retry_after_is_a_number_or_a_date_by_the_servers_clock(text: str, date: str, seconds: float | None) -> None:
    assert parse_retry_after(text, now=NOW, date=date) == seconds


@given(text=ANYTHING, date=ANYTHING, now=st.floats(0, YEAR_10000))
@example(text="9" * 400, date="", now=0.0)
@example(text="Thu, 01 Jan 99999999999999999999 00:00:00 GMT", date="Mon, 01 Jan 0001 00:00:00 +2359", now=0.0)
def test_every_retry_after_is_bounded(text: str, date: str, now: float) -> None:
    seconds = parse_retry_after(text, now=now, date=date)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


@pytest.mark.parametrize(
    "text",
    ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"],
)
def test_each_form_of_a_date_is_read(text: str) -> None:
    """RFC 9110 5.6.7."""
    assert parse_http_date(text) == 784111777.0


@given(ANYTHING)
@example("Thu, 01 Jan 99999999999999999999 00:00:00 GMT")
@example("Mon, 01 Jan 0001 00:00:00 +2359")
@example("Mon, 01 Jan 9999 00:00:00 -2359")
def test_every_date_is_of_our_times(text: str) -> None:
    seconds = parse_http_date(text)
    assert seconds is None or 0 <= seconds < YEAR_10000


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (3600, 3600.0),
        (0, 0.0),
        (1.5, 1.5),
        ("3600", 3600.0),
        (" 3600.5 ", 3600.5),
        (10**309, None),
        ("9" * 309, None),
        (-1, None),
        ("-1", None),
        (True, None),
        (None, None),
        ([], None),
        ("soon", None),
        ("1_000", None),
        (math.nan, None),
        (math.inf, None),
    ],
)
def test_a_period_is_a_number_or_its_text(value: object, seconds: float | None) -> None:
    assert parse_seconds(value) == seconds


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.from_regex(r"[0-9]{1,4000}", fullmatch=True),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)


@given(JSON)
@example(json.loads("1e999"))
@example(10**4000)
@example("1000000000")
def test_every_period_is_bounded(value: object) -> None:
    seconds = parse_seconds(value)
    assert seconds is None or 0 <= seconds < 1e9
