"""Reports as text for a terminal, as JSON and as one line for Nagios.

Rules of this file:
- It makes text of values; `finding_text.show` writes it.
- On a terminal colour and tables, plain text in a pipe, NO_COLOR respected (rich sees to it). Eighty columns suffice.
- Nothing is known here that a report does not hold; what a finding means is asked of the catalogue.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from smtpcheck.config import Settings, Traffic
from smtpcheck.config.traffic import ASSUMPTIONS, InspectionTraffic
from smtpcheck.diagnosis.catalogue import Catalogue
from smtpcheck.diagnosis.explain import describe, of_several
from smtpcheck.loopback.graph.limits import BOUNCE_LISTS, BOUNCE_REQUESTS, DELETIONS, LISTS, MESSAGES_PER_REQUEST
from smtpcheck.loopback.plan import FindVia
from smtpcheck.model import expected_refusal
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check
from smtpcheck.model.printable import printable
from smtpcheck.model.report import Outcome, Report
from smtpcheck.model.timestamp import span_text
from smtpcheck.output.finding import findings_text

_LONGEST_CAUSE = 100
_LONGEST_LINE = 1000
_STYLES = {Outcome.OK: "green", Outcome.WARNING: "yellow", Outcome.CRITICAL: "red", Outcome.UNKNOWN: "magenta"}
_SYMBOLS = {Outcome.OK: "✓", Outcome.WARNING: "!", Outcome.CRITICAL: "✗", Outcome.UNKNOWN: "?"}

_GRAPH_SEARCH = (
    f"A search in Microsoft Graph takes at most {LISTS} requests for every {MESSAGES_PER_REQUEST} pending messages,"
    f" one for the name of each folder with a match, and {DELETIONS} for each deletion; one for bounces takes"
    f" {len(BOUNCE_LISTS)}, and {BOUNCE_REQUESTS} where much else arrives. The daily search for leftovers"
    " takes one request and the deletions. It takes more where a response has further pages or a filter is too complex,"
    " and a request is repeated where Graph asks to wait."
)


class Expectation(Protocol):
    """What a scenario says must come out."""

    @property
    def name(self) -> str:
        """The name of its check."""

    def expects(self, report: Report) -> bool:
        """Return whether the report is what must come out."""


def report_table(reports: Sequence[Report]) -> Table:
    """Return one row a check: outcome, phase and cause, seconds."""
    table = _table("check", "outcome", "phase", "cause")
    table.add_column("seconds", justify="right", no_wrap=True)
    for report in reports:
        phase = expected_refusal.phase_of(report) or ""
        table.add_row(_symbol(report.outcome), report.check, _outcome(report.outcome), phase, *_last_columns(report))
    return table


def route_of(check: Check) -> str:
    """Return by what a check goes: its server, with the name of the mail API if it is one."""
    host = f"[{check.server.host}]" if ":" in check.server.host else check.server.host
    return f"{host}:{check.server.port}" if check.via is None else f"{check.way} at {host}:{check.server.port}"


def details(report: Report, check: Check, catalogue: Catalogue) -> RenderableType:
    """Return what is to be known of a run that was not ok: the best finding whole, the others by name."""
    head = Text.assemble((report.check, "bold"), "  ", f"{check.mailbox} via {route_of(check)}".lstrip())
    shown = [report.findings] if report.findings else [(warning,) for warning in report.warnings]
    return Group(head, *(findings_text(findings, catalogue) for findings in shown), Text())


def details_of_several(alike: Sequence[tuple[Check, Report]], catalogue: Catalogue) -> RenderableType:
    """Return what is to be known of runs that came out alike: the names of their checks, and their finding once."""
    report = alike[0][1]
    hosts = {f"{check.server.host}:{check.server.port}" for check, _ in alike}
    head = Text.assemble((f"{len(alike)} checks", "bold"), f"  via {next(iter(hosts))}" if len(hosts) == 1 else "")
    names = Text(", ".join(check.name for check, _ in alike), overflow="fold")
    findings = [of_several(finding) for finding in report.findings]
    shown = [findings] if findings else [[of_several(warning)] for warning in report.warnings]
    texts = (findings_text(each, catalogue) for each in shown)
    return Group(head, Padding(names, (0, 0, 0, 2)), *texts, Text())


def summary(reports: Sequence[Report]) -> str:
    """Return how many checks came out how, in one sentence."""
    counts = {outcome: sum(report.outcome is outcome for report in reports) for outcome in Outcome}
    said = ", ".join(f"{count} {outcome.value}" for outcome, count in counts.items() if count)
    return f"{len(reports)} check{'s' * (len(reports) != 1)}: {said or 'nothing to do'}"


def scenario_table(reports: Mapping[str, Report], scenarios: Sequence[Expectation]) -> Table:
    """Return one row a scenario of the demo, in eighty columns."""
    table = _table("check", "outcome", "phase", "cause", gap=1)
    for scenario in scenarios:
        report = reports[scenario.name]
        phase, refusal = expected_refusal.phase_of(report) or "", report.refused_as_expected
        cause = f"refused as expected: {refusal.head}" if refusal else _last_columns(report)[0].replace(", ", ",\n")
        table.add_row(_symbol(report.outcome), report.check, _outcome(report.outcome), phase, cause)
    return table


def scenario_verdict(reports: Mapping[str, Report], scenarios: Sequence[Expectation]) -> Text:
    """Return whether each check of the demo came out as its scenario says, and which did not."""
    wrong = [scenario.name for scenario in scenarios if not scenario.expects(reports[scenario.name])]
    verdict = Text(f"NOT as expected: {', '.join(wrong)}", "bold red") if wrong else Text("all as expected", "green")
    return Text.assemble(f"{len(scenarios)} checks: ", verdict)


def changes_text(reports: Mapping[str, Report]) -> RenderableType:
    """Return what has changed at the provider, with both values and times."""
    changed = (
        printable(f"{name}: {sentence}", limit=_LONGEST_LINE)
        for name, report in reports.items()
        for warning in report.warnings
        if warning.cause is Cause.SETTING_CHANGED
        for sentence in warning.evidence
    )
    return Text("\n".join(changed))


def _inspection_text(inspection: InspectionTraffic) -> str:
    undocumented = (
        f", {inspection.undocumented} of them by an interface of Exchange that Microsoft does not document"
        if inspection.undocumented
        else ""
    )
    return (
        f"Inspection of {inspection.credential} by {inspection.by}: about {inspection.requests} reading requests in "
        f"{span_text(inspection.every)}{undocumented}; one at once, one a second, and a few after a failure."
    )


def traffic_tables(traffic: Traffic) -> RenderableType:
    """Return what a configuration will cause at each host and issuer, an hour and a day."""
    hosts = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    hosts.add_column("host", overflow="fold")
    refusing = any(host.refusals_per_hour for host in traffic.hosts)
    for heading in ("checks", "connections/h", "/day", "concurrent", "messages/day", *["refusals/day"] * refusing):
        hosts.add_column(heading, justify="right", no_wrap=True)
    for host in traffic.hosts:
        numbers = (host.connections_per_hour, host.connections_per_day, host.connections_at_once, host.messages_per_day)
        refusals = (host.refusals_per_day,) if refusing else ()
        hosts.add_row(f"{host.host}:{host.port}", str(host.checks), *map(_count, (*numbers, *refusals)))
    issuers = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    issuers.add_column("issuer", overflow="fold")
    for heading in ("tokens", "max requests/h", "/day", "/h while failing"):
        issuers.add_column(heading, justify="right", no_wrap=True)
    for issuer in traffic.issuers:
        requests = (issuer.requests_per_hour, issuer.requests_per_day, issuer.failing_requests_per_hour)
        issuers.add_row(issuer.issuer, str(issuer.tokens), *map(_count, requests))
    searches = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    searches.add_column("searched", overflow="fold")
    for heading in ("mailboxes", "max searches/h", "/day"):
        searches.add_column(heading, justify="right", no_wrap=True)
    for search in traffic.searches:
        counts = (search.searches_per_hour, search.searches_per_day)
        searches.add_row(search.host, str(search.mailboxes), *map(_count, counts))
    shown = [table for table in (hosts, issuers, searches) if table.rows or table is not searches]
    gaps = [(Text(), table) if shown[0].rows else (table,) for table in shown[1:]]
    notes = [Text(ASSUMPTIONS)] if traffic.issuers or traffic.hosts else []
    notes += [Text(_inspection_text(each)) for each in traffic.inspections]
    notes += [Text(_GRAPH_SEARCH)] if any(search.via is FindVia.GRAPH for search in traffic.searches) else []
    return Group(shown[0], *(part for pair in gaps for part in pair), *([Text(), *notes] if notes else []))


def shards_text(settings: Settings) -> RenderableType:
    """Return which checks this agent of several runs, and which refresh tokens must be kept where it is."""
    sharding = settings.sharding
    names = sharding.names[sharding.shard.number]
    total = sum(map(len, sharding.names))
    rotating = [name for name, credential in settings.credentials.items() if credential.rotates]
    lines = [Text(f"shard {sharding.shard} runs {len(names)} of {total} checks: {', '.join(names) or 'none'}")]
    if rotating:
        lines.append(Text(f"credentials whose refresh token it alone uses: {', '.join(rotating)}"))
    return Group(*lines, Text())


def _count(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.2g}"


def nagios(reports: Sequence[Report], catalogue: Catalogue) -> str:
    """Return the result as a monitoring plug-in prints it: a status line with performance data, then a line a check.

    The form is that of the Monitoring Plugins guidelines: `STATUS - text | 'label'=value[unit] ...`. The text of the
    first line names the worst check, its cause in words, and the reply.
    """
    outcome = Outcome.worst([report.outcome for report in reports])
    notable = [report for report in reports if report.outcome is not Outcome.OK or report.refused_as_expected]
    worst = next((report for report in notable if report.outcome is outcome), None)
    counts = [summary(reports)] if len(reports) != 1 or worst is None else []
    text = "; ".join([*counts, *([_in_words(worst, catalogue)] if worst else [])])
    data = " ".join(f"'{report.check}'={report.seconds:.3f}s" for report in reports)
    lines = [f"{each.check}: {each.outcome.value}: {_causes(each)}" for each in notable]
    return "\n".join([f"{outcome.value.upper()} - {_plain(text)} | {data}", *map(_plain, lines)])


def _in_words(report: Report, catalogue: Catalogue) -> str:
    """Return a check's name, its cause in words, and the reply that showed it."""
    finding = next(iter(report.shown), None)
    cause = describe(finding, catalogue).summary if finding else _causes(report)
    reply = f" ({report.refusal})" if finding and report.refusal else ""
    return f"{report.check}: {cause}{reply}"


def _plain(line: str) -> str:
    """Return a line of a plug-in: bounded, printable, and without the sign that performance data begins with."""
    return printable(line)[:_LONGEST_LINE].replace("|", "/")


def _causes(report: Report) -> str:
    if report.cause is None:
        warned = ", ".join(finding.cause.value for finding in report.warnings)
        return "; ".join(filter(None, (warned, expected_refusal.refusal_note(report))))
    phase = expected_refusal.phase_of(report)
    return f"{report.cause.value} in phase {phase}" if phase else report.cause.value


def _last_columns(report: Report) -> tuple[str, str]:
    said = report.cause.value if report.cause else _causes(report)
    return said if len(said) <= _LONGEST_CAUSE else f"{said[:_LONGEST_CAUSE]}...", f"{report.seconds:.2f}"


def _table(*columns: str, gap: int = 2) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, gap, 0, 0))
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _symbol(outcome: Outcome) -> Text:
    return Text(_SYMBOLS[outcome], _STYLES[outcome])


def _outcome(outcome: Outcome) -> Text:
    return Text(outcome.value, _STYLES[outcome])
