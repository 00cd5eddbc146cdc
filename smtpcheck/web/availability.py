"""The report of availability as a page, as CSV, and as an HTML file of its own to print.

`GET /report?days=30` is the page, `GET /report.csv?days=30` the figures; `days` is from 1 to 90.

Rules of this file:
- It is read from a copy of the state file, worked out and rendered off the event loop, one report at a time.
- A report is kept for a minute: it changes by the hour.
"""

import asyncio

from aiohttp import web

from smtpcheck import __version__
from smtpcheck.config.settings import Settings
from smtpcheck.output.availability_csv import as_csv
from smtpcheck.state.availability_report import AvailabilityReport, availability_report
from smtpcheck.state.past import PastUnreadableError, read_past
from smtpcheck.state.state import KEEP_DAYS
from smtpcheck.web import pages
from smtpcheck.web.history_drawing import percent
from smtpcheck.web.keys import AGENT, CLOCK

DAYS = 30
_FRESH_SECONDS = 60.0
MOST_ROWS = 500
"""How many checks and outages the page lists; the CSV has every check, the file everything."""


async def page(request: web.Request) -> web.Response:
    """Answer GET /report."""
    report = await _report(request)
    return await pages.page(
        request,
        "availability.html",
        report=report,
        most=MOST_ROWS,
        availability_words=percent,
        refresh=False,
        pause_link="",
    )


async def csv(request: web.Request) -> web.Response:
    """Answer GET /report.csv."""
    text = await asyncio.to_thread(as_csv, await _report(request))
    name = 'attachment; filename="smtpcheck-availability.csv"'
    return web.Response(text=text, content_type="text/csv", headers={"Content-Disposition": name})


def html_file(report: AvailabilityReport) -> str:
    """Return the report as an HTML file that needs nothing else."""
    return pages.template("availability_file.html").render(
        report=report,
        most=max(len(report.checks), len(report.outages), 1),
        availability_words=percent,
        version=__version__,
    )


async def _report(request: web.Request) -> AvailabilityReport:
    text = request.query.get("days", str(DAYS))
    days = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0
    if not 1 <= days <= KEEP_DAYS:
        raise web.HTTPBadRequest(text=f"days must be from 1 to {KEEP_DAYS}")
    return await request.app[REPORTS].of(request.app[AGENT].settings, days, request.app[CLOCK]())


class Reports:
    """The last report, which serves requests for a minute."""

    def __init__(self) -> None:
        """Begin without any."""
        self._lock = asyncio.Lock()
        self._last: tuple[Settings, int, AvailabilityReport] | None = None

    async def of(self, settings: Settings, days: int, now: float) -> AvailabilityReport:
        """Return the report of that many days. Raises HTTPServiceUnavailable where the state cannot be read."""
        async with self._lock:
            if self._last is not None:
                made_of, length, report = self._last
                if made_of is settings and length == days and abs(now - report.end) < _FRESH_SECONDS:
                    return report
            report = await asyncio.to_thread(_made, settings, days, now)
            self._last = settings, days, report
            return report


def _made(settings: Settings, days: int, now: float) -> AvailabilityReport:
    names = [check.name for check in settings.checks]
    try:
        past = read_past(settings.agent.state, names, last_days=days + 1, now=now)
    except PastUnreadableError as error:
        raise web.HTTPServiceUnavailable(text=str(error)) from None
    silences = settings.alerts.silences if settings.alerts else ()
    return availability_report(settings.checks, past, silences, days=days, now=now)


REPORTS = web.AppKey("reports", Reports)
