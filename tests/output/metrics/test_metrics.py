"""What a scrape shows, in both formats, as the formats' own parsers read it."""

import subprocess
from dataclasses import replace

import pytest
from msgspec import structs
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from smtpcheck.model.cause import Cause
from smtpcheck.model.check import (
    Check,
    Phase,
)
from smtpcheck.model.credential import CredentialState
from smtpcheck.model.inspection import Incident, IncidentStatus
from smtpcheck.model.report import (
    CertificateFacts,
    Exchange,
    Fault,
    FaultKind,
    Finding,
    Outcome,
    Reply,
    Report,
    Step,
    TlsFacts,
    TokenError,
    TokenErrorKind,
)
from smtpcheck.model.shard import ALONE, Shard, ShardAssignment
from smtpcheck.output.metrics import AgentState, Metrics
from smtpcheck.output.metrics.families import PER_CHECK, PER_PROBE, TABLE, Kind
from smtpcheck.state.state import State
from tests.loopback.test_returned import RETURNED
from tests.loopback.test_status import ARRIVED
from tests.real.daemon import real_binary
from tests.worlds.samples import exchange_online

CHECK = exchange_online(mailbox="billing@example.org", labels=(("site", "north"), ("team", "finance")))
ORDERS = replace(CHECK, name="orders", labels=(("team", "sales"),))

CERTIFICATE = CertificateFacts(1.0, 1800000000.0, "CN=smtp", "CN=ca", ("smtp.office365.com",), "ab" * 32, False, True)
GOOD = Report(
    check="billing",
    started_at=1700000000.25,
    seconds=0.375,
    outcome=Outcome.OK,
    steps=(
        Step(Phase.DNS, 0.0, 0.0078125),
        Step(Phase.CONNECT, 0.0078125, 0.03125),
        Step(Phase.AUTH, 0.125, 0.25, (Exchange("AUTH XOAUTH2", Reply(235, "2.7.0", ("ok",))),)),
    ),
    tls=TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", CERTIFICATE),
)
REFUSED = Report(
    check="orders",
    started_at=1700000001.0,
    seconds=0.5,
    outcome=Outcome.CRITICAL,
    steps=(
        Step(Phase.CONNECT, 0.0, 0.0625),
        Step(
            Phase.AUTH,
            0.25,
            0.25,
            (Exchange("AUTH XOAUTH2", Reply(535, "5.7.3", ("orders@example.org unsuccessful",))),),
            Fault(FaultKind.REPLY),
        ),
    ),
    cause=Cause.USER_MISMATCH,
)
NO_TOKEN = Report(
    check="billing",
    started_at=1700000002.0,
    seconds=0.5,
    outcome=Outcome.CRITICAL,
    steps=(Step(Phase.TOKEN, 0.0, 0.125, (), Fault(FaultKind.TOKEN)), Step(Phase.CONNECT, 0.125, 0.0625)),
    cause=Cause.SECRET_EXPIRED,
    token_error=TokenError(TokenErrorKind.OAUTH, 1.0, error="invalid_client", error_codes=(7000222, 7000215)),
)
WARNED = structs.replace(
    GOOD,
    outcome=Outcome.WARNING,
    warnings=(
        Finding(Cause.SLOW, 1.0, "slow"),
        Finding(Cause.CERTIFICATE_EXPIRING, 1.0, "certificate"),
        Finding(Cause.SLOW, 0.5, "slower"),
    ),
)
UNKNOWN = Report(
    check="billing", started_at=1700000003.0, seconds=0.5, outcome=Outcome.UNKNOWN, cause=Cause.AGENT_CUT_OFF
)

CREDENTIALS = (
    CredentialState(
        name="contoso",
        type="microsoft",
        success=True,
        expires_at=1700003600.0,
        acquisition_seconds=0.25,
        requests={"success": 2, "error": 1},
        fresh_success=False,
        client_secret_expires_at=1710000000.0,
    ),
    CredentialState(name="unused", type="microsoft"),
)
AGENT = AgentState(
    version="0.1.0",
    checks=2,
    in_flight=1,
    connectivity_lost=False,
    skipped={"still_running": 3},
    internal_errors=4,
    config_last_reload_successful=True,
    config_last_reload_success_timestamp=1690000000.0,
    notifications={("team", "success"): 3, ("team", "error"): 1, ("team", "dropped"): 0},
    notifiers_failing={"team": False, "heartbeat": True},
    alerts_firing={"critical": 2, "warning": 0},
    silences=1,
    inspections={"contoso": True},
    inspection_findings={"contoso": frozenset({Cause.SETTING_CHANGED})},
    incidents=(
        Incident("microsoft", "exchange_online", "EX226792", IncidentStatus.DEGRADED, "Mail is slow", None, None, 0.0),
    ),
)

BILLING_AND_ORDERS = """\
smtpcheck_success{check="billing",site="north",team="finance"} 1
smtpcheck_success{check="orders",team="sales"} 0
smtpcheck_outcome{check="billing",site="north",team="finance",outcome="ok"} 1
smtpcheck_outcome{check="billing",site="north",team="finance",outcome="warning"} 0
smtpcheck_outcome{check="billing",site="north",team="finance",outcome="critical"} 0
smtpcheck_outcome{check="billing",site="north",team="finance",outcome="unknown"} 0
smtpcheck_outcome{check="orders",team="sales",outcome="ok"} 0
smtpcheck_outcome{check="orders",team="sales",outcome="warning"} 0
smtpcheck_outcome{check="orders",team="sales",outcome="critical"} 1
smtpcheck_outcome{check="orders",team="sales",outcome="unknown"} 0
smtpcheck_duration_seconds{check="billing",site="north",team="finance"} 0.375000
smtpcheck_duration_seconds{check="orders",team="sales"} 0.500000
smtpcheck_phase_duration_seconds{check="billing",site="north",team="finance",phase="dns"} 0.007812
smtpcheck_phase_duration_seconds{check="billing",site="north",team="finance",phase="connect"} 0.031250
smtpcheck_phase_duration_seconds{check="billing",site="north",team="finance",phase="auth"} 0.250000
smtpcheck_phase_duration_seconds{check="orders",team="sales",phase="connect"} 0.062500
smtpcheck_phase_duration_seconds{check="orders",team="sales",phase="auth"} 0.250000
smtpcheck_failure_info{check="orders",team="sales",phase="auth",cause="user_mismatch",smtp_code="535",enhanced_code="5.7.3",oauth_error="",oauth_code=""} 1
smtpcheck_last_run_timestamp_seconds{check="billing",site="north",team="finance"} 1700000000.250
smtpcheck_last_run_timestamp_seconds{check="orders",team="sales"} 1700000001.000
smtpcheck_last_success_timestamp_seconds{check="billing",site="north",team="finance"} 1700000000.250
smtpcheck_runs_total{check="billing",site="north",team="finance"} 1
smtpcheck_runs_total{check="orders",team="sales"} 1
smtpcheck_failures_total{check="billing",site="north",team="finance"} 0
smtpcheck_failures_total{check="orders",team="sales"} 1
smtpcheck_tls_certificate_expiry_timestamp_seconds{check="billing",site="north",team="finance"} 1800000000.000
smtpcheck_tls_info{check="billing",site="north",team="finance",version="TLSv1.3",cipher="TLS_AES_256_GCM_SHA384"} 1
smtpcheck_check_info{check="billing",site="north",team="finance",provider="microsoft",credential="contoso",host="smtp.office365.com",port="587",depth="auth"} 1
smtpcheck_check_info{check="orders",team="sales",provider="microsoft",credential="contoso",host="smtp.office365.com",port="587",depth="auth"} 1
smtpcheck_interval_seconds{check="billing",site="north",team="finance"} 60.0
smtpcheck_interval_seconds{check="orders",team="sales"} 60.0
"""  # noqa: E501

OF_CREDENTIALS_AND_AGENT = """\
smtpcheck_token_success{credential="contoso"} 1.0
smtpcheck_token_expiry_timestamp_seconds{credential="contoso"} 1.7000036e+09
smtpcheck_token_acquisition_duration_seconds{credential="contoso"} 0.25
smtpcheck_fresh_token_success{credential="contoso"} 0.0
smtpcheck_client_secret_expiry_timestamp_seconds{credential="contoso"} 1.71e+09
smtpcheck_token_requests_total{credential="contoso",result="success"} 2.0
smtpcheck_token_requests_total{credential="contoso",result="error"} 1.0
smtpcheck_build_info{version="0.1.0"} 1.0
smtpcheck_checks 2.0
smtpcheck_checks_in_flight 1.0
smtpcheck_cut_off 0.0
smtpcheck_healthy 1.0
smtpcheck_state_kept 1.0
smtpcheck_loop_stalled_seconds_total 0.0
smtpcheck_runs_skipped_total{reason="still_running"} 3.0
smtpcheck_internal_errors_total 4.0
smtpcheck_config_last_reload_successful 1.0
smtpcheck_config_last_reload_success_timestamp_seconds 1.69e+09
smtpcheck_notifications_total{notifier="team",result="success"} 3.0
smtpcheck_notifications_total{notifier="team",result="error"} 1.0
smtpcheck_notifications_total{notifier="team",result="dropped"} 0.0
smtpcheck_notifier_failing{notifier="team"} 0.0
smtpcheck_notifier_failing{notifier="heartbeat"} 1.0
smtpcheck_silences 1.0
smtpcheck_inspection_success{credential="contoso"} 1.0
smtpcheck_inspection_finding_info{cause="setting_changed",credential="contoso"} 1.0
smtpcheck_provider_incident_info{id="EX226792",provider="microsoft",service="exchange_online",status="degraded"} 1.0
smtpcheck_alerts_firing{severity="critical"} 2.0
smtpcheck_alerts_firing{severity="warning"} 0.0
"""


def scraped(*runs: tuple[Check, Report], sharding: ShardAssignment = ALONE) -> Metrics:
    """Return metrics that have recorded these runs."""
    metrics, state = Metrics(("site", "team"), expose_addresses=False, sharding=sharding), State()
    for check, report in runs:
        metrics.record(check, report, state.record(check, report))
    return metrics


def text(metrics: Metrics, *, openmetrics: bool = False) -> str:
    """Return what a scrape shows."""
    return metrics.expose(openmetrics=openmetrics, credentials=CREDENTIALS, agent=AGENT).decode()


def lines(metrics: Metrics, *names: str, openmetrics: bool = False) -> list[str]:
    """Return the samples, without their metric's name if only one is asked for."""
    found = [line for line in text(metrics, openmetrics=openmetrics).splitlines() if line.split("{")[0] in names]
    return [line.removeprefix(names[0]) for line in found] if len(names) == 1 else found


def samples(metrics: Metrics, *, openmetrics: bool = False) -> str:
    """Return the sample lines but for histograms and the process's own."""
    kept = [
        line
        for line in text(metrics, openmetrics=openmetrics).splitlines(keepends=True)
        if not line.startswith(("#", "process_", "smtpcheck_phase_seconds", "smtpcheck_schedule_lag"))
    ]
    return "".join(kept)


TWO = ((CHECK, GOOD), (ORDERS, REFUSED))


@pytest.mark.parametrize("openmetrics", [False, True])
def test_the_samples_of_a_scrape_are_these(openmetrics: bool) -> None:
    by_cause = 'smtpcheck_failures_by_cause_total{cause="user_mismatch",phase="auth",provider="microsoft"} 1.0\n'
    expected = BILLING_AND_ORDERS + OF_CREDENTIALS_AND_AGENT + by_cause
    assert samples(scraped(*TWO), openmetrics=openmetrics) == expected


def test_the_headers_of_the_formats_differ() -> None:
    def header(name: str, *, openmetrics: bool) -> list[str]:
        found = text(scraped(*TWO), openmetrics=openmetrics).splitlines()
        return [line for line in found if line.startswith((f"# HELP {name} ", f"# TYPE {name} "))]

    info = "Why the last scheduled run failed; absent unless it was critical."
    assert header("smtpcheck_failure_info", openmetrics=False) == [
        f"# HELP smtpcheck_failure_info {info}",
        "# TYPE smtpcheck_failure_info gauge",
    ]
    assert header("smtpcheck_failure", openmetrics=True) == [
        f"# HELP smtpcheck_failure {info}",
        "# TYPE smtpcheck_failure info",
    ]
    assert header("smtpcheck_runs_total", openmetrics=False)[1] == "# TYPE smtpcheck_runs_total counter"
    assert header("smtpcheck_runs", openmetrics=True)[1] == "# TYPE smtpcheck_runs counter"


def test_a_refused_check_shows_until_when_it_waits() -> None:
    """Fifteen minutes after a login that was refused as locked, and no more after the next success."""
    locked = structs.replace(REFUSED, check="billing", cause=Cause.ACCOUNT_LOCKED)
    name = "smtpcheck_backoff_until_timestamp_seconds"
    labels = '{check="billing",site="north",team="finance"}'
    assert lines(scraped((CHECK, locked)), name) == [f"{labels} {1700000001.5 + 900:.3f}"]
    assert lines(scraped((CHECK, locked), (CHECK, GOOD)), name) == []


def everything() -> Metrics:
    """Return metrics with at least one sample of every family of checks."""
    locked = structs.replace(REFUSED, check="locked", cause=Cause.ACCOUNT_LOCKED)
    by_api = structs.replace(GOOD, check="by-api", account={"sending_enabled": 1.0, "enforcement_status": "HEALTHY"})
    dead, waiting, ses = (replace(CHECK, name=name) for name in ("dead", "locked", "by-api"))
    sharding = ShardAssignment(Shard(1, 2), ((), ("billing", "orders")), (ORDERS,))
    metrics = scraped(
        *TWO, (CHECK, UNKNOWN), (CHECK, WARNED), (dead, NO_TOKEN), (waiting, locked), (ses, by_api), sharding=sharding
    )
    metrics.observe_lag(0.02)
    metrics.record_loopback(CHECK, ARRIVED)
    metrics.record_loopback(ORDERS, RETURNED)
    metrics.observe_delivery(CHECK, 2.5)
    return metrics


FULL_CREDENTIAL = replace(
    CREDENTIALS[0],
    client_certificate_expires_at=1.0,
    refresh_token_last_refresh_at=2.0,
    refresh_token_expires_at=3.0,
)


@pytest.mark.parametrize("openmetrics", [False, True])
def test_the_formats_own_parsers_find_every_metric_of_the_table(openmetrics: bool) -> None:
    scrape = everything().expose(openmetrics=openmetrics, credentials=(FULL_CREDENTIAL,), agent=AGENT).decode()
    families = list((parse_openmetrics if openmetrics else parse_text)(scrape))
    found = {
        family.name: (family.type, family.documentation)
        for family in families
        if not family.name.startswith("process_")
    }
    expected = {}
    for family in (family for family in TABLE if family not in PER_PROBE):
        name = family.name.removesuffix("_total")
        kind = str(family.kind)
        if family.kind is Kind.INFO:
            name, kind = (name.removesuffix("_info"), kind) if openmetrics else (name, "gauge")
        expected[name] = (kind, family.help)
    assert found == expected
    assert len(families) == len({family.name for family in families})


def test_an_agent_of_several_tells_of_the_others() -> None:
    """Of how many checks each has, and by name of those of the next one; an agent that is alone tells nothing."""
    names = ("smtpcheck_shard_info", "smtpcheck_shard_checks", "smtpcheck_next_shard_check_info")
    sharding = ShardAssignment(Shard(2, 3), (("orders",), ("mail", "sales"), ("billing",)), (ORDERS,))
    assert lines(scraped(*TWO, sharding=sharding), *names) == [
        'smtpcheck_shard_info{shard="2",shards="3"} 1',
        'smtpcheck_shard_checks{shard="0"} 1',
        'smtpcheck_shard_checks{shard="1"} 2',
        'smtpcheck_shard_checks{shard="2"} 1',
        'smtpcheck_next_shard_check_info{check="orders",team="sales",shard="0"} 1',
    ]
    assert lines(scraped(*TWO), *names) == []


def test_openmetrics_ends_once_and_the_text_format_never() -> None:
    assert text(everything(), openmetrics=True).count("# EOF") == 1
    assert text(everything(), openmetrics=True).endswith("\n# EOF\n")
    assert "# EOF" not in text(everything())
    assert "_created" not in text(everything()) + text(everything(), openmetrics=True)


def test_promtool_finds_nothing() -> None:
    scrape = everything().expose(openmetrics=False, credentials=(FULL_CREDENTIAL,), agent=AGENT)
    command = [real_binary("promtool"), "check", "metrics"]
    found = subprocess.run(command, input=scrape, capture_output=True, timeout=60, check=False)
    assert (found.returncode, found.stdout + found.stderr) == (0, b"")


def test_a_scrape_of_many_checks_is_made_in_small_pieces() -> None:
    """The text of all of them need never be in memory; each name is of one length, so that text grows with checks."""
    many = scraped(
        *(
            (replace(CHECK, name=f"n{number:04}"), structs.replace(GOOD, check=f"n{number:04}"))
            for number in range(3000)
        )
    )
    *of_checks, of_agent = many.pieces(openmetrics=False, credentials=CREDENTIALS, agent=AGENT)
    assert text(many).startswith(b"".join(of_checks).decode())
    assert b"smtpcheck_build_info" in of_agent
    assert max(map(len, of_checks)) < len(text(many)) / 20


def test_an_unknown_outcome_has_no_success_and_no_failure() -> None:
    metrics = scraped((CHECK, GOOD), (CHECK, UNKNOWN))
    labels = 'check="billing",site="north",team="finance"'
    assert lines(metrics, "smtpcheck_success", "smtpcheck_failure_info", "smtpcheck_failures_total") == [
        f"smtpcheck_failures_total{{{labels}}} 0"
    ]
    assert lines(metrics, "smtpcheck_outcome")[3] == f'{{{labels},outcome="unknown"}} 1'
    assert lines(metrics, "smtpcheck_last_success_timestamp_seconds") == [f"{{{labels}}} 1700000000.250"]


def test_a_failure_is_gone_on_recovery() -> None:
    assert len(lines(scraped((CHECK, NO_TOKEN)), "smtpcheck_failure_info")) == 1
    assert lines(scraped((CHECK, NO_TOKEN), (CHECK, GOOD)), "smtpcheck_failure_info") == []


def test_a_token_that_failed_names_the_issuers_error() -> None:
    assert lines(scraped((CHECK, NO_TOKEN)), "smtpcheck_failure_info") == [
        (
            '{check="billing",site="north",team="finance",phase="token",cause="secret_expired",smtp_code="",'
            'enhanced_code="",oauth_error="invalid_client",oauth_code="AADSTS7000222"} 1'
        )
    ]


def test_every_cause_of_a_warning_is_one_series_and_success_stays() -> None:
    assert lines(scraped((ORDERS, WARNED)), "smtpcheck_success", "smtpcheck_warning_info") == [
        'smtpcheck_success{check="orders",team="sales"} 1',
        'smtpcheck_warning_info{check="orders",team="sales",cause="slow"} 1',
        'smtpcheck_warning_info{check="orders",team="sales",cause="certificate_expiring"} 1',
    ]


def test_a_removed_checks_series_disappear() -> None:
    metrics = scraped(*TWO)
    metrics.relabel(("site", "team"), expose_addresses=False, checks=[CHECK], states={})
    assert 'check="billing"' in text(metrics)
    assert 'check="orders"' not in text(metrics)


def test_a_reload_shows_every_check_at_once_by_its_new_settings_and_counts_nothing() -> None:
    state = State()
    metrics = Metrics(("site", "team"), expose_addresses=False)
    for check, report in TWO:
        metrics.record(check, report, state.record(check, report))
    counted = lines(metrics, "smtpcheck_phase_seconds_count", "smtpcheck_failures_by_cause_total")
    renamed = replace(CHECK, labels=(("owner", "anna"), ("team", "finance")))
    new = replace(CHECK, name="new", labels=())
    metrics.relabel(("owner",), expose_addresses=True, checks=[renamed, new], states=state.checks)
    assert lines(metrics, "smtpcheck_runs_total", "smtpcheck_success") == [
        'smtpcheck_success{check="billing",owner="anna"} 1',
        'smtpcheck_runs_total{check="billing",owner="anna"} 1',
        'smtpcheck_runs_total{check="new"} 0',
    ]
    assert lines(metrics, "smtpcheck_check_info")[1] == (
        '{check="new",provider="microsoft",credential="contoso",host="smtp.office365.com",port="587",depth="auth",'
        'mailbox="billing@example.org"} 1'
    )
    assert lines(metrics, "smtpcheck_phase_seconds_count", "smtpcheck_failures_by_cause_total") == counted


def test_a_reload_renders_only_what_has_changed() -> None:
    state = State()
    metrics = Metrics(("team",), expose_addresses=False)
    for check, report in TWO:
        metrics.record(check, report, state.record(check, report))
    before = dict(metrics._rows)
    moved = replace(ORDERS, interval=30.0)
    metrics.relabel(("team",), expose_addresses=False, checks=[CHECK, moved], states=state.checks)
    assert metrics._rows["billing"] is before["billing"]
    assert lines(metrics, "smtpcheck_interval_seconds")[1] == '{check="orders",team="sales"} 30.0'
    metrics.relabel(("team",), expose_addresses=True, checks=[CHECK, moved], states=state.checks)
    assert [line.count("mailbox=") for line in lines(metrics, "smtpcheck_check_info")] == [1, 1]


def test_no_address_appears_unless_it_is_exposed() -> None:
    assert "@" not in text(everything()) + text(everything(), openmetrics=True)


def test_a_scrape_before_the_first_run_shows_the_agent_alone() -> None:
    scrape = text(Metrics((), expose_addresses=False))
    assert [family.name for family in PER_CHECK if family.name in scrape] == []
    assert "smtpcheck_checks 2.0\n" in scrape


def test_phases_are_measured_by_provider_and_never_by_check() -> None:
    metrics = scraped(*TWO)
    name = "smtpcheck_phase_seconds"
    assert lines(metrics, f"{name}_count", f"{name}_sum") == [
        f'{name}_count{{phase="dns",provider="microsoft"}} 1.0',
        f'{name}_sum{{phase="dns",provider="microsoft"}} 0.0078125',
        f'{name}_count{{phase="connect",provider="microsoft"}} 2.0',
        f'{name}_sum{{phase="connect",provider="microsoft"}} 0.09375',
        f'{name}_count{{phase="auth",provider="microsoft"}} 2.0',
        f'{name}_sum{{phase="auth",provider="microsoft"}} 0.5',
    ]
    assert lines(metrics, f"{name}_bucket")[:3] == [
        '{le="0.005",phase="dns",provider="microsoft"} 0.0',
        '{le="0.01",phase="dns",provider="microsoft"} 1.0',
        '{le="0.025",phase="dns",provider="microsoft"} 1.0',
    ]


def test_the_lag_of_the_schedule_is_measured() -> None:
    metrics = Metrics((), expose_addresses=False)
    for seconds in (0.005, 0.2, 120.0):
        metrics.observe_lag(seconds)
    assert lines(metrics, "smtpcheck_schedule_lag_seconds_bucket") == [
        f'{{le="{bound}"}} {count}.0'
        for bound, count in [
            ("0.01", 1),
            ("0.05", 1),
            ("0.1", 1),
            ("0.25", 2),
            ("0.5", 2),
            ("1.0", 2),
            ("2.5", 2),
            ("5.0", 2),
            ("10.0", 2),
            ("30.0", 2),
            ("60.0", 2),
            ("+Inf", 3),
        ]
    ]
