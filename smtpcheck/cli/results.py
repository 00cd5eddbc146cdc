"""What `check` shows of its results: equal findings once, with the names of their checks, and the verdict last.

Rules of this file:
- Runs that failed alike are one finding: those of one alert (one host, one credential, the agent itself), and mailboxes
  that one server refused with the same codes for the same cause. `--verbose` shows each run.
- The last line is what came out and what to do first, so that it is seen without scrolling.
"""

from collections.abc import Sequence

from rich.console import RenderableType

from smtpcheck.alerts.grouping import Key, Subject, endpoint, issues_of
from smtpcheck.diagnosis.catalogue import Catalogue
from smtpcheck.diagnosis.explain import describe, of_several
from smtpcheck.model.check import Check
from smtpcheck.model.report import Finding, Outcome, Report
from smtpcheck.output import terminal

MOST_ROWS = 20
"""From how many checks on the table names only those that are not ok."""
_Alike = tuple[Key | str, ...]


def results(
    checks: Sequence[Check], reports: Sequence[Report], catalogue: Catalogue, *, verbose: bool = False
) -> list[RenderableType]:
    """Return all that is shown of the reports of checks, which are in the same order."""
    pairs = [pair for pair in zip(checks, reports, strict=True) if pair[1].outcome is not Outcome.OK]
    groups = [[pair] for pair in pairs] if verbose else grouped(pairs)
    rows = [group[0][1] for group in groups if len(group) == 1]
    if verbose or len(reports) <= MOST_ROWS:
        rows = list(reports)
    shown: list[RenderableType] = [terminal.report_table(rows)] if rows else []
    for group in groups:
        if len(group) == 1:
            shown.append(terminal.details(group[0][1], group[0][0], catalogue))
        else:
            shown.append(terminal.details_of_several(group, catalogue))
    return [*shown, verdict(reports, groups, catalogue)]


def grouped(pairs: Sequence[tuple[Check, Report]]) -> list[list[tuple[Check, Report]]]:
    """Return the runs that are not ok by what they have in common, the largest group of the worst outcome first."""
    groups: dict[_Alike, list[tuple[Check, Report]]] = {}
    for check, report in pairs:
        groups.setdefault(_alike(check, report), []).append((check, report))
    return sorted(groups.values(), key=lambda group: (group[0][1].outcome is not Outcome.CRITICAL, -len(group)))


def verdict(reports: Sequence[Report], groups: Sequence[Sequence[tuple[Check, Report]]], catalogue: Catalogue) -> str:
    """Return how many checks came out how, and what to do first."""
    said = terminal.summary(reports)
    finding = _first_finding(groups[0][0][1]) if groups else None
    if finding is None:
        return said
    text = describe(of_several(finding) if len(groups[0]) > 1 else finding, catalogue)
    step = f": {text.remedy[0]}" if text.remedy else ""
    return f"{said}. First: {text.summary.rstrip('.')}{step}"


def _alike(check: Check, report: Report) -> _Alike:
    keys = [issue.key for issue in issues_of(check, report).values()]
    if not any(key.subject is Subject.CHECK for key in keys):
        return tuple(keys)
    finding, reply = _first_finding(report), report.failed_reply
    codes = f"{reply.code} {reply.enhanced}" if reply else ""
    warnings = " ".join(each.cause for each in report.warnings)
    return (report.outcome, endpoint(check), check.credential or "", finding.rule if finding else "", codes, warnings)


def _first_finding(report: Report) -> Finding | None:
    return next(iter(report.shown), None)
