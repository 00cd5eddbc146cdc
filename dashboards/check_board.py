"""The board of one check: its outcome, its cause and since when, its objective, and its credential."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from grafana_foundation_sdk.models import dashboard as model

from dashboards import queries as q
from dashboards.meanings import AVAILABILITY, BUDGET, DAYS, GRANTED, OUTCOMES, SELDOM, WORKS, YES_NO
from dashboards.navigation import CREDENTIAL_OF_ROW, PAGE_OF_CHOSEN, Annotation, board, label_variable
from dashboards.panels import BAD, GOOD, POOR, Column, Frame, Panel, Row, compose, graph, number, state, table, timeline
from dashboards.queries import Query


def one_check() -> model.Dashboard:
    """Return the board."""
    failures = Annotation("Failures", q.one("smtpcheck_failure_info"), "{{cause}} ({{phase}})")
    empty = board(
        "smtpcheck-check",
        "Check",
        "One check: its outcome and cause, its phases over time, its objective, and its credential.",
        [label_variable("check", "Check", q.agents("smtpcheck_check_info"), several=False)],
        [failures],
    )
    rows = (
        Row("Now", _now()),
        Row("Over time", _over_time()),
        Row("Objective", _objective()),
        Row("Credential", _credential()),
        Row("Delivery", _delivery()),
    )
    return compose(empty, rows)


def _now() -> Sequence[Panel]:
    certificate = q.one("smtpcheck_tls_certificate_expiry_timestamp_seconds")
    return (
        state(
            Frame("Outcome", "The outcome of the last run.", 4, 4),
            Query(f"{q.one('smtpcheck_outcome')} == 1", "{{outcome}}"),
            OUTCOMES,
        ),
        number(
            Frame(
                "Availability",
                "Over the selected time, without the time in which the check was unknown.",
                4,
                4,
                unit="percentunit",
                decimals=2,
                base=BAD,
                steps=AVAILABILITY,
            ),
            Query(f"avg(avg_over_time({q.one('smtpcheck_success')}[$__range]))"),
        ),
        number(
            Frame(
                "Error budget",
                "The remaining share of the failures that the objective allows in 30 days; below 0 it is missed.",
                4,
                4,
                unit="percentunit",
                decimals=0,
                base=BAD,
                steps=BUDGET,
            ),
            Query(f"min({q.one('check:smtpcheck_error_budget:remaining30d')})"),
        ),
        number(
            Frame("Last run", "How long ago it started.", 4, 4, unit="s", decimals=0, base="text"),
            Query(f"min(time() - {q.one('smtpcheck_last_run_timestamp_seconds')})"),
        ),
        number(
            Frame(
                "Last success", "How long ago a run last reached its depth.", 4, 4, unit="s", decimals=0, base="text"
            ),
            Query(f"min(time() - {q.one('smtpcheck_last_success_timestamp_seconds')})"),
        ),
        number(
            Frame("Certificate, days left", "Until the server's certificate expires.", 4, 4, "none", 0, DAYS, BAD),
            Query(f"min({certificate} - time()) / 86400"),
        ),
        _causes(
            Frame("Why it fails", "The cause of the last run's failure, and its remedy.", 24, 5),
            "smtpcheck_failure_info",
            {
                "phase": Column("Phase", width=80),
                "smtp_code": Column("SMTP", unit="string", width=60),
                "enhanced_code": Column("Enhanced", width=85),
                "oauth_error": Column("OAuth error", width=150),
                "oauth_code": Column("OAuth code", width=130),
                "http_status": Column("HTTP", unit="string", width=60),
                "api_error": Column("API error", width=150),
            },
        ),
        _causes(Frame("Warnings", "What will break it, while it still works.", 12, 5), "smtpcheck_warning_info"),
        _configuration(),
    )


def _causes(frame: Frame, metric: str, further: Mapping[str, Column] = MappingProxyType({})) -> Panel:
    series = q.one(metric)
    return table(
        frame,
        {
            "cause": Column("Cause", links=PAGE_OF_CHOSEN, width=230),
            "remedy": Column("Remedy"),
            **further,
            "instance": Column("Agent", width=150),
        },
        Query(series),
        Query(q.remedied(series)),
        hidden=["Value #A", "Value #B", "check"],
    )


def _configuration() -> Panel:
    return table(
        Frame("Configuration", "How it is configured, and the TLS of its last run.", 12, 5),
        {
            "provider": Column("Provider"),
            "credential": Column("Credential", links=CREDENTIAL_OF_ROW),
            "host": Column("Host"),
            "port": Column("Port", unit="string", width=60),
            "depth": Column("Depth", width=80),
            "Value #A": Column("Interval", unit="s", width=70),
            "version": Column("TLS", width=70),
            "cipher": Column("Cipher"),
            "instance": Column("Agent", links=PAGE_OF_CHOSEN),
        },
        Query(
            f"{q.one('smtpcheck_check_info')} * on ({q.IDENTITY}) group_left () "
            f"{q.per_check(q.one('smtpcheck_interval_seconds'))}"
        ),
        Query(f"max by (instance, check, version, cipher) ({q.one('smtpcheck_tls_info')})"),
        hidden=["Value #B", "check"],
    )


def _over_time() -> Sequence[Panel]:
    return (
        timeline(
            Frame("Works", "In a gap the check was unknown.", 12, 6),
            Query(q.one("smtpcheck_success"), "{{instance}}"),
            WORKS,
        ),
        timeline(
            Frame("Causes", "Why its runs failed.", 12, 6),
            Query(q.one("smtpcheck_failure_info"), "{{phase}} {{cause}}"),
            {"1": ("fails", BAD)},
        ),
        graph(
            Frame("Phases", "How long each phase of the last run took.", 12, 9, unit="s"),
            Query(f"sum by (phase) ({q.one('smtpcheck_phase_duration_seconds')})", "{{phase}}"),
            stacked=True,
        ),
        graph(
            Frame(
                "Duration against its week", "The last run, the mean of an hour, and what is usual.", 12, 9, unit="s"
            ),
            Query(q.one("smtpcheck_duration_seconds"), "last run"),
            Query(q.one("check:smtpcheck_duration_seconds:avg1h"), "mean of an hour"),
            Query(q.one("check:smtpcheck_duration_seconds:median1w"), "median of a week"),
        ),
        timeline(
            Frame(
                "Side by side: works", "The checks of the same mailbox by SMTP and by mail APIs, if there are.", 12, 6
            ),
            Query(q.beside("smtpcheck_success"), "{{via}} {{check}}"),
            WORKS,
        ),
        graph(
            Frame("Side by side: duration", "How long the last run took by each way.", 12, 6, unit="s"),
            Query(q.beside("smtpcheck_duration_seconds"), "{{via}} {{check}}"),
        ),
    )


def _objective() -> Sequence[Panel]:
    return (
        graph(
            Frame(
                "Availability",
                "Over windows that end at each point, and the objective of 30 days.",
                12,
                8,
                unit="percentunit",
                decimals=2,
            ),
            Query(q.one("check:smtpcheck_success:avg1h"), "1 hour"),
            Query(q.one("check:smtpcheck_success:avg1d"), "1 day"),
            Query(q.one("check:smtpcheck_success:avg30d"), "30 days"),
            Query("smtpcheck:availability:objective", "objective"),
            from_zero=False,
        ),
        graph(
            Frame(
                "Error budget of 30 days",
                "The remaining share; below 0 the objective is missed.",
                12,
                8,
                "percentunit",
            ),
            Query(q.one("check:smtpcheck_error_budget:remaining30d"), "remaining"),
            colours={"remaining": GOOD},
        ),
    )


def _credential() -> Sequence[Panel]:
    mine = f"and on (instance, credential) {q.one('smtpcheck_check_info')}"

    def of_mine(metric: str, rest: str = "") -> Query:
        return Query(f"min by (instance, credential) ({q.agents(metric)} {mine}){rest}")

    days = " - time()) / 86400"
    return (
        table(
            Frame("Its credential", "Days until expiry, where it is known.", 24, 5),
            {
                "credential": Column("Credential", links=CREDENTIAL_OF_ROW),
                "Value #A": Column("Token", words=YES_NO),
                "Value #B": Column("New token", words=GRANTED),
                "Value #C": Column("Token expires in", unit="s", decimals=0, base=BAD, steps=((300, GOOD),)),
                "Value #D": Column("Client secret", unit="none", decimals=1, base=BAD, steps=DAYS),
                "Value #E": Column("Client certificate", unit="none", decimals=1, base=BAD, steps=DAYS),
                "Value #F": Column("Refresh token", unit="none", decimals=1, base=BAD, steps=DAYS),
                "instance": Column("Agent"),
            },
            of_mine("smtpcheck_token_success"),
            of_mine("smtpcheck_fresh_token_success"),
            of_mine("smtpcheck_token_expiry_timestamp_seconds", " - time()"),
            *(
                Query(f"({of_mine(f'smtpcheck_{what}_expiry_timestamp_seconds').expression}{days}")
                for what in ("client_secret", "client_certificate", "refresh_token")
            ),
        ),
    )


def _delivery() -> Sequence[Panel]:
    def of_loopback(name: str) -> str:
        return q.one(f"smtpcheck_loopback_{name}")

    return (
        table(
            Frame("Last message", "The last loopback message of the check.", 12, 5),
            {
                "Value #A": Column("Arrived", words=YES_NO),
                "folder": Column("Folder", words={"junk": ("junk", POOR)}, links=PAGE_OF_CHOSEN),
                "reason": Column("Why in Junk"),
                "cause": Column("Why returned"),
                "Value #C": Column("Took", unit="s", decimals=1),
                "Value #D": Column("Pending", decimals=0),
                "Value #E": Column("Mailbox searchable", words=YES_NO),
                "instance": Column("Agent"),
            },
            Query(f"max by (instance, check) ({of_loopback('success')})"),
            Query(f"max by (instance, check, folder) ({of_loopback('folder_info')})"),
            *(
                Query(f"max by (instance, check) ({of_loopback(name)})")
                for name in ("delivery_duration_seconds", "pending", "finder_success")
            ),
            Query(f"max by (instance, check, reason) ({of_loopback('junk_info')})"),
            Query(f"max by (instance, check, cause) ({of_loopback('bounce_info')})"),
            hidden=["Value #B", "Value #F", "Value #G", "check"],
        ),
        table(
            Frame("Authentication of the last message", "The receiver's results, if authserv_id is configured.", 12, 5),
            {"method": Column("Method"), "result": Column("Result"), "instance": Column("Agent")},
            Query(of_loopback("authentication_info")),
            hidden=["Value", "check"],
        ),
        graph(
            Frame("Time to the mailbox", "Of the last message that arrived, since its acceptance.", 12, 8, unit="s"),
            Query(of_loopback("delivery_duration_seconds"), "{{instance}}"),
        ),
        graph(
            Frame("Messages", "Per hour; late ones also count as found.", 12, 8),
            *(
                Query(f"3600 * {q.rate(of_loopback(f'{fate}_total'))}", fate)
                for fate in ("sent", "found", "late", "bounced", "lost", "uncertain")
            ),
            interval=SELDOM,
        ),
    )
