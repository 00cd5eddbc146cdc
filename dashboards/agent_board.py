"""The board of the agents: whether they run, keep up, and have what they need."""

from collections.abc import Sequence

from grafana_foundation_sdk.models import dashboard as model

from dashboards import queries as q
from dashboards.meanings import NO_YES, OUTCOMES, SELDOM, YES_NO
from dashboards.navigation import AGENT_OF_ROW, Annotation, board
from dashboards.panels import BAD, GOOD, POOR, Column, Frame, Panel, Row, compose, graph, table, timeline
from dashboards.queries import Query


def agents() -> model.Dashboard:
    """Return the board."""
    loaded = f"changes({q.agents('smtpcheck_config_last_reload_success_timestamp_seconds')}[$__rate_interval])"
    empty = board(
        "smtpcheck-agents",
        "Agents",
        "The agents themselves: whether they run and keep up with their checks, and what they use.",
        [],
        [
            Annotation("Failed agents", f"{q.agents('up')} == bool 0", "{{instance}} is not scraped"),
            Annotation("Configuration loaded", loaded, "{{instance}} loaded its configuration", "blue"),
        ],
    )
    rows = (
        Row("Now", (_table(),)),
        Row("Work", _work()),
        Row("The agents' own alerts", _alerts()),
        Row("Process", _process()),
    )
    return compose(empty, rows)


def _table() -> Panel:
    def of_agent(metric: str, factor: str = "") -> Query:
        return Query(f"max by (instance) ({q.agents(metric)}){factor}")

    return table(
        Frame("Agents", "One row per agent. Without connectivity, its checks are unknown.", 24, 6),
        {
            "instance": Column("Agent", links=AGENT_OF_ROW),
            "Value #A": Column("Scraped", words=YES_NO),
            "version": Column("Version"),
            "Value #C": Column("Checks", decimals=0),
            "Value #D": Column("No connectivity", words=NO_YES),
            "Value #E": Column("Last reload", words={"1": ("worked", GOOD), "0": ("failed", BAD)}),
            "Value #F": Column("Configuration loaded", unit="dateTimeFromNow"),
            "Value #G": Column("Started", unit="dateTimeFromNow"),
        },
        of_agent("up"),
        Query(f"max by (instance, version) ({q.agents('smtpcheck_build_info')})"),
        of_agent("smtpcheck_checks"),
        of_agent("smtpcheck_cut_off"),
        of_agent("smtpcheck_config_last_reload_successful"),
        of_agent("smtpcheck_config_last_reload_success_timestamp_seconds", " * 1000"),
        of_agent("process_start_time_seconds", " * 1000"),
        hidden=["Value #B"],
    )


def _work() -> Sequence[Panel]:
    lag = q.agents("smtpcheck_schedule_lag_seconds_bucket")
    return (
        graph(
            Frame("Outcomes", "How many checks of the agents had which outcome.", 8, 8, decimals=0),
            Query(f"sum by (outcome) ({q.agents('smtpcheck_outcome')})", "{{outcome}}"),
            stacked=True,
            colours=OUTCOMES,
        ),
        graph(
            Frame("Runs", "Runs that ended per second, and those in flight.", 8, 8),
            Query(f"sum by (instance) ({q.rate(q.agents('smtpcheck_runs_total'))})", "{{instance}} ended per second"),
            Query(q.agents("smtpcheck_checks_in_flight"), "{{instance}} in flight"),
        ),
        graph(
            Frame("Skipped runs", "Runs skipped per minute, by reason.", 8, 8, unit="cpm"),
            Query(f"60 * {q.rate(q.agents('smtpcheck_runs_skipped_total'))}", "{{instance}} {{reason}}"),
        ),
        *(
            graph(
                Frame(f"Schedule lag, p{percent}", "How long after they were due runs started.", 12, 8, unit="s"),
                Query(q.quantile(percent / 100, lag, "instance"), "{{instance}}"),
                interval=SELDOM,
            )
            for percent in (50, 99)
        ),
    )


def _alerts() -> Sequence[Panel]:
    sent = f"60 * sum by (notifier, result) ({q.rate(q.agents('smtpcheck_notifications_total'))})"
    return (
        graph(
            Frame("Firing", "Alerts that the agents themselves send.", 8, 7, decimals=0),
            Query(f"sum by (severity) ({q.agents('smtpcheck_alerts_firing')})", "{{severity}}"),
            stacked=True,
            colours={"critical": BAD, "warning": POOR},
        ),
        graph(
            Frame("Notifications", "Per minute, by notifier: sent, failed, dropped.", 8, 7, unit="cpm"),
            Query(sent, "{{notifier}} {{result}}"),
            interval=SELDOM,
        ),
        timeline(
            Frame("Notifiers", "Whether the last attempt of each succeeded.", 8, 7),
            Query(q.agents("smtpcheck_notifier_failing"), "{{instance}} {{notifier}}"),
            {"0": ("works", GOOD), "1": ("fails", BAD)},
        ),
    )


def _process() -> Sequence[Panel]:
    return (
        graph(
            Frame("Internal errors", "Per minute; the agent's log has the details.", 8, 7, unit="cpm"),
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
        graph(
            Frame("Open files", "As a share of the system's limit; connections count too.", 8, 7, "percentunit"),
            Query(f"{q.agents('process_open_fds')} / {q.agents('process_max_fds')}", "{{instance}}"),
        ),
        graph(
            Frame("Duration of a scrape", "How long Prometheus waited for the metrics.", 8, 7, unit="s"),
            Query(q.agents("scrape_duration_seconds"), "{{instance}}"),
        ),
        graph(
            Frame("Series of a scrape", "How many samples Prometheus got.", 8, 7, decimals=0),
            Query(q.agents("scrape_samples_scraped"), "{{instance}}"),
        ),
    )
