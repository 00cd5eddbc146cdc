"""The table of all metrics: their names, types, labels and help texts, as data.

Rules of this file:
- Names, labels and meanings are a contract: rules, boards and scripts of users depend on them.
- Families of `PER_CHECK` and `PER_LOOPBACK` also have the label `check` and the user's own labels, before the labels
  named here.
- `name` is the name of the sample, with `_total` and `_info`; OpenMetrics takes that suffix from the family's name.
- `outcome` is a gauge, for OpenMetrics wants a state set's label to be named like its family.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The types of metrics that are used here, by their OpenMetrics names."""

    GAUGE = "gauge"
    COUNTER = "counter"
    INFO = "info"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """One metric: all its series, with any labels. Each is independent of the others."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """The upper bounds of a histogram, in seconds, without the infinite one."""
    number: str = "%r"
    """How a check's sample is written."""

    def header(self, openmetrics: bool) -> bytes:
        """Return the HELP and TYPE lines; the text format knows no infos (it calls them gauges)."""
        name, kind = self.name, self.kind
        if openmetrics:
            name = name.removesuffix("_total").removesuffix("_info")
        elif kind is Kind.INFO:
            kind = Kind.GAUGE
        return f"# HELP {name} {self.help}\n# TYPE {name} {kind}\n".encode()


SUCCESS = Family(
    "smtpcheck_success",
    Kind.GAUGE,
    "Whether the last scheduled run reached its depth (1) or not (0); absent while the outcome is unknown.",
)
OUTCOME = Family(
    "smtpcheck_outcome",
    Kind.GAUGE,
    "The outcome of the last scheduled run: 1 for the current one, 0 for the others.",
    ("outcome",),
)
DURATION = Family("smtpcheck_duration_seconds", Kind.GAUGE, "How long the last scheduled run took.", number="%.6f")
PHASE_DURATION = Family(
    "smtpcheck_phase_duration_seconds",
    Kind.GAUGE,
    "How long each phase of the last scheduled run took; a phase that did not run is absent.",
    ("phase",),
    number="%.6f",
)
FAILURE_INFO = Family(
    "smtpcheck_failure_info",
    Kind.INFO,
    "Why the last scheduled run failed; absent unless it was critical.",
    ("phase", "cause", "smtp_code", "enhanced_code", "oauth_error", "oauth_code", "http_status", "api_error"),
)
WARNING_INFO = Family(
    "smtpcheck_warning_info",
    Kind.INFO,
    "Warnings of the last scheduled run; one series for each cause.",
    ("cause",),
)
LAST_RUN = Family(
    "smtpcheck_last_run_timestamp_seconds",
    Kind.GAUGE,
    "When the last scheduled run started, as Unix time.",
    number="%.3f",
)
LAST_SUCCESS = Family(
    "smtpcheck_last_success_timestamp_seconds",
    Kind.GAUGE,
    "When the last scheduled run that reached its depth started, as Unix time.",
    number="%.3f",
)
RUNS = Family("smtpcheck_runs_total", Kind.COUNTER, "Scheduled runs that have ended.")
FAILURES = Family("smtpcheck_failures_total", Kind.COUNTER, "Scheduled runs that ended critical.")
CERTIFICATE_EXPIRY = Family(
    "smtpcheck_tls_certificate_expiry_timestamp_seconds",
    Kind.GAUGE,
    "When the server's certificate expires, as the last scheduled run saw it, as Unix time.",
    number="%.3f",
)
TLS_INFO = Family(
    "smtpcheck_tls_info",
    Kind.INFO,
    "The TLS version and cipher of the last scheduled run.",
    ("version", "cipher"),
)
API_ACCOUNT = Family(
    "smtpcheck_api_account_value",
    Kind.GAUGE,
    "What a mail API said of the account in the last scheduled run: whether it may send (sending_enabled), to anybody "
    "(production_access), from this sender (identity_verified); quota_in_24_hours, sent_in_24_hours, rate_a_second.",
    ("fact",),
)
API_ACCOUNT_INFO = Family(
    "smtpcheck_api_account_info",
    Kind.INFO,
    "States of the account at a mail API in the last scheduled run: whether it is under review, and DKIM.",
    ("enforcement_status", "dkim_status"),
)
CHECK_INFO = Family(
    "smtpcheck_check_info",
    Kind.INFO,
    "How the check is configured; with mailbox only if addresses are exposed. via is the mail API, if there is one; "
    "checks that go to one mailbox in several ways have the first one's name in side_by_side.",
    ("provider", "credential", "host", "port", "depth", "via", "side_by_side", "mailbox"),
)
INTERVAL = Family("smtpcheck_interval_seconds", Kind.GAUGE, "The configured interval of the check.")
BACKOFF_UNTIL = Family(
    "smtpcheck_backoff_until_timestamp_seconds",
    Kind.GAUGE,
    "Until when the check is in back-off because the server refused it, as Unix time; absent otherwise.",
    number="%.3f",
)

PROBE_SUPPRESSED = Family(
    "smtpcheck_probe_suppressed",
    Kind.GAUGE,
    "Whether /probe ran nothing (1): the check is in back-off, or was run a moment ago. Only at /probe.",
)

PER_CHECK = (
    SUCCESS,
    OUTCOME,
    DURATION,
    PHASE_DURATION,
    FAILURE_INFO,
    WARNING_INFO,
    LAST_RUN,
    LAST_SUCCESS,
    RUNS,
    FAILURES,
    CERTIFICATE_EXPIRY,
    TLS_INFO,
    API_ACCOUNT,
    API_ACCOUNT_INFO,
    CHECK_INFO,
    INTERVAL,
    BACKOFF_UNTIL,
)

OF_CONFIGURATION = (CHECK_INFO, INTERVAL)
"""Of `PER_CHECK`, those that no run changes."""
OF_RUNS = tuple(family for family in PER_CHECK if family not in OF_CONFIGURATION)

PER_PROBE = (PROBE_SUPPRESSED,)
"""Of a run that a request asked for, besides those of `PER_CHECK` that describe one run."""

LOOPBACK_SUCCESS = Family(
    "smtpcheck_loopback_success",
    Kind.GAUGE,
    "Whether the last message arrived (1), in Junk too, or was lost or refused (0); absent until known.",
)
LOOPBACK_DELIVERY = Family(
    "smtpcheck_loopback_delivery_duration_seconds",
    Kind.GAUGE,
    "How long the last message that arrived took, from its acceptance by the server.",
    number="%.3f",
)
LOOPBACK_PENDING = Family(
    "smtpcheck_loopback_pending", Kind.GAUGE, "Pending messages: neither found nor lost nor refused."
)
LOOPBACK_SENT = Family(
    "smtpcheck_loopback_sent_total", Kind.COUNTER, "Messages that the server accepted, or perhaps accepted."
)
LOOPBACK_FOUND = Family("smtpcheck_loopback_found_total", Kind.COUNTER, "Messages that were found, in any folder.")
LOOPBACK_LATE = Family("smtpcheck_loopback_late_total", Kind.COUNTER, "Messages that arrived after warn_after.")
LOOPBACK_LOST = Family(
    "smtpcheck_loopback_lost_total",
    Kind.COUNTER,
    "Messages that were not found within lost_after; one that turns up later counts as found and late too.",
)
LOOPBACK_BOUNCED = Family(
    "smtpcheck_loopback_bounced_total",
    Kind.COUNTER,
    "Messages that a mail server returned as undeliverable.",
)
LOOPBACK_BOUNCE = Family(
    "smtpcheck_loopback_bounce_info",
    Kind.INFO,
    "Why the last message was returned, while it is the last of which it is known what became of it.",
    ("cause", "smtp_code", "enhanced_code"),
)
LOOPBACK_UNCERTAIN = Family(
    "smtpcheck_loopback_uncertain_total",
    Kind.COUNTER,
    "Messages of which it was unknown whether the server accepted them.",
)
LOOPBACK_FOLDER = Family(
    "smtpcheck_loopback_folder_info",
    Kind.INFO,
    "The folder in which the last message arrived: inbox, junk or other.",
    ("folder",),
)
LOOPBACK_JUNK = Family(
    "smtpcheck_loopback_junk_info",
    Kind.INFO,
    "Why the last message is in Junk, as its receiver says, such as filter, bulk or inbox_rule; else unknown.",
    ("reason",),
)
LOOPBACK_AUTHENTICATION = Family(
    "smtpcheck_loopback_authentication_info",
    Kind.INFO,
    "The receiver's results for spf, dkim and dmarc of the last message, if authserv_id is configured.",
    ("method", "result"),
)
LOOPBACK_FINDER_SUCCESS = Family(
    "smtpcheck_loopback_finder_success",
    Kind.GAUGE,
    "Whether the last search of the mailbox succeeded (1); while it fails nothing is considered lost.",
)

PER_LOOPBACK = (
    LOOPBACK_SUCCESS,
    LOOPBACK_DELIVERY,
    LOOPBACK_PENDING,
    LOOPBACK_SENT,
    LOOPBACK_FOUND,
    LOOPBACK_LATE,
    LOOPBACK_LOST,
    LOOPBACK_BOUNCED,
    LOOPBACK_BOUNCE,
    LOOPBACK_UNCERTAIN,
    LOOPBACK_FOLDER,
    LOOPBACK_JUNK,
    LOOPBACK_AUTHENTICATION,
    LOOPBACK_FINDER_SUCCESS,
)
"""Of a check with a loopback, with the labels of `PER_CHECK`."""

_CREDENTIAL = ("credential",)
TOKEN_SUCCESS = Family(
    "smtpcheck_token_success",
    Kind.GAUGE,
    "Whether the last answer of the issuer was a token, for every subject of the credential.",
    _CREDENTIAL,
)
TOKEN_EXPIRY = Family(
    "smtpcheck_token_expiry_timestamp_seconds",
    Kind.GAUGE,
    "When the earliest of the credential's tokens expires, as Unix time.",
    _CREDENTIAL,
)
TOKEN_ACQUISITION = Family(
    "smtpcheck_token_acquisition_duration_seconds",
    Kind.GAUGE,
    "How long the last request to the issuer took.",
    _CREDENTIAL,
)
TOKEN_REQUESTS = Family(
    "smtpcheck_token_requests_total",
    Kind.COUNTER,
    "Requests to the issuer by result; a token from the cache does not count.",
    ("credential", "result"),
)
FRESH_TOKEN_SUCCESS = Family(
    "smtpcheck_fresh_token_success",
    Kind.GAUGE,
    "Whether the last forced refresh, bypassing caches, succeeded.",
    _CREDENTIAL,
)
CLIENT_SECRET_EXPIRY = Family(
    "smtpcheck_client_secret_expiry_timestamp_seconds",
    Kind.GAUGE,
    "When the client secret expires, as Unix time; absent unless known.",
    _CREDENTIAL,
)
CLIENT_CERTIFICATE_EXPIRY = Family(
    "smtpcheck_client_certificate_expiry_timestamp_seconds",
    Kind.GAUGE,
    "When the client certificate expires, as Unix time.",
    _CREDENTIAL,
)
REFRESH_TOKEN_LAST_REFRESH = Family(
    "smtpcheck_refresh_token_last_refresh_timestamp_seconds",
    Kind.GAUGE,
    "When the refresh token was last used successfully, as Unix time.",
    _CREDENTIAL,
)
REFRESH_TOKEN_EXPIRY = Family(
    "smtpcheck_refresh_token_expiry_timestamp_seconds",
    Kind.GAUGE,
    "When the refresh token expires, as Unix time; absent unless the issuer states it or a lifetime is configured.",
    _CREDENTIAL,
)

INSPECTION_SUCCESS = Family(
    "smtpcheck_inspection_success",
    Kind.GAUGE,
    "Whether the last reading of what the provider says of the credential brought anything (1) or nothing (0).",
    ("credential",),
)
INSPECTION_FINDING = Family(
    "smtpcheck_inspection_finding_info",
    Kind.INFO,
    "What the provider says that will break the credential's checks, or has changed.",
    ("credential", "cause"),
)

PER_CREDENTIAL = (
    TOKEN_SUCCESS,
    TOKEN_EXPIRY,
    TOKEN_ACQUISITION,
    TOKEN_REQUESTS,
    FRESH_TOKEN_SUCCESS,
    CLIENT_SECRET_EXPIRY,
    CLIENT_CERTIFICATE_EXPIRY,
    REFRESH_TOKEN_LAST_REFRESH,
    REFRESH_TOKEN_EXPIRY,
    INSPECTION_SUCCESS,
    INSPECTION_FINDING,
)

PHASE_SECONDS = Family(
    "smtpcheck_phase_seconds",
    Kind.HISTOGRAM,
    "How long the phases of scheduled runs took, by provider.",
    ("provider", "phase"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0, 300.0, 900.0),
)
FAILURES_BY_CAUSE = Family(
    "smtpcheck_failures_by_cause_total",
    Kind.COUNTER,
    "Scheduled runs that ended critical, by provider, phase and cause.",
    ("provider", "phase", "cause"),
)
LOOPBACK_SECONDS = Family(
    "smtpcheck_loopback_seconds",
    Kind.HISTOGRAM,
    "How long messages took from acceptance to the mailbox, by provider.",
    ("provider",),
    buckets=(1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0),
)

BY_PROVIDER = (PHASE_SECONDS, FAILURES_BY_CAUSE, LOOPBACK_SECONDS)

BUILD_INFO = Family("smtpcheck_build_info", Kind.INFO, "The version of smtpcheck that runs.", ("version",))
CHECKS = Family("smtpcheck_checks", Kind.GAUGE, "Checks that this agent runs.")
SHARD_INFO = Family(
    "smtpcheck_shard_info",
    Kind.INFO,
    "Which shard of the checks this agent runs, counted from 0; absent if it runs them all.",
    ("shard", "shards"),
)
SHARD_CHECKS = Family(
    "smtpcheck_shard_checks",
    Kind.GAUGE,
    "How many checks each shard has, reported by every agent for all; absent if one agent runs them all.",
    ("shard",),
)
NEXT_SHARD_CHECK_INFO = Family(
    "smtpcheck_next_shard_check_info",
    Kind.INFO,
    "Checks of the shard after this one, which another agent runs; one without smtpcheck_check_info is not run.",
    ("check", "shard"),
)
CHECKS_IN_FLIGHT = Family("smtpcheck_checks_in_flight", Kind.GAUGE, "Runs in flight.")
SCHEDULE_LAG = Family(
    "smtpcheck_schedule_lag_seconds",
    Kind.HISTOGRAM,
    "How long after it was due a scheduled run started.",
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
CUT_OFF = Family(
    "smtpcheck_cut_off", Kind.GAUGE, "Whether the agent itself has no connectivity (1); then failures are unknown."
)
HEALTHY = Family(
    "smtpcheck_healthy",
    Kind.GAUGE,
    "Whether the agent starts its checks, keeps what it knows and has connectivity (1); the page says why it does not.",
)
STATE_KEPT = Family(
    "smtpcheck_state_kept",
    Kind.GAUGE,
    "Whether the state file is written (1); while it is not, nothing outlives a restart and no message is sent.",
)
LOOP_STALLED = Family(
    "smtpcheck_loop_stalled_seconds_total",
    Kind.COUNTER,
    "Seconds in which the agent itself stood still: it was paused, or got no CPU.",
)
RUNS_SKIPPED = Family("smtpcheck_runs_skipped_total", Kind.COUNTER, "Skipped scheduled runs, by reason.", ("reason",))
INTERNAL_ERRORS = Family("smtpcheck_internal_errors_total", Kind.COUNTER, "Internal errors of smtpcheck.")
LAST_RELOAD_SUCCESSFUL = Family(
    "smtpcheck_config_last_reload_successful",
    Kind.GAUGE,
    "Whether the last load of the configuration, and of the web configuration, succeeded.",
)
LAST_RELOAD_SUCCESS = Family(
    "smtpcheck_config_last_reload_success_timestamp_seconds",
    Kind.GAUGE,
    "When the configuration was last loaded successfully, as Unix time.",
)
NOTIFICATIONS = Family(
    "smtpcheck_notifications_total",
    Kind.COUNTER,
    "Alerts by notifier and result: sent (success), failed (error), or dropped.",
    ("notifier", "result"),
)
NOTIFIER_FAILING = Family(
    "smtpcheck_notifier_failing",
    Kind.GAUGE,
    "Whether the notifier's last attempt failed (1); the heartbeat is one of them.",
    ("notifier",),
)
ALERTS_FIRING = Family(
    "smtpcheck_alerts_firing", Kind.GAUGE, "The agent's own firing alerts, by severity.", ("severity",)
)
SILENCES = Family(
    "smtpcheck_silences", Kind.GAUGE, "Silences in force: checks run and count, and nobody is notified of them."
)

PROVIDER_INCIDENT = Family(
    "smtpcheck_provider_incident_info",
    Kind.INFO,
    "An open incident that the provider has published; it proves nothing of a failure.",
    ("provider", "service", "id", "status"),
)

AGENT = (
    BUILD_INFO,
    CHECKS,
    SHARD_INFO,
    SHARD_CHECKS,
    NEXT_SHARD_CHECK_INFO,
    CHECKS_IN_FLIGHT,
    SCHEDULE_LAG,
    CUT_OFF,
    HEALTHY,
    STATE_KEPT,
    LOOP_STALLED,
    RUNS_SKIPPED,
    INTERNAL_ERRORS,
    LAST_RELOAD_SUCCESSFUL,
    LAST_RELOAD_SUCCESS,
    NOTIFICATIONS,
    NOTIFIER_FAILING,
    ALERTS_FIRING,
    SILENCES,
    PROVIDER_INCIDENT,
)

TABLE = PER_CHECK + PER_PROBE + PER_LOOPBACK + PER_CREDENTIAL + BY_PROVIDER + AGENT
