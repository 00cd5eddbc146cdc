"""The overview board: what fails and why, how long it has, and whether the agents themselves are well.

Rules of this file:
- What must be acted upon stands above, what explains it below, the agents last.
- Colours say what to do: red now, orange and yellow soon, green nothing, grey that nothing is known.
- A check leads to its page at the agent, which names the repair.
"""

from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from dashboards import queries as q
from dashboards.panels import (
    BAD,
    FAIR,
    GOOD,
    GREY,
    POOR,
    Column,
    Frame,
    Panel,
    Row,
    bars,
    compose,
    counts,
    graph,
    label_variable,
    number,
    table,
    timeline,
)
from dashboards.queries import Query

_OUTCOMES = {"ok": GOOD, "warning": FAIR, "critical": BAD, "unknown": GREY}
_YES_NO = {"1": ("yes", GOOD), "0": ("no", BAD)}
_NO_YES = {"1": ("yes", BAD), "0": ("no", GOOD)}
_DAYS = ((1, POOR), (7, FAIR), (30, GOOD))
"""Steps for the days until something ends; below the first one it is red."""
_SELDOM = "5m"
"""The least distance of points that count runs or requests, which come once a minute or less."""

_ROW_PAGE = ("Page of this check", "${scheme}://${__data.fields.instance}/checks/${__data.fields.check}")
_SERIES_PAGE = ("Page of this check", "${scheme}://${__field.labels.instance}/checks/${__field.labels.check}")
_AGENT_PAGE = ("Page of this agent", "${scheme}://${__data.fields.instance}/")


def overview() -> model.Dashboard:
    """Return the board."""
    board = (
        dashboard.Dashboard("smtpcheck / Overview")
        .uid("smtpcheck-overview")
        .description("SMTP with OAuth2 as smtpcheck sees it: what fails and why, what ends soon, how the agents are.")
        .tags(["smtpcheck", "smtp", "oauth2"])
        .time("now-6h", "now")
        .refresh("1m")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .variables(_variables())
        .annotations([])
    )
    rows = (
        Row("Now", _now()),
        Row("Over time", _over_time()),
        Row("Latency", _latency()),
        Row("Credentials and certificates", _credentials()),
        Row("Agents", _agents()),
    )
    return compose(board, rows)


def _variables() -> list[Builder[model.VariableModel]]:
    agent = 'smtpcheck_build_info{job=~"$job"}'
    return [
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        label_variable("job", "Job", "smtpcheck_build_info"),
        label_variable("instance", "Agent", agent, everything=".*"),
        label_variable("provider", "Provider", q.agents("smtpcheck_check_info"), everything=".*"),
        label_variable("check", "Check", q.providers("smtpcheck_check_info"), everything=".*"),
        dashboard.CustomVariable("scheme")
        .label("Links")
        .description("How the agents' pages are reached; the host is that of the label instance.")
        .values("http,https")
        .current(model.VariableOption(selected=True, text="http", value="http")),
    ]


def _now() -> Sequence[Panel]:
    outcome = f"sum by (outcome) ({q.checks('smtpcheck_outcome')})"
    token, fresh = q.agents("smtpcheck_token_success"), q.agents("smtpcheck_fresh_token_success")
    return (
        counts(Frame("Checks", "How many checks have which outcome.", 9, 4), Query(outcome, "{{outcome}}"), _OUTCOMES),
        number(
            Frame(
                "Availability",
                "The mean of the checks over the chosen time, without the time in which they were unknown.",
                5,
                4,
                unit="percentunit",
                decimals=2,
                base=BAD,
                steps=((0.95, POOR), (0.99, FAIR), (0.999, GOOD)),
            ),
            Query(f"avg({q.availability()})"),
        ),
        number(
            Frame(
                "Credentials without a token", "Every check that uses them fails.", 4, 4, decimals=0, steps=((1, BAD),)
            ),
            Query(f"sum({token} == bool 0)"),
        ),
        number(
            Frame(
                "Credentials on their last token",
                "The issuer refuses a new token while the old one still works: their checks will fail within the hour.",
                3,
                4,
                decimals=0,
                steps=((1, POOR),),
            ),
            Query(f"sum(({token} == bool 1) * ({fresh} == bool 0))"),
        ),
        number(
            Frame("Agents not scraped", "Nobody watches their checks.", 3, 4, decimals=0, steps=((1, BAD),)),
            Query(f"sum({q.agents('up')} == bool 0)"),
        ),
        _failing(),
        _warnings(),
        bars(
            Frame(
                "Lowest availability",
                "The ten checks that worked for the smallest part of the chosen time.",
                12,
                8,
                unit="percentunit",
                decimals=1,
                base=BAD,
                steps=((0.95, POOR), (0.99, FAIR), (0.999, GOOD)),
                link=_SERIES_PAGE,
            ),
            Query(f"sort(bottomk(10, {q.availability()}))", "{{check}}"),
        ),
    )


def _failing() -> Panel:
    failure = q.checks("smtpcheck_failure_info")
    success = f"smtpcheck_last_success_timestamp_seconds{{{q.CHECK}}}"
    since = q.either(
        f"({failure}) * on ({q.IDENTITY}) group_left () (time() - {success})",
        f"-1 * (({failure}) unless on ({q.IDENTITY}) {success})",
    )
    return table(
        Frame("Failing checks", "Why each check fails; its page names the evidence and the repair.", 24, 9),
        {
            "check": Column("Check", link=_ROW_PAGE),
            "cause": Column("Cause"),
            "phase": Column("Phase"),
            "smtp_code": Column("SMTP code"),
            "enhanced_code": Column("Enhanced code"),
            "oauth_error": Column("OAuth error"),
            "oauth_code": Column("OAuth code"),
            "Value": Column(
                "Since last success", unit="s", decimals=0, words={"-1": ("none since the agent's start", "")}
            ),
            "instance": Column("Agent"),
        },
        Query(since),
    )


def _warnings() -> Panel:
    return table(
        Frame("Warnings", "Checks that still work, and what will break them.", 12, 8),
        {"check": Column("Check", link=_ROW_PAGE), "cause": Column("Cause"), "instance": Column("Agent")},
        Query(q.checks("smtpcheck_warning_info")),
        hidden=["Value"],
    )


def _over_time() -> Sequence[Panel]:
    worst = f"bottomk(20, {q.availability(' @ end()')}) < 1"
    return (
        graph(
            Frame("Outcomes", "How many checks had which outcome.", 12, 8),
            Query(f"sum by (outcome) ({q.checks('smtpcheck_outcome')})", "{{outcome}}"),
            stacked=True,
            colours=_OUTCOMES,
        ),
        graph(
            Frame("Failures by cause", "Failed runs in a minute, by what they failed of.", 12, 8, unit="cpm"),
            Query(f"60 * sum by (cause) ({q.rate(q.providers('smtpcheck_failures_by_cause_total'))})", "{{cause}}"),
            stacked=True,
            interval=_SELDOM,
        ),
        timeline(
            Frame(
                "Checks that failed",
                "The twenty that failed longest in the chosen time; in a gap a check was unknown.",
                24,
                9,
                link=_SERIES_PAGE,
            ),
            Query(f"({q.checks('smtpcheck_success')}) and on ({q.IDENTITY}) ({worst})", "{{check}}"),
            {"1": ("works", GOOD), "0": ("fails", BAD)},
        ),
    )


def _latency() -> Sequence[Panel]:
    buckets = q.providers("smtpcheck_phase_seconds_bucket")
    return (
        graph(
            Frame("Phases of the chosen checks", "The mean over the checks' last runs.", 12, 8, unit="s"),
            Query(f"avg by (phase) ({q.checks('smtpcheck_phase_duration_seconds')})", "{{phase}}"),
        ),
        bars(
            Frame("Slowest checks", "How long their last run took.", 12, 8, unit="s", base="blue", link=_SERIES_PAGE),
            Query(f"sort_desc(topk(10, {q.checks('smtpcheck_duration_seconds')}))", "{{check}}"),
        ),
        *(
            graph(
                Frame(f"Phases, p{percent} by provider", "Over all runs of the provider's checks.", 12, 8, unit="s"),
                Query(q.quantile(percent / 100, buckets, "provider", "phase"), "{{provider}} {{phase}}"),
                interval=_SELDOM,
            )
            for percent in (50, 95)
        ),
    )


def _credentials() -> Sequence[Panel]:
    result = f"60 * sum by (credential, result) ({q.rate(q.agents('smtpcheck_token_requests_total'))})"
    acquisition = f"max by (credential) ({q.agents('smtpcheck_token_acquisition_duration_seconds')})"
    return (
        _tokens(),
        _ends(),
        graph(
            Frame("Requests to issuers", "Requests in a minute; a token from the cache is none.", 12, 7, unit="reqpm"),
            Query(result, "{{credential}} {{result}}"),
            interval=_SELDOM,
        ),
        graph(
            Frame("Time to a token", "How long the last request to the issuer took.", 12, 7, unit="s"),
            Query(acquisition, "{{credential}}"),
        ),
    )


def _tokens() -> Panel:
    def least(metric: str, now: str = "") -> Query:
        return Query(f"min by (instance, credential) ({q.agents(metric)}{now})")

    return table(
        Frame("Tokens", "A credential that works but is refused a new token lives on its last one.", 12, 9),
        {
            "credential": Column("Credential"),
            "Value #A": Column("Token", words=_YES_NO),
            "Value #B": Column("New token", words={"1": ("granted", GOOD), "0": ("refused", POOR)}),
            "Value #C": Column("Ends in", unit="s", decimals=0, base=BAD, steps=((300, GOOD),)),
            "instance": Column("Agent", link=_AGENT_PAGE),
        },
        least("smtpcheck_token_success"),
        least("smtpcheck_fresh_token_success"),
        least("smtpcheck_token_expiry_timestamp_seconds", " - time()"),
    )


def _ends() -> Panel:
    def of_credential(metric: str) -> str:
        return f"min by (instance, credential) ({q.agents(metric)} - time()) / 86400"

    seen = f"({q.checks('smtpcheck_tls_certificate_expiry_timestamp_seconds')})"
    by_server = f"{seen} * on ({q.IDENTITY}) group_left (host, port) smtpcheck_check_info{{{q.CHECK}}}"
    ends = q.either(
        q.named("client secret", of_credential("smtpcheck_client_secret_expiry_timestamp_seconds")),
        q.named("client certificate", of_credential("smtpcheck_client_certificate_expiry_timestamp_seconds")),
        q.named("server certificate", f"(min by (instance, host, port) ({by_server}) - time()) / 86400"),
    )
    return table(
        Frame("What ends, and when", "Client secrets show if their end is configured or known to the agent.", 12, 9),
        {
            "what": Column("What"),
            "credential": Column("Credential"),
            "host": Column("Host"),
            "port": Column("Port"),
            "Value": Column("Days left", unit="none", decimals=1, base=BAD, steps=_DAYS),
            "instance": Column("Agent"),
        },
        Query(ends),
        ascending="Days left",
    )


def _agents() -> Sequence[Panel]:
    lag = q.agents("smtpcheck_schedule_lag_seconds_bucket")
    return (
        _agent_table(),
        graph(
            Frame("Runs", "Runs that ended in a second, and those under way.", 8, 7, unit="short"),
            Query(f"sum by (instance) ({q.rate(q.agents('smtpcheck_runs_total'))})", "{{instance}} ended per second"),
            Query(q.agents("smtpcheck_checks_in_flight"), "{{instance}} under way"),
        ),
        graph(
            Frame("Schedule lag, p99", "How long after they were due runs began.", 8, 7, unit="s"),
            Query(q.quantile(0.99, lag, "instance"), "{{instance}}"),
            interval=_SELDOM,
        ),
        graph(
            Frame("Runs left out", "Runs in a minute that were not made, by reason.", 8, 7, unit="cpm"),
            Query(f"60 * {q.rate(q.agents('smtpcheck_runs_skipped_total'))}", "{{instance}} {{reason}}"),
        ),
        graph(
            Frame("Internal errors", "Faults of smtpcheck itself in a minute; its log says more.", 8, 7, unit="cpm"),
            Query(f"60 * {q.rate(q.agents('smtpcheck_internal_errors_total'))}", "{{instance}}"),
        ),
        graph(
            Frame("Memory", "Resident memory of the agent.", 8, 7, unit="bytes"),
            Query(q.agents("process_resident_memory_bytes"), "{{instance}}"),
        ),
        graph(
            Frame("CPU", "The share of one core.", 8, 7, unit="percentunit"),
            Query(q.rate(q.agents("process_cpu_seconds_total")), "{{instance}}"),
        ),
    )


def _agent_table() -> Panel:
    def of_agent(metric: str, factor: str = "") -> Query:
        return Query(f"max by (instance) ({q.agents(metric)}){factor}")

    return table(
        Frame("Agents", "One row for each agent; one that is cut off has no network of its own.", 24, 6),
        {
            "instance": Column("Agent", link=_AGENT_PAGE),
            "Value #A": Column("Scraped", words=_YES_NO),
            "version": Column("Version"),
            "Value #C": Column("Checks"),
            "Value #D": Column("Cut off", words=_NO_YES),
            "Value #E": Column("Last load of the configuration", words={"1": ("worked", GOOD), "0": ("failed", BAD)}),
            "Value #F": Column("Configuration in force since", unit="dateTimeFromNow"),
        },
        of_agent("up"),
        Query(f"max by (instance, version) ({q.agents('smtpcheck_build_info')})"),
        of_agent("smtpcheck_checks"),
        of_agent("smtpcheck_cut_off"),
        of_agent("smtpcheck_config_last_reload_successful"),
        of_agent("smtpcheck_config_last_reload_success_timestamp_seconds", " * 1000"),
        hidden=["Value #B"],
    )
