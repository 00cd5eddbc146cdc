"""One channel for all news of a check: in which order it is taken, and that a loopback's news waits for no run."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import structs

from smtpcheck.agent.inspecting import InspectionService
from smtpcheck.agent.publish import Publisher
from smtpcheck.loopback.finder import FolderKind
from smtpcheck.loopback.message_state import Record
from smtpcheck.loopback.status import LoopbackStatus
from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome
from smtpcheck.sandbox.world import World
from smtpcheck.state.inspections import InspectionRows
from smtpcheck.state.state import State
from tests.agent.test_agent_loopback import LOOPBACK
from tests.worlds.agents import edit, running
from tests.worlds.loopback import HEALTHY, PLAN, Searcher, searcher_of_all
from tests.worlds.samples import BILLING, report
from tests.worlds.waiting import until

GOOD = report()
FAILED = structs.replace(GOOD, outcome=Outcome.CRITICAL, cause=Cause.MAIL_LOST)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Searcher:
    """Have all finders look into what the world's service has accepted."""
    return searcher_of_all(monkeypatch)


async def test_lost_mail_raises_an_alert_at_once_and_resolves_it_at_once(tmp_path: Path, found: Searcher) -> None:
    """With an interval of a day: no run of the check is waited for."""
    async with World(tmp_path, (HEALTHY,)) as world:

        def change(document: dict[str, Any]) -> None:
            document["checks"][0].update(interval="24h", loopback=LOOPBACK)
            document["alerts"] = {"notify": [{"type": "log"}]}

        edit(world.config, change)
        found.world, found.kinds = world, ()
        async with running(world.config) as agent:
            await until(lambda: "healthy" in agent.state.checks)
            assert agent.alerting.of_check("healthy") == []
            await until(lambda: agent.state.checks["healthy"].report.cause is Cause.MAIL_LOST)
            assert Cause.MAIL_LOST in {alert.cause for alert in agent.alerting.of_check("healthy")}
            assert agent.state.checks["healthy"].runs == 1
            found.kinds = (FolderKind.INBOX,)
            for box in agent._loopback.search.mailboxes.values():
                box.due_at = 0.0
            await until(lambda: agent.state.checks["healthy"].report.cause is None)
            assert Cause.MAIL_LOST not in {alert.cause for alert in agent.alerting.of_check("healthy")}


class Sinks:
    """Notes which sink takes what, in order; the state is a true one."""

    def __init__(self) -> None:
        self.took: list[object] = []
        self.state = State()
        self.status: LoopbackStatus | None = None
        for name in ("record", "amend"):
            setattr(self.state, name, partial(self._pass_on, getattr(self.state, name), f"state.{name}"))
        took = self._take
        metrics = SimpleNamespace(record=took("metrics.record"), show=took("metrics.show"), observe_lag=took("lag"))
        metrics.record_loopback = took("metrics.record_loopback")
        alerting = SimpleNamespace(observe=lambda *_, amends: self.took.append(("alerts", amends)))
        tracer = SimpleNamespace(new_id=lambda: "1f", record=took("trace"))
        parts: Any = (self.state, metrics, alerting, tracer)
        inspection = InspectionService(InspectionRows(None), lambda _name: None)
        self.publisher = Publisher(
            *parts, loopback_status=lambda _: self.status, inspection=inspection, wall=lambda: 0.0
        )

    def _take(self, name: str) -> Callable[..., None]:
        return lambda *_: self.took.append(name)

    def _pass_on(self, function: Callable[..., object], name: str, *args: object) -> object:
        self.took.append(name)
        return function(*args)


def test_a_run_goes_to_state_metrics_alerts_and_trace_in_this_order() -> None:
    sinks = Sinks()
    assert sinks.publisher.ran(BILLING, GOOD, lag=0.5) is GOOD
    assert sinks.took == ["lag", "state.record", "metrics.record", ("alerts", None), "trace"]


def test_news_of_the_last_run_go_the_same_way_and_count_no_run() -> None:
    sinks = Sinks()
    sinks.publisher.ran(BILLING, GOOD)
    sinks.took.clear()
    sinks.publisher.publish(BILLING, FAILED)
    assert sinks.took == ["state.amend", "metrics.show", ("alerts", GOOD)]
    assert (sinks.state.checks["billing"].report, sinks.state.checks["billing"].runs) == (FAILED, 1)


def test_news_of_a_check_that_has_not_run_go_nowhere() -> None:
    sinks = Sinks()
    sinks.publisher.publish(BILLING, FAILED)
    assert (sinks.took, dict(sinks.state.checks)) == (["state.amend"], {})


def test_a_loopbacks_news_replaces_the_report_until_it_says_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """What says the same as before goes nowhere, and a loopback that a reload drops takes its news with it."""
    sinks, said = Sinks(), [GOOD]
    monkeypatch.setattr("smtpcheck.agent.publish.merged", lambda *_: said[0])
    sinks.status = LoopbackStatus(PLAN, Record())
    assert sinks.publisher.ran(BILLING, GOOD) is GOOD
    sinks.took.clear()
    sinks.publisher.loopback_changed(BILLING)
    said[0] = FAILED
    sinks.publisher.loopback_changed(BILLING)
    sinks.status = None
    sinks.publisher.replace({BILLING.name: BILLING}, [BILLING.name])
    assert sinks.took == [
        "metrics.record_loopback",
        *("metrics.record_loopback", "state.amend", "metrics.show", ("alerts", GOOD)),
        *("state.amend", "metrics.show", ("alerts", FAILED)),
    ]
    assert sinks.state.checks["billing"].report == GOOD
    sinks.publisher.loopback_changed(BILLING)
    assert len(sinks.took) == 8
