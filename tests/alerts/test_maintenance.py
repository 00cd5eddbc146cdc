"""Hours in which failures are expected, on the wall clock of a time zone."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from smtpcheck.alerts.maintenance import DAY_MINUTES, Window
from tests.worlds.samples import NOW

BERLIN = ZoneInfo("Europe/Berlin")
SUN = 6 * DAY_MINUTES


@pytest.mark.parametrize(
    ("window", "moment", "inside"),
    [
        (Window(SUN + 120, SUN + 240, True, BERLIN), "2026-11-29T02:00+01:00", True),
        (Window(SUN + 120, SUN + 240, True, BERLIN), "2026-11-29T03:59:59+01:00", True),
        (Window(SUN + 120, SUN + 240, True, BERLIN), "2026-11-29T04:00+01:00", False),
        (Window(SUN + 120, SUN + 240, True, BERLIN), "2026-11-28T02:30+01:00", False),
        # Over the end of the week: Sunday 23:00 to Monday 01:00.
        (Window(SUN + 1380, 60, True, BERLIN), "2026-11-29T23:30+01:00", True),
        (Window(SUN + 1380, 60, True, BERLIN), "2026-11-30T00:30+01:00", True),
        (Window(SUN + 1380, 60, True, BERLIN), "2026-11-30T01:00+01:00", False),
        # Each day over midnight.
        (Window(1380, 60, False, BERLIN), "2026-11-25T23:00+01:00", True),
        (Window(1380, 60, False, BERLIN), "2026-11-26T00:59+01:00", True),
        (Window(1380, 60, False, BERLIN), "2026-11-26T12:00+01:00", False),
        # 2026-10-25 the clock goes from 03:00 back to 02:00: both hours belong to it.
        (Window(SUN + 120, SUN + 180, True, BERLIN), "2026-10-25T02:30+02:00", True),
        (Window(SUN + 120, SUN + 180, True, BERLIN), "2026-10-25T02:30+01:00", True),
        (Window(SUN + 120, SUN + 180, True, BERLIN), "2026-10-25T03:00+01:00", False),
        # 2026-03-29 it goes from 02:00 to 03:00: of 02:00 to 04:00 one hour is left.
        (Window(SUN + 120, SUN + 240, True, BERLIN), "2026-03-29T01:59+01:00", False),
        (Window(SUN + 120, SUN + 240, True, BERLIN), "2026-03-29T03:00+02:00", True),
        (Window(SUN + 120, SUN + 240, True, BERLIN), "2026-03-29T04:00+02:00", False),
    ],
)
def test_a_window_is_of_the_wall_clock(window: Window, moment: str, inside: bool) -> None:
    assert window.covers({}, datetime.fromisoformat(moment).timestamp()) is inside


def test_a_window_is_for_the_checks_that_have_its_labels() -> None:
    window = Window(0, 1440, False, BERLIN, (("team", "finance"),))
    assert window.covers({"team": "finance", "site": "north"}, NOW)
    assert not window.covers({"team": "sales"}, NOW)
    assert not window.covers({}, NOW)
