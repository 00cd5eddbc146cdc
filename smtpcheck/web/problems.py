"""What is wrong now, as the page and the API show it.

`GET /api/v1/problems` answers `{"problems": [{"subject": {"kind", "name"}, "cause", "severity", "summary", "checks":
names of up to 20, "count", "total", "since", "who", "first_step"}], "silenced": how many problems are}`.

Rule of this file: what grows with the number of checks is read off the event loop.
"""

import asyncio
import json

from aiohttp import web

from smtpcheck.alerts.problems import CheckNow, Problems, problems_of
from smtpcheck.model.report import Outcome
from smtpcheck.web.agent_view import AgentView
from smtpcheck.web.keys import AGENT
from smtpcheck.web.table import states_of

MOST_PROBLEMS = 200
"""How many the API puts into words."""


async def problems(request: web.Request) -> web.Response:
    """Answer GET /api/v1/problems."""
    agent = request.app[AGENT]
    return web.json_response(text=await asyncio.to_thread(_problems_text, agent))


def _problems_text(agent: AgentView) -> str:
    found = current(agent, MOST_PROBLEMS)
    return json.dumps({"problems": [each.as_json() for each in found.shown], "silenced": found.silenced})


def current(agent: AgentView, most: int) -> Problems:
    """Return what is wrong now, at most so many problems in words; it may be called in a thread."""
    alerts = agent.settings.alerts
    severity = {"agent_severity": alerts.agent_severity} if alerts else {}
    silenced = agent.alerting.silences.silenced()
    checks = agent.settings.checks
    wrong, ran = [], []
    for check, state in zip(checks, states_of(agent, checks), strict=True):
        if state is None:
            continue
        ran.append(check)
        if state.report.outcome is not Outcome.OK:
            wrong.append(CheckNow(check, state.report, state.since))
    return problems_of(wrong, ran, agent.catalogue, silenced=silenced, most=most, **severity)
