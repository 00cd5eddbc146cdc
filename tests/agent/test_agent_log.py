"""What the agent's log says of runs: each at debug, each change at info, with what it is found by, and no secret."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from smtpcheck.log import LogFormat, LogLevel, configure
from smtpcheck.sandbox.replies import AUTH_UNSUCCESSFUL
from smtpcheck.sandbox.world import World
from tests.worlds.agents import HEALTHY, edit, running
from tests.worlds.logs import log_as_before
from tests.worlds.waiting import until

__all__ = ["log_as_before"]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Return what is logged as JSON from debug on."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    configure(LogLevel.DEBUG, LogFormat.JSON)
    return stream


def runs(log: io.StringIO) -> list[dict[str, object]]:
    entries = [json.loads(line) for line in log.getvalue().splitlines()]
    return [entry for entry in entries if entry["event"] == "run"]


async def test_a_run_is_told_at_debug_and_a_change_at_info(tmp_path: Path, log: io.StringIO) -> None:
    async with World(tmp_path, HEALTHY) as world:
        edit(world.config, lambda document: document["checks"][0].update(interval="1s"))
        async with running(world.config) as agent:
            await until(lambda: len(runs(log)) >= 3)
            before = len(runs(log))
            (address,) = world.exchange.mailboxes
            mailbox = world.exchange.mailboxes[address]
            world.exchange.mailboxes[address] = replace(mailbox, refuses={"AUTH": AUTH_UNSUCCESSFUL})
            await until(lambda: agent.state.checks["healthy"].failures >= 2)
    told = runs(log)
    assert [entry["level"] for entry in told[:before]] == ["info", *["debug"] * (before - 1)]
    changed, *others = [entry for entry in told if entry["outcome"] == "critical"]
    assert {entry["level"] for entry in others} == {"debug"}
    assert changed["level"] == "info"
    assert (changed["check"], changed["phase"], changed["smtp_code"], changed["enhanced_code"]) == (
        *("healthy", "auth", 535, "5.7.3"),
    )
    assert str(changed["server_id"]).count(" ") == 2
    assert isinstance(changed["seconds"], float)


async def test_no_line_of_any_scenario_holds_a_secret(tmp_path: Path, log: io.StringIO) -> None:
    """At the lowest level, with every way to a token and every refusal."""
    async with World(tmp_path) as world:
        async with running(world.config, first_within=1.0) as agent:
            await until(lambda: len(agent.state.checks) == len(world.scenarios))
        secrets = world.secrets()
    text = log.getvalue()
    told = {str(entry["check"]): entry for entry in runs(log)}
    assert told.keys() == world.expected.keys()
    assert [secret for secret in secrets if secret in text] == []
    assert told["secret-expired"]["issuer_correlation_id"]
    assert told["secret-expired"]["issuer_trace_id"]
