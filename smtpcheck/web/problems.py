"""What is wrong now, as the page and the API show it.

`GET /api/v1/problems` answers `{"problems": [{"subject": {"kind", "name"}, "cause", "severity", "summary", "checks":
names of up to 20, "count", "total", "since", "who", "first_step"}], "silenced": how many problems are}`.

Rule of this file: what grows with the number of checks is read off the event loop.
"""

import asyncio
import json
from collections.abc import Collection

from aiohttp import web

from smtpcheck.alerts.problems import CheckNow, Problems, problems_of
from smtpcheck.model.check import Check
from smtpcheck.model.report import Outcome
from smtpcheck.web.agent_view import AgentView
from smtpcheck.web.keys import AGENT
from smtpcheck.web.table import WAITING, Rows

MOST_PROBLEMS = 200
"""How many the API puts into words."""


async def problems(request: web.Request) -> web.Response:
    """Answer GET /api/v1/problems."""
    return web.json_response(text=await asyncio.to_thread(_problems_text, request.app[AGENT]))


def _problems_text(agent: AgentView) -> str:
    found = current(agent, Rows(agent, agent.settings.checks, ()), MOST_PROBLEMS)
    return json.dumps({"problems": [each.as_json() for each in found.shown], "silenced": found.silenced})


def current(agent: AgentView, rows: Rows, most: int) -> Problems:
    """Return what is wrong by the rows of all checks, at most so many problems in words."""
    alerts = agent.settings.alerts
    severity = {"agent_severity": alerts.agent_severity} if alerts else {}
    ran: Collection[Check] = rows.checks
    if WAITING in rows.statuses:
        ran = [check for check, state in zip(rows.checks, rows.states, strict=True) if state is not None]
    fine = Outcome.OK
    numbers = [number for number, status in enumerate(rows.statuses) if status is not fine]
    wrong = [
        CheckNow(rows.checks[number], state.report, state.since)
        for number in numbers
        if (state := rows.states[number]) is not None
    ]
    return problems_of(wrong, ran, agent.catalogue, silenced=rows.silenced, most=most, **severity)
