"""A process that keeps its state is killed at any moment, again and again, and what it left is whole.

`make soak` does it two hundred times.
"""

import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from smtpcheck.state.check_state import CheckState
from smtpcheck.state.state import State
from tests.state.state_writer import NAMES, nth_run
from tests.worlds.kills import killed_after, moments
from tests.worlds.samples import BILLING as CHECK

KILLS = int(os.environ.get("SMTPCHECK_KILLS", "15"))


async def kept(folder: Path) -> tuple[dict[str, CheckState], dict[str, int]]:
    """Return what the file knows: the states, and how many runs the days count."""
    state = await State.kept(folder)
    try:
        assert state.error == ""
        await state.fetch(NAMES)
        days = {name: await state.days(name) for name in NAMES}
        return dict(state.checks), {name: sum(hour.runs for day in days[name] for hour in day.hours) for name in NAMES}
    finally:
        await state.close()


@pytest.mark.parametrize("seed", [2026])
async def test_a_kill_at_any_moment_leaves_a_whole_state(tmp_path: Path, seed: int) -> None:
    """Each check is as it was after some run, never older than at the kill before, and goes on from there.

    All are of one moment: the writer runs them in turn, so none is ahead of another by more than one run.
    """
    chance, before, replayed = random.Random(seed), dict.fromkeys(NAMES, 0), State()
    for seconds in moments(chance, (0.02, 0.25), KILLS, lambda: min(before.values()) > KILLS):
        await killed_after(seconds, "tests.state.state_writer", tmp_path)
        states, counted = await kept(tmp_path)
        assert {name for name, count in before.items() if count} <= set(states)
        grown = [states[name].runs - before[name] for name in NAMES if name in states]
        assert grown == sorted(grown, reverse=True)
        assert grown[0] - grown[-1] <= 1
        for name, state in states.items():
            assert before[name] <= state.runs
            for number in range(before[name], state.runs):
                replayed.record(replace(CHECK, name=name), nth_run(name, number + 1))
            assert structs.replace(state, packed_hours=b"") == structs.replace(replayed.checks[name], packed_hours=b"")
            assert counted[name] <= state.runs
            before[name] = state.runs
    assert min(before.values()) > KILLS
