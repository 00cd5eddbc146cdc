"""A running agent on the embedded world, scraped each second by a real Prometheus that also has a month of history."""

import asyncio
import json
import math
import time
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from smtpcheck.agent.agent import Agent
from smtpcheck.config import load
from smtpcheck.model.report import Outcome, Report
from smtpcheck.oauth import broker
from smtpcheck.sandbox import replies
from smtpcheck.sandbox.scenario import CredentialKind, Registration, Scenario
from smtpcheck.sandbox.scenarios import SCENARIOS
from smtpcheck.sandbox.world import World
from smtpcheck.web import create_app, serve
from tests.real.daemon import free_port
from tests.real.prometheus import Prometheus
from tests.worlds.agents import edit, unhurried
from tests.worlds.waiting import until

DASHBOARDS = Path(__file__).parent.parent.parent / "dashboards"
RULES = sorted(DASHBOARDS.glob("*.rules.yaml"))

_NEXT_YEAR = (datetime.now(UTC) + timedelta(days=365)).date().isoformat()
DATED = Scenario(
    "dated",
    "The end of the client secret is configured.",
    registration=Registration("contoso-dated", keys={"client_secret_expires": _NEXT_YEAR}),
)
SIGNED_IN = Scenario(
    "signed-in",
    "A user's refresh token lives for 90 days.",
    registration=Registration("contoso-signed-in", CredentialKind.USER, keys={"lifetime": "90d"}),
)
DYING = Scenario(
    "dying", "The client secret ends while a token still holds.", registration=Registration("contoso-dying")
)
BREAKING = Scenario("breaking", "SMTP AUTH is switched off after a first success.")

MONTH = 30 * 86400.0
_HOURLY = {
    "smtpcheck_success": 1,
    "check:smtpcheck_success:avg5m": 1,
    "check:smtpcheck_success:avg1h": 1,
    "check:smtpcheck_duration_seconds:avg1h": 0.05,
}
"""What the history has of each check at each full hour; so the long windows of the rules hold."""


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

    async def values(self, expression: str, *, seconds: float = 0.0, step: float = 1.0) -> list[float]:
        """Return every value of a query, at an instant or over the last seconds; NaN is none."""
        now = time.time()
        if seconds:
            answer = await self.ask("query_range", query=expression, start=now - seconds, end=now, step=step)
            texts = [value[1] for series in answer["result"] for value in series["values"]]
        else:
            answer = await self.ask("query", query=expression, time=now)
            texts = [series["value"][1] for series in answer["result"]]
        return [value for value in map(float, texts) if not math.isnan(value)]


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)["data"]


@asynccontextmanager
async def watched_site(folder: Path) -> AsyncIterator[Site]:
    """Yield a scraped agent on every scenario, after one credential and one mailbox have broken; one agent is down."""
    async with World(folder, (*SCENARIOS, DATED, SIGNED_IN, DYING, BREAKING)) as world:
        unhurried(world)
        edit(world.config, lambda document: document.update(alerts={"notify": [{"type": "log"}]}))
        again = partial(load, [world.config])
        settings = again().settings
        assert settings
        agent = await Agent.create(settings, again, first_within=1.0)
        async with serve(create_app(agent), ("127.0.0.1", 0)) as (host, port):
            target, down = f"{host}:{port}", f"{host}:{free_port()}"
            history = _history([check.name for check in settings.checks], target)
            start = partial(Prometheus, folder, target, down, rules=RULES, history=history)
            prometheus = await asyncio.to_thread(start)
            stop = asyncio.Event()
            try:
                await asyncio.to_thread(prometheus.wait_for, "up == 1")
                running = asyncio.create_task(agent.run(stop))
                try:
                    await until(lambda: len(agent.state.checks) == len(world.scenarios))
                    await _break_some(world, agent)
                    assert await agent.reload() == ()
                    await asyncio.to_thread(prometheus.wait_for, _ALL_IS_SCRAPED)
                    yield Site(prometheus, agent, target)
                finally:
                    stop.set()
                    await running
            finally:
                await asyncio.to_thread(prometheus.stop)


_ALL_IS_SCRAPED = (
    'smtpcheck_fresh_token_success{credential="contoso-dying"} == 0 '
    'and on () smtpcheck_success{check="breaking"} == 0 '
    "and on () count(smtpcheck_last_run_timestamp_seconds) == count(smtpcheck_check_info) "
    "and on () min(smtpcheck_runs_total{check=~'healthy|slow|secret-expired'}) >= 3 "
    "and on () smtpcheck_outcome{check='drift',outcome='warning'} == 1 "
    "and on () smtpcheck_loopback_late_total{check='mail-late'} >= 1"
)


def _history(checks: Sequence[str], target: str) -> str:
    """Return a month in which every check has worked, in OpenMetrics."""
    first = int(time.time() - MONTH) // 3600 * 3600
    lines = []
    for name, value in _HOURLY.items():
        lines.append(f"# TYPE {name} gauge\n")
        for check in checks:
            series = f'{name}{{check="{check}",instance="{target}",job="smtpcheck"}} {value}'
            lines += [f"{series} {when}\n" for when in range(first, int(time.time()), 3600)]
    return "".join([*lines, "# EOF\n"])


async def _break_some(world: World, agent: Agent) -> None:
    """Let a secret end under a token that still holds, and a mailbox refuse after it has worked."""
    credentials = yaml.safe_load(world.config.read_text())["credentials"]
    client = credentials[DYING.registration.name]["client_id"]
    world.issuer.tenants[0].apps[client].secret_expired = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(broker, "SPACING_SECONDS", 0.0)
        while not isinstance(report := await agent.check_now(DYING.name), Report):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert report.outcome is Outcome.WARNING
    mailboxes = world.exchange.mailboxes
    address = next(address for address in mailboxes if address.startswith(BREAKING.name))
    mailboxes[address] = replace(mailboxes[address], refuses={"AUTH": replies.SMTP_AUTH_DISABLED_TENANT})
