"""Every query of the boards and every rule, on a real Prometheus that scrapes a running agent on the embedded world."""

import asyncio
import json
import math
import re
import time
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from dashboards.remedies import remedies
from smtpcheck.agent import Agent, TooSoon
from smtpcheck.cause import Cause
from smtpcheck.config import load
from smtpcheck.model import Outcome
from smtpcheck.oauth import broker
from smtpcheck.sandbox import replies
from smtpcheck.sandbox.scenarios import SCENARIOS, Registration, Scenario
from smtpcheck.sandbox.world import World
from smtpcheck.web import create_app, serve
from tests.real.prometheus import Prometheus

pytestmark = pytest.mark.asyncio(loop_scope="module")

DASHBOARDS = Path(__file__).parent.parent.parent / "dashboards"
BOARDS = sorted(DASHBOARDS.glob("*.json"))
RULES = sorted(DASHBOARDS.glob("*.rules.yaml"))
NEXT_YEAR = (datetime.now(UTC) + timedelta(days=365)).date().isoformat()
DATED = Scenario(
    "dated",
    "The end of the client secret is configured.",
    registration=Registration("contoso-dated", keys={"client_secret_expires": NEXT_YEAR}),
)
DYING = Scenario(
    "dying", "The client secret ends while a token still holds.", registration=Registration("contoso-dying")
)
BREAKING = Scenario("breaking", "SMTP AUTH is switched off after a first success.")

CHOSEN = {
    "$__rate_interval": "10s",  # at least one run of each check (5 s) and two scrapes (1 s) lie in it
    "$__range": "30s",
    "$job": "smtpcheck",
    **dict.fromkeys(("$instance", "$provider", "$check"), ".*"),
}
"""What Grafana puts in the place of its variables when all is chosen."""


@dataclass(frozen=True)
class Site:
    """A Prometheus that has what the world causes."""

    prometheus: Prometheus
    agent: Agent
    target: str

    async def ask(self, path: str, **parameters: object) -> Any:
        """Return what Prometheus's API answers."""
        url = f"{self.prometheus.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        return await asyncio.to_thread(_get, url)

    async def values(self, expression: str, *, instant: bool) -> list[float]:
        """Return every value of a query, made as Grafana makes it; NaN is none."""
        now = time.time()
        if instant:
            answer = await self.ask("query", query=expression, time=now)
            texts = [series["value"][1] for series in answer["result"]]
        else:
            answer = await self.ask("query_range", query=expression, start=now - 5, end=now, step="1s")
            texts = [value[1] for series in answer["result"] for value in series["values"]]
        return [value for value in map(float, texts) if not math.isnan(value)]


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)["data"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Return a scraped agent on every scenario, after one credential and one mailbox have broken."""
    folder = tmp_path_factory.mktemp("board")
    async with World(folder, (*SCENARIOS, DATED, DYING, BREAKING)) as world:
        again = partial(load, [world.config])
        settings = again().settings
        assert settings
        agent = await Agent.create(settings, again, first_within=1.0)
        stop = asyncio.Event()
        async with serve(create_app(agent), ("127.0.0.1", 0)) as (host, port):
            running = asyncio.create_task(agent.run(stop))
            target = f"{host}:{port}"
            try:
                prometheus = await asyncio.to_thread(Prometheus, folder, target, RULES)
                try:
                    await _break_some(world, agent)
                    await asyncio.to_thread(prometheus.wait_for, _ALL_IS_SCRAPED, 60)
                    yield Site(prometheus, agent, target)
                finally:
                    await asyncio.to_thread(prometheus.stop)
            finally:
                stop.set()
                await running


_ALL_IS_SCRAPED = (
    'smtpcheck_fresh_token_success{credential="contoso-dying"} == 0 '
    'and on () smtpcheck_success{check="breaking"} == 0 '
    "and on () count(smtpcheck_last_run_timestamp_seconds) == count(smtpcheck_check_info) "
    "and on () min(smtpcheck_runs_total{check=~'healthy|slow|secret-expired'}) >= 3"
)


async def _break_some(world: World, agent: Agent) -> None:
    """Let a secret end under a token that still holds, and a mailbox refuse after it has worked."""
    await _until(lambda: len(agent.state.checks) == len(world.scenarios))
    credentials = yaml.safe_load(world.config.read_text())["credentials"]
    client = credentials[DYING.registration.name]["client_id"]
    world.issuer.tenants[0].apps[client].secret_expired = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(broker, "SPACING_SECONDS", 0.0)
        while isinstance(report := await agent.check_now(DYING.name), TooSoon):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert report.outcome is Outcome.WARNING
    mailboxes = world.exchange.mailboxes
    address = next(address for address in mailboxes if address.startswith(BREAKING.name))
    mailboxes[address] = replace(mailboxes[address], refuses={"AUTH": replies.SMTP_AUTH_DISABLED_TENANT})


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def filled(expression: str, **chosen: str) -> str:
    """Return a query with its variables replaced, as Grafana does it."""
    for name, value in {**CHOSEN, **{f"${key}": text for key, text in chosen.items()}}.items():
        expression = re.sub(rf"{re.escape(name)}\b", value, expression)
    assert "$" not in expression, expression
    return expression


def parts() -> list[tuple[str, str, bool]]:
    """Return panel, expression and whether it is an instant query, for each alternative of each query."""
    return [
        (f"{panel['title']} {target['refId']}", part, target["instant"])
        for board in BOARDS
        for panel in json.loads(board.read_text())["panels"]
        for target in panel.get("targets", ())
        for part in dict.fromkeys((target["expr"], *target["expr"].split("\nor\n")))
    ]


async def test_every_query_of_every_panel_has_data(site: Site) -> None:
    """As Grafana asks: at an instant or over a range, each alternative of its own too; NaN is no data."""
    await asyncio.to_thread(site.prometheus.wait_for, filled(_LATEST))
    asked = [(name, filled(expression), instant) for name, expression, instant in parts()]
    assert [name for name, query, instant in asked if not await site.values(query, instant=instant)] == []


_LATEST = "max(histogram_quantile(0.95, sum by (le) (rate(smtpcheck_phase_seconds_bucket[$__rate_interval])))) > 0"


async def test_a_choice_narrows_every_query_that_names_it(site: Site) -> None:
    """A provider, check or agent that does not exist leaves none of its queries anything to show."""
    for variable in ("job", "instance", "provider", "check"):
        asked = [
            (name, filled(expression, **{variable: "none-such"}), instant)
            for name, expression, instant in parts()
            if f"${variable}" in expression and "\nor\n" not in expression
        ]
        assert asked
        assert [name for name, query, instant in asked if await site.values(query, instant=instant)] == []


async def test_every_variable_has_the_values_of_its_label(site: Site) -> None:
    found: dict[str, set[str]] = {}
    for board in BOARDS:
        for variable in json.loads(board.read_text())["templating"]["list"]:
            if variable["type"] == "query":
                match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"])
                assert match
                values = await site.ask(f"label/{match[2]}/values", **{"match[]": filled(match[1])})
                found.setdefault(variable["name"], set()).update(values)
    assert found == {
        "job": {"smtpcheck"},
        "instance": {site.target},
        "provider": {"microsoft"},
        "check": set(site.agent.state.checks),
    }


async def test_the_numbers_on_top_are_those_of_the_agent(site: Site) -> None:
    """Counts by outcome, credentials without a token and on their last one, agents that are not scraped."""
    wanted = {"Checks", "Credentials without a token", "Credentials on their last token", "Agents not scraped"}
    queries = {name.removesuffix(" A"): filled(text) for name, text, _ in parts() if name.removesuffix(" A") in wanted}
    seen = {
        title: {
            labels.get("outcome", ""): value for labels, value in await asyncio.to_thread(site.prometheus.query, query)
        }
        for title, query in queries.items()
    }
    outcomes = [state.report.outcome for state in site.agent.state.checks.values()]
    assert outcomes.count(Outcome.CRITICAL) > 1
    assert seen == {
        "Checks": {outcome.value: float(outcomes.count(outcome)) for outcome in Outcome},
        "Credentials without a token": {"": float(sum(not one.success for one in site.agent.credentials()))},
        "Credentials on their last token": {"": 1.0},
        "Agents not scraped": {"": 0.0},
    }


async def test_each_failing_check_is_one_row_of_the_table(site: Site) -> None:
    """With the seconds since its last success, or -1 where it has had none."""
    (query,) = (text for name, text, _ in parts() if name == "Failing checks A" and "\nor\n" in text)
    rows = await asyncio.to_thread(site.prometheus.query, filled(query))
    checks = site.agent.state.checks
    critical = {name: state for name, state in checks.items() if state.report.outcome is Outcome.CRITICAL}
    assert len(rows) == len(critical)
    assert {labels["check"]: labels["cause"] for labels, _ in rows} == {
        name: state.report.cause for name, state in critical.items()
    }
    never = {labels["check"] for labels, value in rows if value == -1}
    assert never == {name for name, state in critical.items() if state.last_success_at is None}
    assert never == set(critical) - {BREAKING.name}


async def test_prometheus_evaluates_every_rule(site: Site) -> None:
    """Each is evaluated without error, and the texts of those that hold are rendered without one."""

    async def rules() -> list[dict[str, Any]]:
        return [rule for group in (await site.ask("rules"))["groups"] for rule in group["rules"]]

    async with asyncio.timeout(20):
        while any(rule["health"] == "unknown" for rule in await rules()):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    found = await rules()
    assert {rule["name"]: rule.get("lastError", "") for rule in found if rule["health"] != "ok"} == {}
    alerts = [alert["annotations"] for rule in found for alert in rule.get("alerts", ())]
    assert [text for texts in alerts for text in texts.values() if "<error" in text] == []
    (breaking,) = (texts for texts in alerts if texts["summary"] == "The check breaking fails.")
    assert breaking["runbook"] == remedies()[Cause.SMTP_AUTH_DISABLED_TENANT]
    assert breaking["runbook_url"] == f"http://{site.target}/checks/breaking"
