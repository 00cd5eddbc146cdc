"""When a check that harmed nobody is tried again."""

from itertools import accumulate

import pytest

from smtpcheck.model.retry import retries_within, wait

DAY = 86400.0


def test_a_check_of_once_a_day_is_tried_again_after_minutes_and_then_less_and_less_often() -> None:
    waits = [wait(failures, DAY) / 60 for failures in range(1, 13)]
    assert waits == [1, 2, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440]
    assert wait(10_000, DAY) == DAY


@pytest.mark.parametrize("interval", [1.0, 60.0, 90.0, 900.0])
def test_no_check_is_tried_again_later_than_its_interval_and_a_short_one_no_sooner(interval: float) -> None:
    assert [wait(failures, interval) for failures in range(1, 20)] == [
        min(wait(failures, DAY), interval) for failures in range(1, 20)
    ]


def test_how_often_that_is_in_an_hour_is_known() -> None:
    times = list(accumulate(wait(failures, DAY) for failures in range(1, 13)))
    assert retries_within(3600.0) == sum(at < 3600.0 for at in times) == 5
