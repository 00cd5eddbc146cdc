"""What a Prometheus that schedules the checks itself asks: /probe, as blackbox_exporter has it, and which checks.

Rules of this file:
- `check` (or `target`) names a check of the configuration; there is no parameter for a host.
- A run that failed is an answer (200). 400 is a request that means nothing, 503 one that nobody had time for.
- The answer comes before the scraper gives up: its timeout, which Prometheus sends, less an offset for the way back.
"""

import math

from aiohttp import web

from smtpcheck.agent.on_demand import Busy, can_be_requested
from smtpcheck.model.check import Check
from smtpcheck.output.metrics import wants_openmetrics
from smtpcheck.web.endpoints import exposed, gzipped, takes_gzip
from smtpcheck.web.keys import AGENT
from smtpcheck.web.pages import named
from smtpcheck.web.security import refuse_cross_origin
from smtpcheck.web.transcript import transcript

_TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
_OFFSET_SECONDS = 0.5
"""What is kept of the scraper's timeout for the way back; half of it where that is less."""


async def probe(request: web.Request) -> web.Response:
    """Answer GET /probe: the metrics of one run, or with `debug=true` what was said in it."""
    refuse_cross_origin(request)
    agent, found = request.app[AGENT], _asked_for(request)
    probed = await agent.probe_now(found.name, _seconds(request, found))
    if isinstance(probed, Busy):
        raise web.HTTPServiceUnavailable(text="busy: not run in time, because of other runs")
    if request.query.get("debug") == "true":
        text = agent.exposition_of(probed, openmetrics=False).decode()
        return web.Response(text=transcript(probed, agent.catalogue, text))
    openmetrics = wants_openmetrics(request.headers.get("Accept", ""))
    metrics, is_gzip = agent.exposition_of(probed, openmetrics=openmetrics), takes_gzip(request)
    return exposed(gzipped([metrics]) if is_gzip else metrics, openmetrics=openmetrics, is_gzip=is_gzip)


async def targets(request: web.Request) -> web.Response:
    """Answer GET /api/v1/targets: the checks that are left to Prometheus, in the form of its `http_sd_configs`.

    With each come its interval and a timeout that leaves a run its time
    (https://prometheus.io/docs/prometheus/latest/configuration/configuration/#relabel_config).
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for check in request.app[AGENT].settings.checks:
        if not check.scheduled and can_be_requested(check):
            timeout = min(check.token_timeout + check.timeout + _OFFSET_SECONDS, check.interval)
            groups.setdefault((_milliseconds(check.interval), _milliseconds(timeout)), []).append(check.name)
    return web.json_response(
        [
            {"targets": names, "labels": {"__scrape_interval__": interval, "__scrape_timeout__": timeout}}
            for (interval, timeout), names in groups.items()
        ]
    )


def _milliseconds(seconds: float) -> str:
    return f"{math.ceil(seconds * 1000)}ms"


def _asked_for(request: web.Request) -> Check:
    name = request.query.get("check") or request.query.get("target")
    if not name:
        raise web.HTTPBadRequest(text="name a check of the configuration: /probe?check=NAME")
    try:
        found = named(request.app[AGENT], name)
    except web.HTTPNotFound as error:
        raise web.HTTPBadRequest(text=error.text) from None
    if not can_be_requested(found):
        raise web.HTTPBadRequest(text=f"{name} expects a refusal of a message, and /probe sends none")
    return found


def _seconds(request: web.Request, check: Check) -> float:
    """Return how long the answer may take: as the scraper says, else as long as the check may."""
    given = request.headers.get(_TIMEOUT_HEADER)
    if given is None:
        return check.token_timeout + check.timeout
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise web.HTTPBadRequest(text=f"{_TIMEOUT_HEADER} is not a valid number of seconds")
    return seconds - min(_OFFSET_SECONDS, seconds / 2)
