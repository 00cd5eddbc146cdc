"""An agent that sends is killed at any moment, again and again: nothing is sent twice, forgotten, or counted anew.

What was sent is counted at the SMTP server. `make soak` does it two hundred times.
"""

import os
import random
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from smtpcheck.agent.agent import Agent
from smtpcheck.loopback import message_state
from smtpcheck.loopback.message_state import Message, Stage
from smtpcheck.mail.correlation_id import CorrelationIds
from smtpcheck.sandbox.scenario import CONTOSO_MAIL, DOMAIN, Scenario
from smtpcheck.sandbox.world import World
from smtpcheck.state.serialization import unpack_as
from smtpcheck.state.signing_key import load_signing_key
from tests.worlds.agents import edit, running, shown
from tests.worlds.kills import killed_after, moments
from tests.worlds.loopback import correlation_ids_of
from tests.worlds.waiting import until

KILLS = int(os.environ.get("SMTPCHECK_KILLS", "15"))
CAP = 120
LOOPBACK = {
    "to": f"probe@{DOMAIN}",
    "every": "1s",
    "warn_after": "5s",
    "lost_after": "1m",
    "max_per_hour": CAP,
    "max_per_day": 1000,
}
SCENARIOS = tuple(
    Scenario(name, "Sends each second.", check={"loopback": LOOPBACK, "interval": "1h"}, registration=CONTOSO_MAIL)
    for name in ("one", "two")
)


def kept(folder: Path) -> tuple[list[Message], int]:
    """Return the messages that the file knows, and how many it counts as sent."""
    connection = sqlite3.connect(folder / "state.db")
    try:
        packed = connection.execute("SELECT message FROM messages").fetchall()
        counted = connection.execute("SELECT count(*) FROM sent").fetchone()[0]
    finally:
        connection.close()
    return [unpack_as(row[0], Message) for row in packed], counted


def messages(agent: Agent) -> list[Message]:
    """Return all messages that the agent knows."""
    standings = [agent.loopback(scenario.name) for scenario in SCENARIOS]
    return [message for loopback_status in standings if loopback_status for message in loopback_status.record.messages]


@pytest.mark.parametrize("seed", [2026])
async def test_a_kill_at_any_moment_sends_nothing_twice_and_forgets_nothing(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    async with World(tmp_path, SCENARIOS) as world:
        accepted, kills = world.exchange.messages, 0
        for seconds in moments(chance, (0.1, 1.2), KILLS, lambda: len(accepted) > KILLS / 2):
            await killed_after(seconds, "tests.agent.loopback_sender", world.config)
            kills += 1
        sent = Counter(correlation_ids_of(message.content) for message in accepted)
        known, counted = kept(tmp_path / "state")
        key = load_signing_key(tmp_path / "state")
        numbers = Counter((read.check, read.sequence) for mark in sent if (read := CorrelationIds(key).read(mark)))
        assert len(sent) > KILLS / 2
        assert (set(sent.values()), set(numbers.values()), numbers.total()) == ({1}, {1}, len(sent))
        assert set(sent) <= {message.mark for message in known}
        assert len({(message.check, message.slot) for message in known}) == len(known)
        assert len(sent) <= len(known) <= counted <= min(len(known) + kills, CAP)
        await all_are_found(world, set(sent), monkeypatch)
        await the_cap_is_still_known(world, counted)


async def all_are_found(world: World, sent: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that lives on finds every message, and says of the others that it is unknown whether they were sent."""
    monkeypatch.setattr(message_state, "KEPT_MESSAGES", 100_000)
    edit(world.config, lambda document: [check["loopback"].update(every="1h") for check in document["checks"]])
    async with running(world.config, first_within=60.0) as agent:
        await until(lambda: sent <= {each.mark for each in messages(agent) if each.stage is Stage.DELIVERED})
        others = {message.stage for message in messages(agent) if message.mark not in sent}
        assert others <= {Stage.UNCERTAIN, Stage.DELIVERED}


async def the_cap_is_still_known(world: World, counted: int) -> None:
    """With a cap that is used up by what was sent before, not a single message more is sent."""
    before = len(world.exchange.messages)
    edit(
        world.config,
        lambda document: [
            check["loopback"].update(every="1s", max_per_hour=max(1, counted // len(SCENARIOS) // 2))
            for check in document["checks"]
        ],
    )
    async with running(world.config) as agent:
        await until(lambda: agent._loopback.capped >= len(SCENARIOS))
        assert 'smtpcheck_runs_skipped_total{reason="cap"} 0.0' not in await shown(agent)
    assert len(world.exchange.messages) == before
