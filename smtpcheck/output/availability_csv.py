"""The report of availability as CSV (RFC 4180): one line for all checks, then labels, credentials and checks."""

import csv
import io

from smtpcheck.model.timestamp import rfc3339
from smtpcheck.state.availability_report import AvailabilityReport


def as_csv(report: AvailabilityReport) -> str:
    """Return the figures as CSV (RFC 4180) with a header line; what is not known is empty."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_HEADER)
    times = rfc3339(report.begin), rfc3339(report.end)
    for each in (report.whole, *report.groups, *report.checks):
        availability = "" if each.availability is None else f"{each.availability:.6f}"
        counts = (each.span.known_hours, each.span.runs, each.span.failures, each.outages)
        lengths = (_seconds(each.longest), _seconds(each.mttr))
        writer.writerow((each.kind, _cell(each.name), each.checks, availability, *counts, *lengths, *times))
    return text.getvalue()


_HEADER = (
    *("kind", "name", "checks", "availability", "known_hours", "runs", "failures", "outages"),
    *("longest_outage_seconds", "mttr_seconds", "from", "to"),
)


def _cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" else text


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.0f}"
