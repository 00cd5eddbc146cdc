"""The report of availability as text for a terminal; eighty columns suffice."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from smtpcheck.model.timestamp import span_text, utc_text
from smtpcheck.state.availability_report import AvailabilityReport, Figures

MOST_ROWS = 20
"""How many checks and outages are listed; CSV and HTML have all."""


def availability_text(report: AvailabilityReport) -> RenderableType:
    """Return the report: all checks, labels and credentials, the least available checks, the latest outages."""
    parts: list[RenderableType] = [Text(f"{utc_text(report.begin)} to {utc_text(report.end)}"), Text()]
    parts.append(_table((report.whole, *report.groups, *report.checks[:MOST_ROWS])))
    if len(report.checks) > MOST_ROWS:
        parts.append(Text(f"and {len(report.checks) - MOST_ROWS} more checks: --format csv has all"))
    if report.outages:
        parts += [Text(), _outages(report)]
    for silence, count in report.silences:
        labels = [f"{name}={value}" for name, value in silence.labels]
        what = ", ".join((*silence.checks, *silence.credentials, *labels))
        words = f"silenced {utc_text(silence.starts_at)} to {utc_text(silence.ends_at)}: {what} ({count} checks)"
        parts.append(Text(f"{words}{f': {silence.comment}' if silence.comment else ''}"))
    return Group(*parts)


def _table(figures: Iterable[Figures]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    table.add_column("name", overflow="fold")
    for heading in ("availability", "outages", "longest", "MTTR"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in figures:
        share = "-" if each.availability is None else f"{each.availability:.3%}"
        table.add_row(each.kind, each.name, share, str(each.outages), _span(each.longest), _span(each.mttr))
    return table


def _outages(report: AvailabilityReport) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("outage of", overflow="fold")
    table.add_column("began", no_wrap=True)
    table.add_column("length", justify="right", no_wrap=True)
    table.add_column("cause", overflow="fold")
    for one in report.outages[:MOST_ROWS]:
        length = f"{_span(one.seconds)}{'+' if one.outage.ended is None else ''}"
        table.add_row(one.check, utc_text(one.outage.began), length, one.outage.cause)
    return table


def _span(seconds: float | None) -> str:
    return "-" if seconds is None else span_text(seconds)
