"""The overview board: what fails and why, what alerts, since when, and how fast things are.

Rules of this file:
- What must be acted upon is above, what explains it below.
- A check links to its board, and to its page on the agent, which names the fix.
"""

from collections.abc import Sequence

from grafana_foundation_sdk.models import dashboard as model

from dashboards import queries as q
from dashboards.meanings import AVAILABILITY, BUDGET, OUTCOMES, SELDOM, WORKS, YES_NO
from dashboards.navigation import (
    AGENT_OF_ROW,
    CHECK_OF_ROW,
    CHECK_OF_SERIES,
    CREDENTIAL_OF_ROW,
    Annotation,
    board,
    provider_and_check,
)
from dashboards.panels import (
    BAD,
    POOR,
    Column,
    Frame,
    Panel,
    Row,
    bars,
    compose,
    counts,
    graph,
    number,
    table,
    timeline,
)
from dashboards.queries import Query


def overview() -> model.Dashboard:
    """Return the board."""
    failures = Annotation("Failures", f"count by (cause) ({q.checks('smtpcheck_failure_info')})", "{{cause}}")
    empty = board(
        "smtpcheck-overview",
        "Overview",
        "SMTP with OAuth2 as smtpcheck sees it: what fails and why, what alerts, how available and how fast it is.",
        provider_and_check(),
        [failures],
    )
    rows = (
        Row("Now", _now()),
        Row("Over time", _over_time()),
        Row("Latency", _latency()),
        Row("Delivery", _delivery()),
    )
    return compose(empty, rows)


def _now() -> Sequence[Panel]:
    outcome = f"sum by (outcome) ({q.checks('smtpcheck_outcome')})"
    return (
        counts(Frame("Checks", "How many checks have which outcome.", 8, 4), Query(outcome, "{{outcome}}"), OUTCOMES),
        number(
            Frame(
                "Availability",
                "The mean of the checks over the selected time, without the time in which they were unknown.",
                4,
                4,
                unit="percentunit",
                decimals=2,
                base=BAD,
                steps=AVAILABILITY,
            ),
            Query(f"avg({q.availability()})"),
        ),
        *_counts(),
        _problems(),
        _failing(),
        _alerts(),
        _warnings(),
        bars(
            Frame(
                "Lowest availability",
                "The ten checks that worked for the smallest part of the selected time.",
                12,
                8,
                unit="percentunit",
                decimals=1,
                base=BAD,
                steps=AVAILABILITY,
                links=CHECK_OF_SERIES,
            ),
            Query(f"sort(bottomk(10, {q.availability()}))", "{{check}}"),
        ),
        bars(
            Frame(
                "Lowest error budget",
                "The remaining share of the failures that the objective allows in 30 days; below 0 it is missed.",
                12,
                8,
                unit="percentunit",
                decimals=0,
                base=BAD,
                steps=BUDGET,
                links=CHECK_OF_SERIES,
            ),
            Query(f"sort(bottomk(10, {q.checks('check:smtpcheck_error_budget:remaining30d')}))", "{{check}}"),
        ),
    )


def _counts() -> Sequence[Panel]:
    token, fresh = q.agents("smtpcheck_token_success"), q.agents("smtpcheck_fresh_token_success")

    def count(title: str, meaning: str, colour: str, query: str) -> Panel:
        return number(Frame(title, meaning, 3, 4, decimals=0, steps=((1, colour),)), Query(query))

    return (
        count(
            "Objectives missed",
            "Checks that have failed for longer in 30 days than their objective allows.",
            POOR,
            f"sum(({q.checks('check:smtpcheck_error_budget:remaining30d')}) < bool 0)",
        ),
        count(
            "Without a token",
            "Credentials that get none; every check that uses them fails.",
            BAD,
            f"sum({token} == bool 0)",
        ),
        count(
            "Renewal failing",
            "Credentials that the issuer refuses a new token while the old one works: their checks will fail soon.",
            POOR,
            f"sum(({token} == bool 1) * ({fresh} == bool 0))",
        ),
        count(
            "Agents down",
            "Prometheus cannot reach them: their checks are not monitored.",
            BAD,
            f"sum({q.agents('up')} == bool 0)",
        ),
    )


def _problems() -> Panel:
    failure = q.checks("smtpcheck_failure_info")
    of_group = f"({failure}) * on ({q.IDENTITY}) group_left (credential, host) smtpcheck_check_info"
    grouped = f"sort_desc(count by (cause, credential, host) ({of_group}))"
    return table(
        Frame("What is wrong now", "By root cause, with how many checks fail for it and how to fix it.", 24, 7),
        {
            "cause": Column("Cause", width=230),
            "Value #A": Column("Checks", decimals=0, width=80),
            "credential": Column("Credential", width=180),
            "host": Column("Host", width=220),
            "remedy": Column("Remedy"),
        },
        Query(grouped),
        Query(q.remedied(grouped)),
        hidden=["Value #B"],
    )


def _failing() -> Panel:
    failure = q.checks("smtpcheck_failure_info")
    success = f"smtpcheck_last_success_timestamp_seconds{{{q.CHECK}}}"
    since = q.either(
        f"({failure}) * on ({q.IDENTITY}) group_left () (time() - {q.per_check(success)})",
        f"-1 * (({failure}) unless on ({q.IDENTITY}) {success})",
    )
    return table(
        Frame("Failing checks", "Why each check fails and how to fix it; its page has the evidence.", 24, 9),
        {
            "check": Column("Check", links=CHECK_OF_ROW, width=180),
            "cause": Column("Cause", width=230),
            "remedy": Column("Remedy"),
            "phase": Column("Phase", width=80),
            "smtp_code": Column("SMTP", unit="string", width=60),
            "enhanced_code": Column("Enhanced", width=85),
            "oauth_error": Column("OAuth error", width=150),
            "oauth_code": Column("OAuth code", width=130),
            "http_status": Column("HTTP", unit="string", width=60),
            "api_error": Column("API error", width=150),
            "Value #A": Column("Last success", unit="s", decimals=0, words={"-1": ("none yet", "")}, width=110),
            "instance": Column("Agent", width=150),
        },
        Query(since),
        Query(q.remedied(failure)),
        hidden=["Value #B"],
    )


def _alerts() -> Panel:
    alerts = 'ALERTS{alertname=~"Smtpcheck.+", job=~"$job|", instance=~"$instance|"}'
    kept = "severity, alertname, alertstate, check, credential, host, instance"
    words = {"critical": ("critical", BAD), "warning": ("warning", POOR), "info": ("info", "")}
    return table(
        Frame("Alerts", "Alerts of the selected agents, firing or pending, whatever checks are selected.", 12, 8),
        {
            "severity": Column("Severity", words=words, width=80),
            "alertname": Column("Alert", width=215),
            "alertstate": Column("State", width=65),
            "check": Column("Check", links=CHECK_OF_ROW),
            "credential": Column("Credential", links=CREDENTIAL_OF_ROW, width=90),
            "host": Column("Host", width=70),
            "instance": Column("Agent", links=AGENT_OF_ROW, width=110),
        },
        Query(f"max by ({kept}) ({alerts})"),
        hidden=["Value"],
    )


def _warnings() -> Panel:
    warnings = q.checks("smtpcheck_warning_info")
    return table(
        Frame("Warnings", "Checks that still work, and what will break them.", 12, 8),
        {
            "check": Column("Check", links=CHECK_OF_ROW, width=150),
            "cause": Column("Cause", width=150),
            "remedy": Column("Remedy"),
            "instance": Column("Agent", width=130),
        },
        Query(warnings),
        Query(q.remedied(warnings)),
        hidden=["Value #A", "Value #B"],
    )


def _over_time() -> Sequence[Panel]:
    worst = f"bottomk(20, {q.availability(' @ end()')}) < 1"
    return (
        graph(
            Frame("Outcomes", "How many checks had which outcome.", 12, 8),
            Query(f"sum by (outcome) ({q.checks('smtpcheck_outcome')})", "{{outcome}}"),
            stacked=True,
            colours=OUTCOMES,
        ),
        graph(
            Frame("Failures by cause", "Failed runs per minute, by cause.", 12, 8, unit="cpm"),
            Query(f"60 * sum by (cause) ({q.rate(q.providers('smtpcheck_failures_by_cause_total'))})", "{{cause}}"),
            stacked=True,
            interval=SELDOM,
        ),
        timeline(
            Frame(
                "Checks that failed",
                "The twenty that failed longest in the selected time; in a gap a check was unknown.",
                24,
                9,
                links=CHECK_OF_SERIES,
            ),
            Query(f"({q.checks('smtpcheck_success')}) and on ({q.IDENTITY}) ({worst})", "{{check}}"),
            WORKS,
        ),
    )


def _latency() -> Sequence[Panel]:
    buckets = q.providers("smtpcheck_phase_seconds_bucket")
    return (
        graph(
            Frame("Phases of the selected checks", "The mean over the checks' last runs.", 12, 8, unit="s"),
            Query(f"avg by (phase) ({q.checks('smtpcheck_phase_duration_seconds')})", "{{phase}}"),
        ),
        bars(
            Frame(
                "Slowest checks", "How long their last run took.", 12, 8, unit="s", base="blue", links=CHECK_OF_SERIES
            ),
            Query(f"sort_desc(topk(10, {q.checks('smtpcheck_duration_seconds')}))", "{{check}}"),
        ),
        *(
            graph(
                Frame(f"Phases, p{percent} by provider", "Over all runs of the provider's checks.", 12, 8, unit="s"),
                Query(q.quantile(percent / 100, buckets, "provider", "phase"), "{{provider}} {{phase}}"),
                interval=SELDOM,
            )
            for percent in (50, 95)
        ),
    )


def _delivery() -> Sequence[Panel]:
    def per_hour(fate: str) -> Query:
        return Query(f"3600 * sum({q.rate(q.named(f'smtpcheck_loopback_{fate}_total'))})", fate)

    buckets = q.providers("smtpcheck_loopback_seconds_bucket")
    return (
        table(
            Frame("Loopback messages", "The last message of each check with a loopback.", 24, 8),
            {
                "check": Column("Check", links=CHECK_OF_ROW),
                "Value #A": Column("Arrived", words=YES_NO),
                "folder": Column("Folder", words={"junk": ("junk", POOR)}),
                "Value #C": Column("Took", unit="s", decimals=1),
                "Value #D": Column("Pending", decimals=0),
                "Value #E": Column("Mailbox searchable", words=YES_NO),
                "instance": Column("Agent"),
            },
            *(
                Query(f"max by (instance, check{label}) ({q.checks(f'smtpcheck_loopback_{name}')})")
                for name, label in (
                    ("success", ""),
                    ("folder_info", ", folder"),
                    ("delivery_duration_seconds", ""),
                    ("pending", ""),
                    ("finder_success", ""),
                )
            ),
            hidden=["Value #B"],
        ),
        graph(
            Frame("Time to the mailbox", "Since the server's acceptance, median and 95th percentile.", 12, 8, unit="s"),
            Query(q.quantile(0.5, buckets, "provider"), "{{provider}} p50"),
            Query(q.quantile(0.95, buckets, "provider"), "{{provider}} p95"),
            interval=SELDOM,
        ),
        graph(
            Frame("Messages", "Per hour; late ones also count as found.", 12, 8),
            *(per_hour(fate) for fate in ("sent", "found", "late", "bounced", "lost", "uncertain")),
            interval=SELDOM,
        ),
        graph(
            Frame(
                "Returned messages by cause", "Checks whose last message was returned, by the bounce's cause.", 24, 8
            ),
            Query(f"count by (cause) ({q.checks('smtpcheck_loopback_bounce_info')})", "{{cause}}"),
        ),
    )
