"""A check and its state as exposition text, one fragment for each family of `PER_CHECK`.

Rules of this file:
- Pure. From one run to the next only numbers change: the lines around them are put together once for all checks, and
  what the configuration says once for each.
- A fragment is kept without the labels of its check, which a scrape puts in: so most fragments are the same for many
  checks, and are held once.
- A sample's line is the same in the text format and in OpenMetrics; only the headers of the families differ.
- Label values are bounded: from lists, or by pattern and else empty. No reply text, no host of a reply, and no address
  unless the configuration exposes it.
"""

import functools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat

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

Row = tuple[bytes, ...]
"""The labels of one check, then its fragments in the order of its families; empty where it has no sample."""

Series = tuple[Family, tuple[str | None, ...]]
"""A family, and the values of its own labels."""

Sample = tuple[Series, float]

Samples = Iterator[Sample]
"""In the order of the families."""


def _samples_of(outcome: Outcome) -> tuple[Sample, ...]:
    """Return the samples that an outcome is."""
    success: Sample = (families.SUCCESS, ()), int(outcome is not Outcome.CRITICAL)
    each: list[Sample] = [((families.OUTCOME, (other,)), int(other is outcome)) for other in Outcome]
    return tuple(each) if outcome is Outcome.UNKNOWN else (success, *each)


_OUTCOMES = {outcome: _samples_of(outcome) for outcome in Outcome}

_DURATION: Series = (families.DURATION, ())
_PHASES: dict[Phase, Series] = {phase: (families.PHASE_DURATION, (phase,)) for phase in Phase}
_LAST_RUN: Series = (families.LAST_RUN, ())
_LAST_SUCCESS: Series = (families.LAST_SUCCESS, ())
_RUNS: Series = (families.RUNS, ())
_FAILURES: Series = (families.FAILURES, ())
_CERTIFICATE_EXPIRY: Series = (families.CERTIFICATE_EXPIRY, ())
_INTERVAL: Series = (families.INTERVAL, ())
_BACKOFF_UNTIL: Series = (families.BACKOFF_UNTIL, ())
_PROBE_SUPPRESSED: Series = (families.PROBE_SUPPRESSED, ())

_WHOSE, _END = "{\n", ";\n"
"""In a form: where the labels of the check belong, and where a family's fragment ends; no value has a line feed."""
_WHOSE_BYTES, _END_BYTES = _WHOSE.encode(), _END.encode()
_HELD = 4096
"""How many fragments are remembered. What only one check has (its times) is among them, and gives way."""


@dataclass(frozen=True, slots=True)
class CheckSeries:
    """What the configuration says of a check's series: the labels of all, and the row that no run changes."""

    check: Check
    labels: bytes
    row: Row


def series_of(check: Check, label_names: Collection[str], *, expose_addresses: bool) -> CheckSeries:
    """Return what the configuration says of the series of a check.

    Of the user's labels those in `label_names` are shown; one that the check lacks is omitted.
    """
    labels = written_labels(check, label_names)
    samples = _samples_of_configuration(check, expose_addresses)
    return CheckSeries(check, labels, written(labels, samples, families.OF_CONFIGURATION))


def render(labels: bytes, state: CheckState | None) -> Row:
    """Return the row of a check's runs; `state` is None before the first."""
    return written(labels, _samples_of_state(state), families.OF_RUNS)


def render_probe(
    series: CheckSeries, report: Report | None, backoff_until: float | None, *, suppressed: bool
) -> Iterator[tuple[Family, bytes]]:
    """Yield the fragments of one run that a request asked for, each with its family.

    Where it was suppressed, `report` is that of the last run, which its time shows, or None.
    """

    def samples() -> Samples:
        if report is not None:
            yield from _samples_of_run(report)
        if backoff_until is not None:
            yield _BACKOFF_UNTIL, backoff_until
        yield _PROBE_SUPPRESSED, int(suppressed)

    described = (*families.OF_RUNS, *families.PER_PROBE)
    labels, *fragments = (*written(series.labels, samples(), described), *series.row[1:])
    yield from zip((*described, *families.OF_CONFIGURATION), labelled(fragments, repeat(labels)), strict=True)


def written(labels: bytes, samples: Samples, described: tuple[Family, ...]) -> Row:
    """Return the row of these families."""
    series, numbers = zip(*samples, strict=True)
    text = _form(series, described) % numbers
    return (labels, *map(_first, text.encode("utf-8", "replace").split(_END_BYTES)))


def labelled(fragments: Iterable[bytes], labels: Iterable[bytes]) -> list[bytes]:
    """Return the fragments with the labels of the check of each in all its lines."""
    return [fragment.replace(_WHOSE_BYTES, own) for fragment, own in zip(fragments, labels, strict=False)]


@functools.lru_cache(maxsize=_HELD)
def _first(fragment: bytes) -> bytes:
    """Return the copy of an equal fragment that came first."""
    return fragment


@functools.lru_cache(maxsize=1024)
def _form(series: tuple[Series, ...], described: tuple[Family, ...]) -> str:
    """Return the lines of these series with places for their numbers; run after run of any check they are the same."""
    order = [described.index(family) for family, _ in series]
    if order != sorted(order):
        raise ValueError("samples in another order than their families")
    return _END.join("".join(_line(*each) for each in series if each[0] is family) for family in described)


def _line(family: Family, values: tuple[str | None, ...]) -> str:
    own = labels_of(zip(family.labels, values, strict=True)).replace("%", "%%")
    return f"{family.name}{_WHOSE}{own and ','}{own}}} {family.number}\n"


def identity(check: Check, label_names: Collection[str]) -> str:
    """Return the labels that every series of a check has; of the user's own, those in `label_names`."""
    shown = ((name, value) for name, value in check.labels if name in label_names)
    return labels_of((("check", check.name), *shown))


def written_labels(check: Check, label_names: Collection[str]) -> bytes:
    """Return the labels that every series of a check has as they begin a row."""
    return ("{" + identity(check, label_names)).encode("utf-8", "replace")


def labels_of(labels: Iterable[tuple[str, str | None]]) -> str:
    """Return labels as they are written between the braces; one without value is omitted."""
    return ",".join([f'{name}="{_escaped(value)}"' for name, value in labels if value is not None])


def _escaped(value: str) -> str:
    """Return a label value with backslash, quote and line feed escaped, as both formats want it."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _samples_of_configuration(check: Check, expose_addresses: bool) -> Samples:
    """Yield the samples that a check has whatever its runs say."""
    yield (families.CHECK_INFO, _check_info(check, expose_addresses)), 1
    yield _INTERVAL, check.interval


def _samples_of_state(state: CheckState | None) -> Samples:
    """Yield the samples of all runs of a check and of the last one."""
    if state is None:
        yield _RUNS, 0
        yield _FAILURES, 0
        return
    report = state.report
    yield from _samples_of_outcome(report)
    yield _LAST_RUN, report.started_at
    if state.last_success_at is not None:
        yield _LAST_SUCCESS, state.last_success_at
    yield _RUNS, state.runs
    yield _FAILURES, state.failures
    yield from _samples_of_server(report)
    if state.breaker.until is not None:
        yield _BACKOFF_UNTIL, state.breaker.until


def _samples_of_run(report: Report) -> Samples:
    """Yield the samples of one run."""
    yield from _samples_of_outcome(report)
    yield _LAST_RUN, report.started_at
    yield from _samples_of_server(report)


def _samples_of_outcome(report: Report) -> list[Sample]:
    """Return what came of a run, and how long it took."""
    samples: list[Sample] = [*_OUTCOMES[report.outcome], (_DURATION, report.seconds)]
    samples += [(_PHASES[phase], seconds) for phase, seconds in _seconds_of_phases(report).items()]
    if report.outcome is Outcome.CRITICAL:
        samples.append(((families.FAILURE_INFO, _failure_info(report)), 1))
    samples += [
        ((families.WARNING_INFO, (cause,)), 1) for cause in dict.fromkeys(each.cause for each in report.warnings)
    ]
    return samples


def _samples_of_server(report: Report) -> Samples:
    """Yield what the server, or a mail API, said of itself."""
    if report.tls is not None:
        if report.tls.certificate is not None:
            yield _CERTIFICATE_EXPIRY, report.tls.certificate.not_after
        yield (families.TLS_INFO, (report.tls.version, report.tls.cipher)), 1
    if report.account:
        yield from _samples_of_account(report.account)


def _samples_of_account(account: Mapping[str, float | str]) -> Samples:
    """Yield what a mail API says of the account; facts and states are from lists."""
    for fact in ACCOUNT_FACTS:
        value = account.get(fact)
        if isinstance(value, float | int):
            yield (families.API_ACCOUNT, (fact,)), value
    states = tuple(_state(account.get(name), known) for name, known in ACCOUNT_STATES.items())
    if any(states):
        yield (families.API_ACCOUNT_INFO, states), 1


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
