"""An agent's alerts are told while it is killed at any moment, again and again: whoever is told knows in the end.

`make soak` does it two hundred times.
"""

import os
import random
from collections import defaultdict
from pathlib import Path

import pytest

from smtpcheck.state.state import State
from tests.agent import alert_sender
from tests.agent.alert_sender import CHECKS
from tests.worlds.kills import killed_after, moments
from tests.worlds.receiver import CUT, Receiver
from tests.worlds.samples import good
from tests.worlds.waiting import until

KILLS = int(os.environ.get("SMTPCHECK_KILLS", "6"))


async def recovered(folder: Path, url: str) -> None:
    """Let every check recover, and wait until nothing is left to be told."""
    state = await State.kept(folder)
    await state.fetch([each.name for each in CHECKS])
    alerts = alert_sender.alerting(state, url)
    await alerts.start()
    for each in CHECKS * 2:
        alerts.observe(each, good(each.name))
    await until(lambda: all(each.waiting == 0 and not each.failure for each in alerts.notifiers()))
    assert alerts.firing() == []
    await alerts.close()
    await state.close()


def alert_ids(receiver: Receiver) -> set[str]:
    """Return the ids of the alerts that were taken."""
    return {alert["id"] for got in receiver.taken for alert in got.json["alerts"]}


@pytest.mark.parametrize("seed", [2026])
async def test_whoever_is_told_knows_in_the_end_what_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Each alert that was heard of is over in the end, and a kill repeats at most what was being told."""
    chance = random.Random(seed)
    async with Receiver() as receiver:
        kills = 0
        for seconds in moments(chance, (0.05, 0.4), KILLS, lambda: len(alert_ids(receiver)) > KILLS):
            receiver.answers.extend(chance.choices([200, 503, CUT], weights=[6, 1, 1], k=20))
            await killed_after(seconds, "tests.agent.alert_sender", tmp_path, receiver.url("/hook"))
            receiver.answers.clear()
            kills += 1
        await recovered(tmp_path, receiver.url("/hook"))
    heard: dict[str, list[str]] = defaultdict(list)
    for got in receiver.taken:
        for alert in got.json["alerts"]:
            heard[alert["id"]].append(alert["status"])
    assert len(heard) > KILLS
    assert {statuses[-1] for statuses in heard.values()} == {"resolved"}
    repeated = sum(len(statuses) - len(set(statuses)) for statuses in heard.values())
    assert repeated <= kills * len(CHECKS)
