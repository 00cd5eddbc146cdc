"""The pages: the list of checks, one check, and what could not be answered.

Rules of this file:
- Made on the server, complete without script. The script only saves the reload: it fetches the same page again and puts
  the parts marked `data-live` in place, so that focus and what is typed stay.
- What grows with the number of checks is read and rendered off the event loop, from values that were taken on it: no
  request holds up a probe.
- Whatever comes from a server or issuer is escaped by Jinja2; nothing is marked safe.
- No value can break a page: each row and each card is rendered by `guarded`, and text is encoded with replacements.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from importlib.resources import files

import jinja2
import structlog
from aiohttp import web
from markupsafe import Markup

from smtpcheck import __version__
from smtpcheck.alerts.silence import DURATIONS
from smtpcheck.diagnosis.explain import certainty_words, describe
from smtpcheck.loopback.timeline import timeline
from smtpcheck.model.cause import WHY_FOLLOWS
from smtpcheck.model.check import Check
from smtpcheck.model.credential import CredentialState
from smtpcheck.model.report import Finding, Outcome, Report
from smtpcheck.output.inspection import fact_words
from smtpcheck.web import drawing, formatting
from smtpcheck.web.agent_view import AgentView
from smtpcheck.web.inspected import inspected, shown_value, subjects
from smtpcheck.web.keys import AGENT, CLOCK
from smtpcheck.web.problems import current
from smtpcheck.web.side_by_side import comparison, way_name
from smtpcheck.web.table import Query, Rows, next_expiry, read, row_of, rows_beside, secret_expires
from smtpcheck.web.ticket import ticket

_log = structlog.get_logger(__name__)
REFRESH_SECONDS = 15
MOST_PROBLEMS = 10
"""How many problems the list shows."""
MOST_INCIDENTS = 5
"""How many open incidents of providers it shows."""
MOST_ANNOUNCEMENTS = 3
"""How many announced changes it shows."""
MOST_ALERTS = 20
"""How many alerts it shows."""
_UNSORTED = frozenset({"runs"})
_COLUMNS = (
    ("outcome", "Outcome", False),
    ("name", "Check", False),
    ("cause", "Cause", False),
    ("since", "Since", True),
    ("runs", "Last 30 runs", False),
    ("last", "Last run", True),
    ("latency", "Latency", True),
    ("secret", "Secret", True),
    ("certificate", "Certificate", True),
)
"""Of the list: the id by which it orders, its head, and whether it holds numbers."""
_STATUSES = ("critical", "unknown", "warning", "ok", "waiting")
"""Of checks, the worst first."""
_ICON_COLOUR = b"#3358d4"
_ICONS = {
    "icon-ok.svg": b"#147347",
    "icon-warning.svg": b"#b87400",
    "icon-critical.svg": b"#c3262d",
    "icon-unknown.svg": b"#6646c4",
    "icon-waiting.svg": b"#5c636d",
}
"""The icon in the colour of the worst outcome."""
_STATIC = dict.fromkeys(_ICONS, "image/svg+xml") | {
    "style.css": "text/css",
    "past.css": "text/css",
    "refresh.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


def prefers_html(request: web.Request) -> bool:
    """Return whether a page is what the request wants: browsers name HTML in `Accept`, others do not."""
    return "text/html" in request.headers.get("Accept", "")


async def checks(request: web.Request) -> web.Response:
    """Answer GET /: the list of checks and the credentials."""
    agent = request.app[AGENT]
    query = Query.parse(request.query)
    credentials = agent.credentials()
    values = _of_every_page(request) | {
        "query": query,
        "columns": _COLUMNS,
        "unsorted": _UNSORTED,
        "credentials": credentials,
        "expiry": next_expiry(credentials),
        "incidents": agent.inspection.incidents()[:MOST_INCIDENTS],
        "announcements": agent.inspection.announcements()[:MOST_ANNOUNCEMENTS],
        "alerts_configured": agent.alerting.is_configured,
        "firing": sum(agent.alerting.counts().values()),
        "notifiers": agent.alerting.notifiers(),
        "alerts": agent.alerting.firing(MOST_ALERTS),
        "refresh": query.refresh,
        "pause_link": query.link(refresh=not query.refresh),
    }
    return _page_of(await asyncio.to_thread(_list, agent, query, credentials, values))


def _list(agent: AgentView, query: Query, credentials: Iterable[CredentialState], values: Mapping[str, object]) -> str:
    """Return the page of the list; `values` are those that do not grow with the number of checks."""
    rows = Rows(agent, agent.settings.checks, credentials)
    table, problems = read(rows, query), current(agent, rows, MOST_PROBLEMS)
    worst = next((status for status in _STATUSES if table.counts.get(status)), "")
    return template("checks.html").render(**values, table=table, worst=worst, problems=problems)


async def check(request: web.Request) -> web.Response:
    """Answer GET /checks/NAME: all that is known of one check."""
    agent = request.app[AGENT]
    found = named(agent, request.match_info["name"])
    state = agent.state.checks.get(found.name)
    report = state.report if state else None
    row = row_of(agent, found)
    refresh = request.query.get("refresh") != "off"
    return await page(
        request,
        "check.html",
        beside=rows_beside(agent, found),
        check=found,
        row=row,
        state=state,
        alerts=agent.alerting.of_check(found.name),
        silence=agent.alerting.silences.of(found.name),
        durations=DURATIONS,
        worst=row.status,
        ticket=_ticket(agent, found),
        report=report,
        bars=drawing.waterfall(report) if report else (),
        loopback_status=agent.loopback(found.name),
        inspection=await inspected(request, found),
        chart=drawing.chart(state.history()) if state else None,
        notice=_notice(request.query),
        refresh=refresh,
        pause_link="?refresh=off" if refresh else "?",
    )


def named(agent: AgentView, name: str) -> Check:
    """Return a check of this agent; HTTPNotFound where there is none, and which agent runs it."""
    if (check := agent.settings.by_name.get(name)) is not None:
        return check
    sharding = agent.settings.sharding
    if (number := sharding.other_shards.get(name)) is not None:
        raise web.HTTPNotFound(text=f"the check {name} is run by another agent: shard {number}/{sharding.shard.of}")
    raise web.HTTPNotFound(text=f"there is no check named {name}")


async def static(request: web.Request) -> web.Response:
    """Answer GET /static/FILE."""
    name = request.match_info["file"]
    if name not in _STATIC:
        raise web.HTTPNotFound
    return web.Response(
        body=_static(name),
        content_type=_STATIC[name],
        charset="utf-8",
        headers={"Cache-Control": "public, max-age=3600"},
    )


async def refusal(
    request: web.Request, status: int, reason: str, text: str, headers: Mapping[str, str]
) -> web.Response:
    """Return the page that says why there is no other."""
    answer = await page(request, "refusal.html", status=status, reason=reason, text=text, refresh=False, pause_link="")
    answer.set_status(status)
    answer.headers.update(headers)
    return answer


async def page(request: web.Request, template: str, worst: str = "", **values: object) -> web.Response:
    """Return a page by a template and its values, besides those that every page has; `worst` colours its icon."""
    return _page_of(await render(request, template, worst=worst, **values))


async def render(request: web.Request, name: str, /, **values: object) -> str:
    """Return what a template makes of its values."""
    return await asyncio.to_thread(template(name).render, **_of_every_page(request), **values)


def _page_of(text: str) -> web.Response:
    return web.Response(body=text.encode("utf-8", "replace"), content_type="text/html", charset="utf-8")


def _of_every_page(request: web.Request) -> dict[str, object]:
    """Return the values that every page has."""
    agent, now = request.app[AGENT], request.app[CLOCK]()
    return {
        "now": now,
        "version": __version__,
        "unhealthy_reason": agent.unhealthy_reason(),
        "failing_notifiers": [each for each in agent.alerting.notifiers() if each.failure],
        "sharding": agent.settings.sharding,
        "refresh_seconds": REFRESH_SECONDS,
        "distance": partial(formatting.distance, now=now),
        "describe": partial(describe, catalogue=agent.catalogue),
        "certainty": certainty_words,
        "says_why_next": WHY_FOLLOWS.__contains__,
    }


def guarded(macro: Callable[..., Markup], fallback: Callable[..., Markup], *values: object) -> Markup:
    """Return what a macro makes of some values; where it fails, what `fallback` makes of them, and the log says why."""
    try:
        return macro(*values)
    except Exception as error:  # noqa: BLE001
        part = getattr(macro, "name", "")
        _log.error("part of a page cannot be shown", part=part, error=type(error).__name__)
        _log.debug("part of a page cannot be shown", part=part, exc_info=error)
        return fallback(*values)


def _notice(query: Mapping[str, str]) -> str:
    """Return what came of the button "check now", by the parameters of the redirect."""
    if query.get("ran") == "1":
        return "Checked just now."
    wait = query.get("wait", "")
    if re.fullmatch(r"[0-9]{1,4}", wait):
        return f"Not run: it was run a moment ago. Try again in {wait} s."
    return ""


def _main_finding(report: Report | None) -> Finding | None:
    """Return what a list says of a report: the best finding of a failure, or the first warning."""
    if report is None or report.outcome is Outcome.OK:
        return None
    return next(iter(report.shown), None)


def template(name: str) -> jinja2.Template:
    """Return a template, with the filters that all have."""
    return _environment().get_template(name)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("smtpcheck.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        step=formatting.step,
        duration=formatting.duration,
        grouped=formatting.grouped,
        whole=formatting.whole,
        day=formatting.day,
        machine=formatting.machine,
        plain=formatting.plain,
        finding=_main_finding,
        way=way_name,
        comparison=comparison,
        said=fact_words,
        value=shown_value,
        subjects=subjects,
    )
    environment.globals.update(
        drawing=drawing,
        STATUSES=_STATUSES,
        timeline=timeline,
        long_duration=formatting.long_duration,
        outcome_words=formatting.OUTCOME_WORDS,
        secret_expires=secret_expires,
        asset=_asset,
        guarded=guarded,
    )
    return environment


def _asset(name: str) -> str:
    """Return the address of a static file; it changes with the version, so that a browser keeps no old one."""
    return f"/static/{name}?v={__version__}"


def _ticket(agent: AgentView, check: Check) -> str:
    """Return what a ticket needs to say of a check's problem; empty where it has none, or none that can be said."""
    state = agent.state.checks.get(check.name)
    if state is None or state.report.outcome is Outcome.OK:
        return ""
    return ticket(check, state.report, state.since, agent.catalogue)


@cache
def _static(name: str) -> bytes:
    if outcome := _ICONS.get(name):
        return _static("icon.svg").replace(_ICON_COLOUR, outcome)
    return (files("smtpcheck.web") / "static" / name).read_bytes()
