"""A check's past: the page of its history, one failure of then, its badge, and the same as JSON.

Rules of this file:
- It is read from the state file on request; memory adds only what the file does not have yet.
- Days and hours are those of UTC.
- The badge is for other pages to show: it has no script and no style, the same size whatever it says, and may be kept
  for a minute. Who may see it is who may see the page.
"""

import asyncio
import hashlib
from dataclasses import asdict, dataclass

from aiohttp import web

from smtpcheck.model.check import Check
from smtpcheck.output.report_json import Json, report_as_json
from smtpcheck.state.archive import Failure
from smtpcheck.state.availability import Span, by_hour, grouped, total
from smtpcheck.state.outage import Outage
from smtpcheck.state.state import KEEP_DAYS
from smtpcheck.web import drawing, history_drawing, pages
from smtpcheck.web.keys import AGENT, CLOCK
from smtpcheck.web.table import row_of

WINDOWS = (1, 7, 30, 90)
"""Of how many times 24 hours, up to now, the availability is shown."""
_IN_HOURS = 7
"""How many days can be drawn hour by hour."""
_BADGE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Past:
    """All that is kept of a check's past."""

    outages: tuple[Outage, ...]
    failures: tuple[Failure, ...]
    hours: tuple[Span, ...]
    """Those of the last 90 days, today's up to now."""

    def window(self, days: int) -> Span:
        """Return the last `days` times 24 hours as one."""
        return total(self.hours[-24 * days :])


async def history(request: web.Request) -> web.Response:
    """Answer GET /checks/NAME/history."""
    check = pages.named(request.app[AGENT], request.match_info["name"])
    past = await _past(request, check)
    by_days = grouped(past.hours, 24)
    in_hours = request.query.get("days") == str(_IN_HOURS)
    return await pages.page(
        request,
        "history.html",
        check=check,
        row=row_of(request.app[AGENT], check),
        past=past,
        windows=[(length, past.window(length)) for length in WINDOWS],
        in_hours=in_hours,
        spans=past.hours[-24 * _IN_HOURS :] if in_hours else by_days,
        by_days=by_days,
        reports={failure.outage: failure for failure in past.failures},
        plots=history_drawing,
        refresh=False,
        pause_link="",
    )


async def failure(request: web.Request) -> web.Response:
    """Answer GET /checks/NAME/failures/SECOND: the report of a run that failed, as long as it is kept."""
    check = pages.named(request.app[AGENT], request.match_info["name"])
    report = await request.app[AGENT].state.archive.report(check.name, int(request.match_info["second"]))
    if report is None:
        raise web.HTTPNotFound(text=f"no report of {check.name} is stored for that time")
    return await pages.page(
        request,
        "failure.html",
        check=check,
        report=report,
        bars=drawing.waterfall(report),
        refresh=False,
        pause_link="",
    )


async def badge(request: web.Request) -> web.Response:
    """Answer GET /checks/NAME/badge.svg: the outcome, or with `days=7`, `30` or `90` the availability."""
    check = pages.named(request.app[AGENT], request.match_info["name"])
    row = row_of(request.app[AGENT], check)
    days = next((length for length in WINDOWS if request.query.get("days") == str(length)), None)
    if days is None and "days" in request.query:
        raise web.HTTPBadRequest(text=f"days must be one of {', '.join(map(str, WINDOWS))}")
    says = row.status
    if days is not None:
        span = (await _past(request, check)).window(days)
        says = f"{history_drawing.percent(span.availability)} ({days} d)"
    text = await pages.render(request, "badge.svg", name=check.name, status=row.status, says=says)
    tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:16]}"'
    headers = {
        "ETag": tag,
        "Cache-Control": f"max-age={_BADGE_SECONDS}",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    if tag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    return web.Response(text=text, content_type="image/svg+xml", headers=headers)


async def history_as_json(request: web.Request) -> web.Response:
    """Answer GET /api/v1/checks/NAME/history."""
    past = await _past(request, pages.named(request.app[AGENT], request.match_info["name"]))
    return web.json_response(
        {
            "availability": {f"{length}d": _figures(past.window(length)) for length in WINDOWS},
            "hours": [_figures(span) | {"begin": span.begin} for span in past.hours if span.runs or span.known_hours],
            "outages": [asdict(outage) for outage in past.outages],
            "failures": [asdict(failure) for failure in past.failures],
        }
    )


async def failure_as_json(request: web.Request) -> web.Response:
    """Answer GET /api/v1/checks/NAME/failures/SECOND."""
    agent, check = request.app[AGENT], pages.named(request.app[AGENT], request.match_info["name"])
    report = await agent.state.archive.report(check.name, int(request.match_info["second"]))
    if report is None:
        raise web.HTTPNotFound(text=f"no report of {check.name} is stored for that time")
    return web.json_response(report_as_json(report, agent.catalogue))


async def _past(request: web.Request, check: Check) -> Past:
    state, now = request.app[AGENT].state, request.app[CLOCK]()
    days = await state.days(check.name)
    outages = await state.archive.outages(check.name)
    failures = await state.archive.failures(check.name)
    hours = await asyncio.to_thread(by_hour, days, outages, interval=check.interval, now=now, last_days=KEEP_DAYS)
    return Past(outages, failures, hours)


def _figures(span: Span) -> Json:
    return {
        "availability": span.availability,
        "runs": span.runs,
        "failures": span.failures,
        "unknown": span.unknown,
        "mean_seconds": span.mean,
        "longest_seconds": span.longest if span.runs else None,
    }
