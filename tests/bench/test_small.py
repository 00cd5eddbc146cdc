"""Parts of the benchmark in small: that they measure what they say, not how much it is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench import api_checks, credentials, inspection
from tests.bench.table import Row
from tests.bench.world import own_process


def measured(part: Callable[[Path, int], list[Row]], folder: Path, count: int) -> dict[str, float]:
    """Return the figures of a part, measured in a process of its own, whose collector it changes."""
    with own_process() as process:
        rows = process.submit(part, folder / "sandbox", count).result()
    found = {row.what: row.value for row in rows}
    assert len(found) == len(rows)
    assert all(value > 0 for what, value in found.items() if "CPU" in what), found
    return found


def test_each_credential_is_renewed_by_one_request(tmp_path: Path) -> None:
    found = measured(credentials.measured, tmp_path, 20)
    assert found["credentials"] == 20
    assert found["first token: requests"] == 2
    assert found["renewal: requests, of any kind at most"] == 1
    assert found["all renewed at once: requests of one"] == 1


def test_no_mailbox_is_proven_twice_in_five_minutes(tmp_path: Path) -> None:
    found = measured(api_checks.measured, tmp_path, 10)
    assert found["checks by a mail API"] == 10
    assert 1 <= found["eleven minutes: requests for a mailbox"] <= 3
    assert found["eleven minutes: connections opened"] >= 3


def test_the_requests_of_an_inspection_are_a_second_apart(tmp_path: Path) -> None:
    found = measured(inspection.measured, tmp_path, 3)
    assert found["mailboxes inspected"] == 3
    requests = 3 * found["reading: requests for a mailbox"]
    assert found["reading: at one request a second, as by a command"] == pytest.approx((requests - 1) / 3600)
    assert found["reading: spread out, as by an agent"] > found["reading: at one request a second, as by a command"]
