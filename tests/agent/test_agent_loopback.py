"""The agent and its loopbacks: what they say of a check is laid over its report, and shown at once."""

from pathlib import Path

import pytest
import yaml

from smtpcheck.agent.agent import Agent
from smtpcheck.loopback.finder import FinderError, FinderStep, FolderKind
from smtpcheck.loopback.message_state import Stage
from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome
from smtpcheck.sandbox.scenario import RECIPIENT, Scenario
from smtpcheck.sandbox.world import World
from tests.worlds.agents import edit, running, shown
from tests.worlds.loopback import HEALTHY, Searcher, searcher_of_all
from tests.worlds.waiting import until

LOOPBACK = {
    "every": "1h",
    "to": RECIPIENT,
    "find": {"via": "imap", "server": {"host": "127.0.0.1"}},
    "warn_after": "2s",
    "lost_after": "3s",
}


def with_loopback(world: World, **keys: object) -> None:
    """Give the world's check a loopback, and an interval that is much longer than the test."""
    edit(
        world.config,
        lambda document: document["checks"][0].update(interval="1h", loopback={**LOOPBACK, **keys}),
    )


def outcome(agent: Agent) -> Outcome | None:
    """Return what came out of the check, None before its first run."""
    state = agent.state.checks.get("healthy")
    return state.report.outcome if state else None


def stages(agent: Agent) -> list[Stage]:
    """Return where the check's messages stand."""
    loopback_status = agent.loopback("healthy")
    return [message.stage for message in loopback_status.record.messages] if loopback_status else []


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Searcher:
    """Have all finders look into what the world's service has accepted."""
    return searcher_of_all(monkeypatch)


async def test_a_message_is_sent_found_and_shown(tmp_path: Path, found: Searcher) -> None:
    async with World(tmp_path, (HEALTHY,)) as world:
        with_loopback(world)
        found.world = world
        async with running(world.config) as agent:
            await until(lambda: stages(agent) == [Stage.DELIVERED] and found.gone != set())
            await until(lambda: not agent._loopback.search.searches)
            metrics = await shown(agent)
            for line in (
                'smtpcheck_loopback_success{check="healthy"} 1',
                'smtpcheck_loopback_found_total{check="healthy"} 1',
                'smtpcheck_loopback_folder_info{check="healthy",folder="inbox"} 1',
                'smtpcheck_loopback_finder_success{check="healthy"} 1',
                'smtpcheck_loopback_seconds_count{provider="microsoft"} 1.0',
                'smtpcheck_success{check="healthy"} 1',
            ):
                assert line in metrics
            assert agent.loopback("nobody") is None
        async with running(world.config) as again:
            await until(again.ready)
            assert 'smtpcheck_loopback_found_total{check="healthy"} 1' in await shown(again)
            assert len(world.exchange.messages) == 1


async def test_lost_mail_is_critical_at_once_and_resolves_at_once(tmp_path: Path, found: Searcher) -> None:
    """No run of the check is waited for; none is counted for it."""
    async with World(tmp_path, (HEALTHY,)) as world:
        with_loopback(world)
        found.world, found.kinds = world, ()
        async with running(world.config) as agent:
            await until(lambda: outcome(agent) is Outcome.CRITICAL)
            state = agent.state.checks["healthy"]
            assert (state.report.cause, state.runs, state.failure is state.report) == (Cause.MAIL_LOST, 1, True)
            metrics = await shown(agent)
            assert 'smtpcheck_failure_info{check="healthy",phase="delivery",cause="mail_lost"' in metrics
            assert 'smtpcheck_success{check="healthy"} 0' in metrics
            found.kinds = (FolderKind.INBOX,)
            for box in agent._loopback.search.mailboxes.values():
                box.due_at = 0.0
            await until(lambda: outcome(agent) is not Outcome.CRITICAL)
            state = agent.state.checks["healthy"]
            assert (state.runs, [each.cause for each in state.report.warnings]) == (1, [Cause.MAIL_LATE])
            assert state.failure
            assert state.failure.cause is Cause.MAIL_LOST


async def test_a_refused_message_is_the_checks_failure_and_not_its_refusal(tmp_path: Path, found: Searcher) -> None:
    """The check logs in at its interval as before; only the loopback waits."""
    scenario = Scenario("healthy", "Refuses.", refuses={"DATA": "550 5.2.252 Sender throttled"})
    async with World(tmp_path, (scenario,)) as world:
        with_loopback(world)
        found.world = world
        async with running(world.config) as agent:
            await until(lambda: outcome(agent) is Outcome.CRITICAL)
            state = agent.state.checks["healthy"]
            assert state.report.failed_reply
            assert (state.report.failed_reply.code, state.breaker.until) == (550, None)
            loopback_status = agent.loopback("healthy")
            assert loopback_status
            assert loopback_status.record.breaker.until


async def test_a_finder_without_login_is_a_warning(tmp_path: Path, found: Searcher) -> None:
    async with World(tmp_path, (HEALTHY,)) as world:
        with_loopback(world)
        found.world, found.error = world, FinderError(FinderStep.LOGIN, "no", "AUTHENTICATIONFAILED")
        async with running(world.config) as agent:
            await until(lambda: outcome(agent) is Outcome.WARNING)
            warnings = agent.state.checks["healthy"].report.warnings
            assert [finding.cause for finding in warnings] == [Cause.FINDER_FAILED]
            assert 'smtpcheck_loopback_finder_success{check="healthy"} 0' in await shown(agent)


async def test_an_account_that_locks_the_loopback_out_is_left_alone_by_the_check_too(
    tmp_path: Path, found: Searcher
) -> None:
    """The check has not run yet, and would be due before that: what it does not know holds it back all the same."""
    scenario = Scenario(
        "healthy", "Locked.", refuses={"AUTH": "535 5.7.139 Authentication unsuccessful, account is locked"}
    )
    async with World(tmp_path, (scenario,)) as world:
        with_loopback(world)
        found.world = world
        async with running(world.config, first_within=3600.0) as agent:
            await until(agent.ready)
            due_at = agent.next_run("healthy")
            assert due_at
            agent._loopback._send_at["healthy"] = 0.0
            await until(lambda: agent._loopback.record("healthy").sending is not None)
            held_until = agent.state.breaker("healthy").until
            assert held_until
            assert due_at < held_until <= (agent.next_run("healthy") or 0.0)
            assert (world.exchange.logins.total(), dict(agent.state.checks)) == (1, {})


async def test_a_loopback_comes_and_goes_by_a_reload(tmp_path: Path, found: Searcher) -> None:
    async with World(tmp_path, (HEALTHY,)) as world:
        document = yaml.safe_load(world.config.read_text())
        with_loopback(world)
        found.world = world
        async with running(world.config) as agent:
            await until(lambda: len(world.exchange.messages) == 1)
            world.config.write_text(yaml.safe_dump(document))
            assert await agent.reload() == ()
            assert agent.loopback("healthy") is None
            assert "smtpcheck_loopback_sent_total" not in await shown(agent)
            with_loopback(world)
            assert await agent.reload() == ()
            assert 'smtpcheck_loopback_sent_total{check="healthy"} 1' in await shown(agent)
        assert len(world.exchange.messages) == 1
