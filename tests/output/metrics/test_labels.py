"""Label values are escaped and bounded, whatever a configuration, a server or an issuer says."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from smtpcheck.model.check import Check, Phase
from smtpcheck.model.report import ApiAnswer, Exchange, Fault, FaultKind, Outcome, Report, Step
from smtpcheck.output.metrics import AgentState, Metrics, wants_openmetrics
from smtpcheck.state.state import State
from tests.worlds.samples import BILLING, refused, report, without_token

CHECK = BILLING
AGENT = AgentState(version="0.1.0", checks=1, in_flight=0, connectivity_lost=False)


def scrape(check: Check, report: Report, *, openmetrics: bool) -> dict[str, list[dict[str, str]]]:
    """Return the label sets of every sample, as the format's own parser reads them."""
    metrics = Metrics([name for name, _ in check.labels], expose_addresses=True)
    metrics.record(check, report, State().record(check, report))
    exposed = metrics.expose(openmetrics=openmetrics, credentials=(), agent=AGENT).decode()
    found: dict[str, list[dict[str, str]]] = {}
    for family in (parse_openmetrics if openmetrics else parse_text)(exposed):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def failure(report: Report) -> dict[str, str]:
    """Return the labels that name a failure."""
    (labels,) = scrape(CHECK, report, openmetrics=False)["smtpcheck_failure_info"]
    return {name: value for name, value in labels.items() if name not in ("check", "phase", "cause")}


@pytest.mark.parametrize("openmetrics", [False, True])
@given(value=st.text(st.characters(exclude_categories=["Cs"])), mailbox=st.text('a%;"\\\n{},= #'))
def test_any_label_value_comes_back_as_it_was(openmetrics: bool, value: str, mailbox: str) -> None:
    check = replace(CHECK, mailbox=mailbox, labels=(("team", value),))
    found = scrape(check, report(), openmetrics=openmetrics)
    assert found["smtpcheck_runs_total"] == [{"check": "billing", "team": value}]
    assert found["smtpcheck_check_info"][0]["mailbox"] == mailbox


def test_half_a_surrogate_pair_does_not_break_the_scrape() -> None:
    found = scrape(replace(CHECK, labels=(("team", "a\ud800b"),)), report(), openmetrics=False)
    assert found["smtpcheck_runs_total"] == [{"check": "billing", "team": "a?b"}]


NO_CODES = {"smtp_code": "", "enhanced_code": "", "oauth_error": "", "oauth_code": ""}


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (refused(535, "5.7.3"), {"smtp_code": "535", "enhanced_code": "5.7.3"}),
        (refused(430, "4.2.0"), {"smtp_code": "430", "enhanced_code": "4.2.0"}),
        (refused(550, "5.7.9999"), {"smtp_code": "550"}),
        (refused(550, "5.7.x"), {"smtp_code": "550"}),
        (refused(550, "9.7.1"), {"smtp_code": "550"}),
        (refused(550, "5.7.1 billing"), {"smtp_code": "550"}),
        (refused(550, "5.7.٣"), {"smtp_code": "550"}),
        (refused(55, ""), {}),
        (refused(12345, ""), {}),
        (without_token("invalid_grant", 700082), {"oauth_error": "invalid_grant", "oauth_code": "AADSTS700082"}),
        (without_token("invalid_grant"), {"oauth_error": "invalid_grant"}),
        (without_token("anna@example.org"), {"oauth_error": "other"}),
        (without_token("", 123456789), {}),
        (without_token("slow_down", -5), {"oauth_error": "slow_down"}),
    ],
)
def test_codes_are_bounded_by_pattern_and_errors_by_list(report: Report, expected: dict[str, str]) -> None:
    assert failure(report) == NO_CODES | expected


@pytest.mark.parametrize(
    ("answer", "http_status", "api_error"),
    [
        (ApiAnswer(403, "ErrorAccessDenied", "No."), "403", "ErrorAccessDenied"),
        (ApiAnswer(429, "ApplicationThrottled"), "429", "ApplicationThrottled"),
        (ApiAnswer(422, "10"), "422", "10"),
        (ApiAnswer(401), "401", ""),
        (ApiAnswer(400, "anna@example.org is not known"), "400", "other"),
        (ApiAnswer(99999, "x" * 80), "", "other"),
    ],
)
def test_what_a_mail_api_says_is_bounded_by_pattern_and_list(
    answer: ApiAnswer, http_status: str, api_error: str
) -> None:
    step = Step(Phase.REQUEST, 0.0, 0.1, (Exchange("POST https://x/y", None, answer=answer),), Fault(FaultKind.REPLY))
    labels = failure(report(Outcome.CRITICAL, step))
    assert labels == NO_CODES | {"http_status": http_status, "api_error": api_error}


def test_an_issuers_old_error_is_not_blamed_for_another_phase() -> None:
    report = structs.replace(refused(535, "5.7.3"), token_error=without_token("invalid_client", 7000215).token_error)
    assert failure(report) == NO_CODES | {"smtp_code": "535", "enhanced_code": "5.7.3"}


def test_a_failure_without_a_phase_or_cause_still_shows() -> None:
    failing = report(Outcome.CRITICAL)
    (labels,) = scrape(CHECK, failing, openmetrics=True)["smtpcheck_failure_info"]
    assert labels == NO_CODES | {"check": "billing", "phase": "", "cause": "unknown"}


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        ("text/plain;version=0.0.4", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", True),
        ("Application/OpenMetrics-Text;Version=1.0.0", True),
        ("application/openmetrics-text;version=0.0.1", False),
        ("application/openmetrics-text;version=2.0.0", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=nonsense", False),
        ("text/plain;q=0.9,application/openmetrics-text;q=0.4", False),
        ("text/plain,application/openmetrics-text", True),
        # Prometheus 2
        (
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
                "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
            ),
            True,
        ),
        # Prometheus 3
        (
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
                "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
                "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
            ),
            True,
        ),
    ],
)
def test_openmetrics_is_served_to_who_prefers_it(accept: str, expected: bool) -> None:
    assert wants_openmetrics(accept) is expected


ACCOUNT: dict[str, float | str] = {
    "sending_enabled": 1.0,
    "production_access": 0.0,
    "quota_in_24_hours": 200.0,
    "enforcement_status": "PROBATION",
    "dkim_status": "made up by whoever answers",
    "another_fact": 7.0,
}


def test_what_an_api_says_of_the_account_is_from_lists() -> None:
    found = scrape(CHECK, structs.replace(report(), account=ACCOUNT), openmetrics=True)
    facts = [labels["fact"] for labels in found["smtpcheck_api_account_value"]]
    assert facts == ["sending_enabled", "production_access", "quota_in_24_hours"]
    (states,) = found["smtpcheck_api_account_info"]
    assert (states["enforcement_status"], states["dkim_status"]) == ("PROBATION", "other")


def test_a_check_by_smtp_has_no_account() -> None:
    assert "smtpcheck_api_account_value" not in scrape(CHECK, report(), openmetrics=False)
