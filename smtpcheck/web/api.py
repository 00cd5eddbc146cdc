"""The JSON API, version 1.

Rules of this file:
- Names are never renamed and keep their meaning; new ones may come. Times are Unix seconds, durations seconds, what is
  not known is null.
- No token and no secret: a report holds none.

`GET /api/v1/checks` takes the parameters of the page (`q`, `outcome`, `cause`, `label`, `sort`, `page`, `per_page` up
to 1000) and answers `{"total", "found", "page", "pages", "counts": {status: n}, "checks": [CHECK]}`.
`GET /api/v1/checks/NAME` answers one CHECK with `report`, `last_failure`, `history` and `loopback` (null, or as
`loopback_json` has it) besides, and `inspection` where `inspected` shows it.
`GET /api/v1/checks/NAME/history` answers `{"availability": {"1d", "7d", "30d", "90d": FIGURES}, "hours": [FIGURES with
"begin"], "outages": [{"number", "began", "ended", "cause"}], "failures": [{"at", "outage", "cause"}]}`, the last two
newest first; FIGURES are `{"availability": 0 to 1, "runs", "failures", "unknown", "mean_seconds", "longest_seconds"}`.
`GET /api/v1/checks/NAME/failures/SECOND` answers the kept report of the failure that began in that second (its `at`
without the fraction).
`GET /api/v1/alerts` answers `{"configured", "counts": {severity: n}, "alerts": [ALERT], "notifiers": [{"name", "type",
"failure": why its last attempt failed or null, "waiting", "counts": {result: n}}]}`; for ALERT see `notify/webhook`.
`POST /api/v1/checks/NAME/run` runs the check and answers its report; a check of depth `send` only with `?send=true`,
else 409, for it sends a real message; 429 with Retry-After when it was just run. A
browser that posts a form is sent back to the check's page (303).
`GET /api/v1/shards` answers `{"shard", "shards", "checks": [[NAME, ...], ...]}`: which part of the checks this agent
runs, counted from 0, and the names of the checks of every part.
`GET /api/v1/targets` answers `[{"targets": [NAME, ...], "labels": {"__scrape_interval__", "__scrape_timeout__"}}]`: the
checks with `schedule: false`, as Prometheus' `http_sd_configs` want them.
"""

import asyncio
import json
import math
from collections.abc import Iterable
from urllib.parse import quote

from aiohttp import web

from smtpcheck.agent.on_demand import Busy
from smtpcheck.model.check import Check, Depth
from smtpcheck.model.credential import CredentialState
from smtpcheck.model.report import Report
from smtpcheck.output.loopback_json import loopback_as_json
from smtpcheck.output.report_json import Json, report_as_json
from smtpcheck.web import pages
from smtpcheck.web.agent_view import AgentView
from smtpcheck.web.inspected import inspected
from smtpcheck.web.keys import AGENT
from smtpcheck.web.table import Query, Row, Rows, read, row_of

_ALERTS_AT_ONCE = 20
"""How many alerts are put into words before the event loop may do something else."""


async def checks(request: web.Request) -> web.Response:
    """Answer GET /api/v1/checks."""
    agent, query = request.app[AGENT], Query.parse(request.query)
    body = await asyncio.to_thread(_checks_text, agent, query, agent.credentials())
    return web.json_response(text=body)


def _checks_text(agent: AgentView, query: Query, credentials: Iterable[CredentialState]) -> str:
    table = read(Rows(agent, agent.settings.checks, credentials), query)
    return json.dumps(
        {
            "total": table.total,
            "found": table.found,
            "page": table.query.page,
            "pages": table.pages,
            "counts": dict(table.counts),
            "checks": [_summary(row) for row in table.rows],
        }
    )


async def check(request: web.Request) -> web.Response:
    """Answer GET /api/v1/checks/NAME."""
    agent = request.app[AGENT]
    found = _named(request)
    state, loopback_status = agent.state.checks.get(found.name), agent.loopback(found.name)
    answer = _summary(row_of(agent, found)) | {
        "runs": state.runs if state else 0,
        "failures": state.failures if state else 0,
        "since": state.since if state else None,
        "last_success": state.last_success_at if state else None,
        "report": report_as_json(state.report, agent.catalogue) if state else None,
        "last_failure": report_as_json(state.failure, agent.catalogue) if state and state.failure else None,
        "alerts": [notification.as_json() for notification in agent.alerting.of_check(found.name)],
        "loopback": loopback_as_json(loopback_status, agent.catalogue) if loopback_status else None,
        "history": [run._asdict() for run in state.history()] if state else [],
    }
    inspection = await inspected(request, found)
    if inspection is not None and inspection.content is not None:
        answer["inspection"] = inspection.content
    return web.json_response(answer)


async def shards(request: web.Request) -> web.Response:
    """Answer GET /api/v1/shards."""
    settings = request.app[AGENT].settings
    sharding = settings.sharding
    names = sharding.names if sharding.shard.of > 1 else [[check.name for check in settings.checks]]
    return web.json_response({"shard": sharding.shard.number, "shards": sharding.shard.of, "checks": names})


async def alerts(request: web.Request) -> web.Response:
    """Answer GET /api/v1/alerts."""
    alerting = request.app[AGENT].alerting
    firing = []
    for number, notification in enumerate(alerting.each_firing()):
        firing.append(notification.as_json())
        if number % _ALERTS_AT_ONCE == 0:
            await asyncio.sleep(0)
    return web.json_response(
        {
            "configured": alerting.is_configured,
            "counts": alerting.counts(),
            "alerts": firing,
            "notifiers": [
                {
                    "name": each.name,
                    "type": each.type,
                    "failure": each.failure or None,
                    "waiting": each.waiting,
                    "counts": dict(each.counts),
                }
                for each in alerting.notifiers()
            ],
        }
    )


async def run(request: web.Request) -> web.Response:
    """Answer POST /api/v1/checks/NAME/run."""
    agent = request.app[AGENT]
    found = _named(request)
    if found.depth is Depth.SEND and request.query.get("send") != "true":
        text = f"not run: it sends a real message to {found.recipient}; to confirm that add ?send=true"
        raise web.HTTPConflict(text=text)
    answer = await agent.check_now(found.name)
    page = f"/checks/{quote(found.name, safe='')}"
    if isinstance(answer, Report):
        if pages.prefers_html(request):
            return _redirect(f"{page}?ran=1")
        return web.json_response(report_as_json(answer, agent.catalogue))
    if isinstance(answer, Busy):
        raise web.HTTPServiceUnavailable(text="not run: the agent is starting or stopping")
    wait = math.ceil(answer.seconds)
    if pages.prefers_html(request):
        return _redirect(f"{page}?wait={wait}")
    return web.json_response(
        {"error": f"the check was run a moment ago; try again in {wait} s"},
        status=429,
        headers={"Retry-After": str(wait)},
    )


def _redirect(location: str) -> web.Response:
    """Return the answer to a posted form: a browser gets the page (RFC 9110 15.4.4)."""
    return web.Response(status=303, headers={"Location": location})


def _named(request: web.Request) -> Check:
    return pages.named(request.app[AGENT], request.match_info["name"])


def _summary(row: Row) -> Json:
    check = row.check
    return {
        "name": check.name,
        "mailbox": check.mailbox,
        "provider": check.provider,
        "credential": check.credential,
        "host": check.server.host,
        "port": check.server.port,
        "depth": str(check.depth),
        "interval": check.interval,
        "labels": dict(check.labels),
        **({"via": check.way, "side_by_side": check.side_by_side or None} if check.via or check.side_by_side else {}),
        "silenced": row.silenced,
        "status": row.status,
        "causes": list(row.causes),
        "last_run": row.last_run,
        "next_run": row.next_run,
        "backoff_until": row.backoff_until,
        "seconds": row.seconds,
        "token_expires": row.token_expires,
        "secret_expires": row.secret_expires,
        "certificate_expires": row.certificate_expires,
    }
