"""Every query of the boards and every rule, on a real Prometheus that scrapes a running agent on the embedded world."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from dashboards import BOARDS
from dashboards.remedies import remedies
from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome
from tests.real.watched_site import BREAKING, DASHBOARDS, DATED, MONTH, SIGNED_IN, Site, watched_site
from tests.worlds.waiting import HANG_SECONDS

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHOSEN = {
    "$__rate_interval": "1m",  # unless the panel has an interval: a run of each check and a message found are in it
    "$__range": "7d",
    "$job": "smtpcheck",
    **dict.fromkeys(("$instance", "$provider", "$check", "$credential"), ".*"),
}
"""What Grafana puts in the place of its variables when all is chosen."""

ONE_CHECK = "smtpcheck-check.json"
ITS_CHECKS = (
    *(BREAKING.name, "slow", "healthy-certificate", DATED.name, SIGNED_IN.name),
    *("mail-in-junk", "mail-bounced", "graph-healthy"),
)
"""Of which each panel of that board shows at least one: no check has all kinds of trouble and of credentials."""


@dataclass(frozen=True)
class Part:
    """One of the alternatives of one query of one panel."""

    board: str
    panel: str
    letter: str
    expression: str
    instant: bool
    interval: str
    """The least distance of points that the panel wants."""

    @property
    def name(self) -> str:
        """Return what a failing test says of it."""
        return f"{self.board} {self.panel} {self.letter}: {self.expression}"

    async def values(self, site: Site, **chosen: str) -> list[float]:
        """Return every value that Grafana would show."""
        if self.interval:
            chosen = {"__rate_interval": self.interval, **chosen}
        return await site.values(filled(self.expression, **chosen), seconds=0 if self.instant else 5)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with watched_site(tmp_path_factory.mktemp("board")) as site:
        yield site


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each board's name and JSON."""
    for name in BOARDS:
        yield name, json.loads((DASHBOARDS / name).read_text())


def filled(expression: str, **chosen: str) -> str:
    """Return a query with its variables replaced, as Grafana does it."""
    for name, value in {**CHOSEN, **{f"${key}": text for key, text in chosen.items()}}.items():
        expression = re.sub(rf"{re.escape(name)}\b", value, expression)
    assert "$" not in expression, expression
    return expression


def parts() -> list[Part]:
    """Return each query and each of its alternatives, where they are not the argument of something else."""
    return [
        Part(name, panel["title"], target["refId"], expression, target["instant"], panel.get("interval", ""))
        for name, board in documents()
        for panel in board["panels"]
        for target in panel.get("targets", ())
        for expression in dict.fromkeys((target["expr"], *target["expr"].split("\nor\n")))
        if expression.count("(") == expression.count(")")
    ]


def query(board: str, panel: str) -> str:
    """Return the first query of a panel, filled."""
    (expression,) = {
        target["expr"]
        for name, document in documents()
        for shown in document["panels"]
        for target in shown.get("targets", ())
        if (name, shown["title"], target["refId"]) == (board, panel, "A")
    }
    return filled(expression)


async def test_every_query_of_every_panel_has_data(site: Site) -> None:
    """As Grafana asks: at an instant or over a range, each alternative of its own too; NaN is no data."""
    await asyncio.to_thread(site.prometheus.wait_for, filled(_LATEST))
    empty = []
    for part in parts():
        checks = ITS_CHECKS if part.board == ONE_CHECK else (".*",)
        if not any([await part.values(site, check=check) for check in checks]):
            empty.append(part.name)
    assert empty == []


_LATEST = "max(histogram_quantile(0.95, sum by (le) (rate(smtpcheck_phase_seconds_bucket[$__rate_interval])))) > 0"


async def test_every_legend_is_made_of_labels_that_its_series_have(site: Site) -> None:
    """One that a series lacks would stand there by its name."""
    for name, board in documents():
        targets = [target for panel in board["panels"] for target in panel.get("targets", ())]
        for target in targets:
            labels = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            check = BREAKING.name if name == ONE_CHECK else ".*"
            answer = await site.ask("query", query=filled(target["expr"], check=check))
            assert [one["metric"] for one in answer["result"] if not labels <= set(one["metric"])] == [], target["expr"]


async def test_a_choice_narrows_every_query_that_names_it(site: Site) -> None:
    """A provider, check, credential or agent that does not exist leaves none of its queries anything to show."""
    for variable in ("job", "instance", "provider", "check", "credential"):
        asked = [part for part in parts() if f"${variable}" in part.expression and "\nor\n" not in part.expression]
        assert asked
        assert [part.name for part in asked if await part.values(site, **{variable: "none-such"})] == []


async def test_every_variable_has_the_values_of_its_label(site: Site) -> None:
    wanted = {
        "job": {"smtpcheck"},
        "instance": {site.target},
        "provider": {check.provider for check in site.agent.settings.checks},
        "check": set(site.agent.state.checks),
        "credential": {each.name for each in site.agent.credentials()},
    }
    variables = {
        variable["name"]: re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"])
        for _, board in documents()
        for variable in board["templating"]["list"]
        if variable["type"] == "query"
    }
    assert variables.keys() == wanted.keys()
    for name, match in variables.items():
        assert match
        async with asyncio.timeout(HANG_SECONDS):  # an inspector gets its first token with its first questions
            question = {"match[]": filled(match[1])}
            while set(await site.ask(f"label/{match[2]}/values", **question)) != wanted[name]:  # noqa: ASYNC110
                await asyncio.sleep(0.2)


async def test_every_annotation_shows_what_has_happened(site: Site) -> None:
    """Grafana draws where a value is above 0, and writes the labels that its text names."""
    for name, board in documents():
        assert board["annotations"]["list"]
        for annotation in board["annotations"]["list"]:
            expression = filled(annotation["expr"], check=BREAKING.name if name == ONE_CHECK else ".*")
            assert any(value > 0 for value in await site.values(expression, seconds=900)), (name, annotation["name"])
            series = await site.ask("query", query=expression)
            labels = set(re.findall(r"{{(\w+)}}", annotation["titleFormat"]))
            assert all(labels <= set(one["metric"]) for one in series["result"]), (name, annotation["name"])


async def test_the_objective_can_be_seen_over_a_month(site: Site) -> None:
    expression = 'check:smtpcheck_success:avg1h{check="healthy"}'
    assert len(await site.values(expression, seconds=MONTH - 86400, step=300)) > 28 * 24
    (month,) = await asyncio.to_thread(site.prometheus.query, 'check:smtpcheck_success:avg30d{check="healthy"}')
    assert month[1] == 1


async def test_the_numbers_on_top_are_those_of_the_agent(site: Site) -> None:
    """Counts by outcome, credentials without a token and on their last one, agents that are not scraped."""

    async def shown(title: str) -> dict[str, float]:
        rows = await asyncio.to_thread(site.prometheus.query, query("smtpcheck-overview.json", title))
        return {labels.get("outcome", ""): value for labels, value in rows}

    def outcomes() -> dict[str, float]:
        found = [state.report.outcome for state in site.agent.state.checks.values()]
        return {outcome.value: float(found.count(outcome)) for outcome in Outcome}

    assert outcomes()["critical"] > 1
    async with asyncio.timeout(HANG_SECONDS):  # what the provider says of a mailbox may change an outcome after a run
        while await shown("Checks") != outcomes():  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    credentials = [each.success for each in site.agent.credentials()]
    assert await shown("Without a token") == {"": float(credentials.count(False))}
    assert await shown("Renewal failing") == {"": 1.0}
    assert await shown("Agents down") == {"": 1.0}


async def test_each_failing_check_is_one_row_of_the_table(site: Site) -> None:
    """With the seconds since its last success, or -1 where it has had none."""
    rows = await asyncio.to_thread(site.prometheus.query, query("smtpcheck-overview.json", "Failing checks"))
    checks = site.agent.state.checks
    critical = {name: state for name, state in checks.items() if state.report.outcome is Outcome.CRITICAL}
    assert len(rows) == len(critical)
    assert {labels["check"]: labels["cause"] for labels, _ in rows} == {
        name: state.report.cause for name, state in critical.items()
    }
    never = {labels["check"] for labels, value in rows if value == -1}
    assert never == {name for name, state in critical.items() if state.last_success_at is None}
    assert never == set(critical) - {
        BREAKING.name,
        "mail-lost",
        "mail-bounced",
        "mail-bounced-dmarc",
        "mail-quarantined",
    }


async def test_prometheus_evaluates_every_rule(site: Site) -> None:
    """Each is evaluated without error, and the texts of those that hold are rendered without one."""

    async def rules() -> list[dict[str, Any]]:
        return [rule for group in (await site.ask("rules"))["groups"] for rule in group["rules"]]

    async with asyncio.timeout(HANG_SECONDS):
        while any(rule["health"] == "unknown" for rule in await rules()):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    found = await rules()
    assert {rule["name"]: rule.get("lastError", "") for rule in found if rule["health"] != "ok"} == {}
    alerts = [alert["annotations"] for rule in found for alert in rule.get("alerts", ())]
    assert [text for texts in alerts for text in texts.values() if "<error" in text] == []
    (breaking,) = (texts for texts in alerts if texts["summary"] == "The check breaking fails.")
    assert breaking["runbook"] == remedies()[Cause.SMTP_AUTH_DISABLED_TENANT]
    assert breaking["runbook_url"] == f"http://{site.target}/checks/breaking"
