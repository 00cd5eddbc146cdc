"""A check and its state as exposition text, one fragment for each family of `PER_CHECK`.

Rules of this file:
- Pure. A sample's line is the same in the text format and in OpenMetrics; only the headers of the families differ.
- Label values are bounded: from lists, or by pattern and else empty. No reply text, no host of a reply, and no address
  unless the configuration exposes it.
"""

import functools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from smtpcheck.model import expected_refusal
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check, Phase
from smtpcheck.model.report import ApiAnswer, Outcome, Reply, Report
from smtpcheck.output.metrics import families
from smtpcheck.output.metrics.api_errors import API_ERRORS
from smtpcheck.output.metrics.families import Family
from smtpcheck.state.check_state import CheckState

OAUTH_ERRORS = frozenset(
    {
        # RFC 6749 4.1.2.1 and 5.2
        "access_denied",
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unsupported_grant_type",
        "unsupported_response_type",
        # RFC 8628 3.5
        "authorization_pending",
        "expired_token",
        "slow_down",
        # RFC 8707 2
        "invalid_target",
        # OpenID Connect Core 3.1.2.6, Microsoft Entra ID
        "consent_required",
        "interaction_required",
        "invalid_resource",
        "login_required",
        # Google
        "admin_policy_enforced",
        "deleted_client",
        "disabled_client",
        "org_internal",
    }
)
"""The OAuth errors that are label values; any other is `other`."""

ACCOUNT_FACTS = (
    "sending_enabled",
    "production_access",
    "identity_verified",
    "quota_in_24_hours",
    "sent_in_24_hours",
    "rate_a_second",
)
"""What a mail API may say of an account, in numbers."""
ACCOUNT_STATES = {
    "enforcement_status": frozenset({"HEALTHY", "PROBATION", "SHUTDOWN"}),
    "dkim_status": frozenset({"PENDING", "SUCCESS", "FAILED", "TEMPORARY_FAILURE", "NOT_STARTED"}),
}
"""And in words, those of Amazon SES; any other is `other`."""

_ENHANCED_CODE = re.compile(r"[245]\.\d{1,3}\.\d{1,3}", re.ASCII)  # RFC 3463 2

_OUTCOMES = tuple(Outcome)

Row = tuple[bytes, ...]
"""The fragments of one check in the order of its families; empty where it has no sample."""

Samples = Iterator[tuple[Family, tuple[str | None, ...], float]]


def render(check: Check, state: CheckState | None, label_names: Collection[str], *, expose_addresses: bool) -> Row:
    """Return the fragments of a check; `state` is None before its first run.

    Of the user's labels those in `label_names` are shown; one that the check lacks is omitted.
    """
    lines = written(check, _samples(check, state, expose_addresses), label_names)
    return tuple(lines.get(family, "").encode("utf-8", "replace") for family in families.PER_CHECK)


def render_probe(
    check: Check,
    report: Report | None,
    backoff_until: float | None,
    label_names: Collection[str],
    *,
    suppressed: bool,
    expose_addresses: bool,
) -> dict[Family, str]:
    """Return the lines of one run that a request asked for, by family.

    Where it was suppressed, `report` is that of the last run, which its time shows, or None.
    """

    def samples() -> Samples:
        yield families.PROBE_SUPPRESSED, (), int(suppressed)
        yield from _samples_of_configuration(check, expose_addresses)
        if report is not None:
            yield from _samples_of_run(report)
        if backoff_until is not None:
            yield families.BACKOFF_UNTIL, (), round(backoff_until, 3)

    return written(check, samples(), label_names)


def written(check: Check, samples: Samples, label_names: Collection[str]) -> dict[Family, str]:
    """Return the lines of a check's samples by family, each with the check's own labels."""
    whose = identity(check, label_names)
    lines: dict[Family, str] = {}
    for family, values, number in samples:
        before, behind = _frame(family, values)
        line = f"{before}{whose}{behind}{number!r}\n"
        lines[family] = lines[family] + line if family in lines else line
    return lines


def identity(check: Check, label_names: Collection[str]) -> str:
    """Return the labels that every series of a check has; of the user's own, those in `label_names`."""
    shown = ((name, value) for name, value in check.labels if name in label_names)
    return labels_of((("check", check.name), *shown))


@functools.lru_cache(maxsize=1024)
def _frame(family: Family, values: tuple[str | None, ...]) -> tuple[str, str]:
    """Return what comes before and after the check's labels in a line; run after run it is the same."""
    own = labels_of(zip(family.labels, values, strict=True)) if values else ""
    return f"{family.name}{{", f",{own}}} " if own else "} "


def labels_of(labels: Iterable[tuple[str, str | None]]) -> str:
    """Return labels as they are written between the braces; one without value is omitted."""
    return ",".join([f'{name}="{_escaped(value)}"' for name, value in labels if value is not None])


def _escaped(value: str) -> str:
    """Return a label value with backslash, quote and line feed escaped, as both formats want it."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _samples(check: Check, state: CheckState | None, expose_addresses: bool) -> Samples:
    """Yield family, label values and number of every sample of a check."""
    yield families.RUNS, (), state.runs if state else 0
    yield families.FAILURES, (), state.failures if state else 0
    yield from _samples_of_configuration(check, expose_addresses)
    if state is not None:
        yield from _samples_of_run(state.report)
        if state.last_success_at is not None:
            yield families.LAST_SUCCESS, (), round(state.last_success_at, 3)
        if state.breaker.until is not None:
            yield families.BACKOFF_UNTIL, (), round(state.breaker.until, 3)


def _samples_of_configuration(check: Check, expose_addresses: bool) -> Samples:
    """Yield the samples that a check has whatever its runs say."""
    yield families.CHECK_INFO, _check_info(check, expose_addresses), 1
    yield families.INTERVAL, (), check.interval


def _samples_of_run(report: Report) -> Samples:
    """Yield the samples that come from the last run."""
    if report.outcome is not Outcome.UNKNOWN:
        yield families.SUCCESS, (), int(report.outcome is not Outcome.CRITICAL)
    for outcome in _OUTCOMES:
        yield families.OUTCOME, (outcome,), int(outcome is report.outcome)
    yield families.DURATION, (), round(report.seconds, 6)
    for phase, seconds in _seconds_of_phases(report).items():
        yield families.PHASE_DURATION, (phase,), round(seconds, 6)
    if report.outcome is Outcome.CRITICAL:
        yield families.FAILURE_INFO, _failure_info(report), 1
    for cause in dict.fromkeys(finding.cause for finding in report.warnings):
        yield families.WARNING_INFO, (cause,), 1
    yield families.LAST_RUN, (), round(report.started_at, 3)
    if report.tls is not None:
        yield families.TLS_INFO, (report.tls.version, report.tls.cipher), 1
        if report.tls.certificate is not None:
            yield families.CERTIFICATE_EXPIRY, (), round(report.tls.certificate.not_after, 3)
    if report.account:
        yield from _samples_of_account(report.account)


def _samples_of_account(account: Mapping[str, float | str]) -> Samples:
    """Yield what a mail API says of the account; facts and states are from lists."""
    for fact in ACCOUNT_FACTS:
        value = account.get(fact)
        if isinstance(value, float | int):
            yield families.API_ACCOUNT, (fact,), value
    states = tuple(_state(account.get(name), known) for name, known in ACCOUNT_STATES.items())
    if any(states):
        yield families.API_ACCOUNT_INFO, states, 1


def _state(value: float | str | None, known: Collection[str]) -> str | None:
    if not isinstance(value, str):
        return None
    return value if value in known else "other"


def _seconds_of_phases(report: Report) -> dict[Phase, float]:
    """Return the time of each phase; should one have run twice, the sum."""
    seconds: dict[Phase, float] = {}
    for step in report.steps:
        seconds[step.phase] = seconds.get(step.phase, 0.0) + step.seconds
    return seconds


def failed_phase(report: Report) -> str:
    """Return the phase that failed, or that was to be refused and was not; empty if the run failed without one."""
    return expected_refusal.phase_of(report) or ""


def failed_cause(report: Report) -> Cause:
    """Return why a run failed."""
    return report.cause or Cause.UNKNOWN


def codes_of(reply: Reply | None) -> tuple[str, str]:
    """Return the codes of a reply as label values; each empty where it is none."""
    if reply is None:
        return "", ""
    code = str(reply.code) if 100 <= reply.code <= 999 else ""
    return code, reply.enhanced if _ENHANCED_CODE.fullmatch(reply.enhanced) else ""


def _failure_info(report: Report) -> tuple[str | None, ...]:
    """Return the label values of a failure: phase, cause, SMTP codes, OAuth error and code, a mail API's too."""
    phase = failed_phase(report)
    reply = report.failed_reply
    code, enhanced = codes_of(reply)
    oauth = _oauth_error(report) if phase == Phase.TOKEN else ("", "")
    return (phase, failed_cause(report), code, enhanced, *oauth, *_api_error(report.failed_answer))


def _api_error(answer: ApiAnswer | None) -> tuple[str | None, str | None]:
    """Return a mail API's HTTP status and its own code of the error, empty if it has none; None for SMTP."""
    if answer is None:
        return None, None
    error = answer.error if answer.error in API_ERRORS or not answer.error else "other"
    return str(answer.status) if 100 <= answer.status <= 599 else "", error


def _oauth_error(report: Report) -> tuple[str, str]:
    """Return the issuer's error and its own code (`AADSTS` and digits), each empty if there is none."""
    problem = report.token_error
    if problem is None:
        return "", ""
    error = problem.error if problem.error in OAUTH_ERRORS or not problem.error else "other"
    number = problem.error_codes[0] if problem.error_codes else 0
    return error, f"AADSTS{number}" if 0 < number < 10**8 else ""


def _check_info(check: Check, expose_addresses: bool) -> tuple[str | None, ...]:
    """Return the label values of a check's configuration."""
    return (
        check.provider,
        check.credential or "",
        check.server.host,
        str(check.server.port),
        str(check.depth),
        check.way if check.via is not None or check.side_by_side else None,
        check.side_by_side or None,
        check.mailbox if expose_addresses else None,
    )
