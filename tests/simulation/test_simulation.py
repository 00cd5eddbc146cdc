"""The simulator replays and its loop knows no real time; and the seeds that have found faults."""

import asyncio
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.simulation.loop import DeadlockError, VirtualLoop
from tests.simulation.mail import Internet
from tests.simulation.simulate import WORLD_DAYS, simulate
from tests.simulation.story import FORMS, MARKER, Story

ROOT = Path(__file__).parents[2]
FOUND = {
    1: "the state file is not being written, and a small row that fits makes the agent say that it is",
    2: "after a restart a check that sends waits for up to two intervals",
    3: "an issuer's failure of the time without a network makes checks critical when the network is back",
    5: "a clock set back by a month has the caps on messages hold for a month",
    7: "a refused login of each message postpones the check, which never runs, and no alert fires",
    8: "a clock set forward between two ticks has no message sent until the clock would have been there",
    30: "a clock set forward by more than a day has the ends of alerts dropped that wait to be sent",
    9: "a message that was dropped and is kept again takes its slot back: no slot is free any more, and none is sent",
}
"""By seed: what it found."""


def simulated(seed: int, days: float, what: str, hash_seed: str = "0") -> str:
    """Return what came of a world, in a process of its own: its agent is alone there, as it is in operation."""
    code = f"from tests.simulation.simulate import simulate; print(simulate({seed}, {days}).{what})"
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


@pytest.mark.parametrize("seed", sorted(FOUND))
def test_a_world_that_found_a_fault_is_whole(seed: int) -> None:
    assert simulated(seed, WORLD_DAYS, "broken") == ""


def test_one_seed_tells_one_story_in_every_process() -> None:
    """Neither the order of a set nor an address in memory decides anything."""
    digests = {simulated(4, 0.6, "digest", hash_seed) for hash_seed in ("1", "2")}
    assert len(digests) == 1
    assert re.fullmatch(r"[0-9a-f]{16}", digests.pop())


def test_another_seed_tells_another_story() -> None:
    assert simulate(1, 0.3).digest != simulate(2, 0.3).digest


def test_a_day_has_many_runs() -> None:
    result = simulate(4)
    assert result.counts["runs"] >= 500 * result.days


@pytest.fixture
def loop() -> VirtualLoop:
    return VirtualLoop(Internet(None, None), lambda: 5.0)  # type: ignore[arg-type]


def test_a_day_passes_at_once(loop: VirtualLoop) -> None:
    begin, real = loop.time(), time.monotonic()
    loop.run_until_complete(asyncio.sleep(86400.0))
    loop.close()
    assert loop.time() - begin == pytest.approx(86400.0)
    assert time.monotonic() - real < 60.0


def test_a_job_of_a_thread_runs_at_once_and_is_known_later(loop: VirtualLoop) -> None:
    begin, done = loop.time(), list[float]()

    async def main() -> None:
        await asyncio.to_thread(lambda: done.append(loop.time()))

    loop.run_until_complete(main())
    loop.close()
    assert done == [begin]
    assert loop.time() == pytest.approx(begin + 5.0)


def test_what_waits_for_nothing_is_said(loop: VirtualLoop) -> None:
    with pytest.raises(DeadlockError):
        loop.run_until_complete(loop.create_future())
    loop.close()


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_seen_in_whatever_form_it_is_written(form: str) -> None:
    stopped: list[bool] = []
    story = Story(lambda: 0.0, lambda: stopped.append(True))
    story.saw("the log", "nothing")
    assert story.broken == ""
    story.saw("the log", f"token={form};")
    assert story.broken and stopped


@pytest.mark.parametrize("lead", range(6))
def test_a_login_shows_its_token_in_base64(lead: int) -> None:
    import base64

    text = base64.b64encode(b"u" * lead + MARKER.encode() + b"abc").decode()
    story = Story(lambda: 0.0, lambda: None)
    story.saw("a report", text)
    assert story.broken
