"""What is under way during a reload depends on no settings that may go, and once an agent stops it begins nothing."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smtpcheck.agent import loopback as loopback_module
from smtpcheck.agent.agent import Agent
from smtpcheck.agent.on_demand import Busy
from smtpcheck.agent.publish import Publisher
from smtpcheck.check.probe import probe
from smtpcheck.config import Settings
from smtpcheck.loopback.message_state import Stage
from smtpcheck.model.report import Outcome, Report
from smtpcheck.sandbox.world import World
from smtpcheck.state.state import State
from tests.agent.test_agent_loopback import stages, with_loopback
from tests.worlds.agents import HEALTHY, SILENT, edit, running, shown
from tests.worlds.loopback import HEALTHY as SENDING
from tests.worlds.loopback import Searcher, searcher_of_all
from tests.worlds.waiting import until

OTHER = {"name": "other", "depth": "connect", "server": {"host": "localhost"}, "interval": "1h"}


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Searcher:
    """Have all finders look into what the world's service has accepted."""
    return searcher_of_all(monkeypatch)


class Pause:
    """Holds what comes by until it is let go on."""

    def __init__(self) -> None:
        self.reached, self.over = asyncio.Event(), asyncio.Event()

    async def here(self) -> None:
        self.reached.set()
        await self.over.wait()


def drop_all(document: dict[str, Any]) -> None:
    """Have a configuration without the check and its credential."""
    document.update(credentials={}, checks=[OTHER])


async def test_a_run_between_two_steps_of_a_reload_is_a_run_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the new settings are prepared, the old ones are whole."""
    pause, fetch = Pause(), State.fetch

    async def slow(state: State, names: list[str]) -> None:
        await pause.here()
        await fetch(state, names)

    async with World(tmp_path, HEALTHY) as world:
        edit(world.config, lambda document: document["checks"][0].update(interval="1h"))
        async with running(world.config, first_within=3600) as agent:
            await until(agent.ready)
            monkeypatch.setattr(State, "fetch", slow)
            edit(world.config, drop_all)
            reload = asyncio.create_task(agent.reload())
            await pause.reached.wait()
            report = await agent.check_now("healthy")
            pause.over.set()
            assert await reload == ()
            assert "smtpcheck_internal_errors_total 0.0" in await shown(agent)
    assert isinstance(report, Report)
    assert report.outcome is Outcome.OK


async def test_a_reload_does_not_overwrite_a_run_that_ended_while_it_read_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check's rows from before the restart are read while its first run of this one ends."""
    async with World(tmp_path, HEALTHY) as world:
        edit(world.config, lambda document: document["checks"][0].update(interval="1h"))
        async with running(world.config, first_within=3600) as agent:
            await until(agent.ready)
            await agent.check_now("healthy")
        state = await State.kept(agent.settings.agent.state)
        assert state._file
        pause, read = Pause(), state._file.read

        async def slow(sql: str, *args: Any) -> list[Any]:
            rows = await read(sql, *args)
            if "FROM checks" in sql:
                await pause.here()
            return rows

        monkeypatch.setattr(state._file, "read", slow)
        fetching = asyncio.create_task(state.fetch(["healthy"]))
        await pause.reached.wait()
        (check,) = agent.settings.checks
        fresh = Report("healthy", 1_792_000_000.0, 0.1, Outcome.OK)
        state.record(check, fresh)
        pause.over.set()
        await fetching
        assert state.checks["healthy"].report == fresh
        await state.close()


async def test_a_message_that_is_being_sent_when_its_check_goes_is_kept_as_accepted_and_looked_for_later(
    tmp_path: Path, found: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause = Pause()

    async def slow(*args: Any, **kwargs: Any) -> Report:
        report = await probe(*args, **kwargs)
        await pause.here()
        return report

    async with World(tmp_path, (SENDING,)) as world:
        with_loopback(world, warn_after="1h", lost_after="2h")
        found.world = world
        before = world.config.read_text()
        async with running(world.config, first_within=3600) as agent:
            await until(agent.ready)
            monkeypatch.setattr(loopback_module, "probe", slow)
            agent._loopback._send_at["healthy"] = 0.0
            await pause.reached.wait()
            edit(world.config, drop_all)
            assert await agent.reload() == ()
            pause.over.set()
            await agent._loopback.all_sent()
            assert "smtpcheck_internal_errors_total 0.0" in await shown(agent)
            world.config.write_text(before)
            assert await agent.reload() == ()
            await until(lambda: stages(agent) == [Stage.DELIVERED])
        status = agent.loopback("healthy")
        assert status
        assert (status.record.sequence, status.record.sending is not None) == (1, True)
        assert len(world.exchange.messages) == 1


async def test_a_request_that_waited_while_its_check_went_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By that there was no run, for there is no such check any more."""
    pause = Pause()
    async with World(tmp_path, HEALTHY) as world:
        edit(world.config, lambda document: document["checks"][0].update(interval="1h"))
        async with running(world.config, first_within=3600) as agent:
            await until(agent.ready)

            async def hold() -> None:
                async with agent._requests._slots.slot("healthy@contoso.example"):
                    await pause.here()

            holding = asyncio.create_task(hold())
            await pause.reached.wait()
            request = asyncio.create_task(agent.probe_now("healthy", 10.0))
            await asyncio.sleep(0)
            edit(world.config, drop_all)
            assert await agent.reload() == ()
            pause.over.set()
            assert await request == Busy()
            await holding


async def test_an_agent_without_checks_ends_in_good_order(tmp_path: Path) -> None:
    """Also while a run of a check that has gone goes on: that has its own time limit."""
    async with World(tmp_path, SILENT) as world:
        edit(world.config, lambda document: document["checks"][0].update(interval="1h"))
        async with running(world.config, first_within=3600) as agent:
            await until(agent.ready)
            run = asyncio.create_task(agent.check_now("silent"))
            await until(lambda: world.exchange.connections.total() > 0)
            assert await agent._swap(without_checks(agent))
        assert isinstance(await run, Report)


def without_checks(agent: Agent) -> Settings:
    """Return the agent's settings without anything to check."""
    return replace(agent.settings, checks=(), credentials={}, loopbacks={})


async def test_a_stopping_agent_begins_no_run_and_takes_no_settings(tmp_path: Path) -> None:
    async with World(tmp_path, SILENT) as world:
        edit(world.config, lambda document: document["checks"][0].update(interval="1h"))
        async with running(world.config, first_within=3600) as agent:
            await until(agent.ready)
            run = asyncio.create_task(agent.check_now("silent"))
            await until(lambda: world.exchange.connections.total() > 0)
            settings, agent._stopping = agent.settings, True
            assert await agent.check_now("silent") == Busy()
            assert await agent.probe_now("silent", 1.0) == Busy()
            assert [str(problem).split("\n")[0] for problem in await agent.reload()] == ["the agent is stopping"]
            assert agent.settings is settings
            run.cancel()


async def test_an_agent_that_is_stopped_during_a_reload_ends_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old settings stay, and nothing is opened again after the end."""
    pause, fetch = Pause(), State.fetch

    async def slow(state: State, names: list[str]) -> None:
        await pause.here()
        await fetch(state, names)

    async with World(tmp_path, HEALTHY) as world:
        async with running(world.config, first_within=3600) as agent:
            await until(agent.ready)
            monkeypatch.setattr(State, "fetch", slow)
            edit(world.config, drop_all)
            reload = asyncio.create_task(agent.reload())
            await pause.reached.wait()
            settings = agent.settings
            asyncio.get_running_loop().call_later(0.2, pause.over.set)
        assert reload.done()
        assert [problem.message for problem in await reload] == ["the agent is stopping"]
        assert agent.settings is settings


async def test_a_run_that_dies_outside_the_probe_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Report:
        raise KeyError("gone")

    monkeypatch.setattr(Publisher, "ran", broken)
    async with World(tmp_path, HEALTHY) as world:
        edit(world.config, lambda document: document["checks"][0].update(interval="1h"))
        async with running(world.config) as agent:
            await until(lambda: agent._health.internal_errors == 1)
            assert "smtpcheck_internal_errors_total 1.0" in await shown(agent)
            assert not agent._runner.running
