"""Reports as text: what a terminal of eighty columns and a pipe get."""

from dataclasses import replace

import pytest
from msgspec import structs

from smtpcheck.config import from_options
from smtpcheck.diagnosis import catalogue
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check, Expect, Phase
from smtpcheck.model.report import Exchange, Fault, FaultKind, Finding, Outcome, Reply, Report, Step
from smtpcheck.output import terminal
from smtpcheck.output.finding import findings_text, show
from smtpcheck.output.report_json import report_as_json

RULES = catalogue.load()
REFUSED = Report(
    check="office",
    started_at=0.0,
    seconds=0.25,
    outcome=Outcome.CRITICAL,
    steps=(Step(Phase.CONNECT, 0.0, 0.25, (), Fault(FaultKind.REFUSED)),),
    cause=Cause.PORT_BLOCKED,
    findings=(
        Finding(Cause.PORT_BLOCKED, 0.7, "rule", ("system: 127.0.0.1: Connection refused",)),
        Finding(Cause.TIMEOUT, 0.3, "rule"),
    ),
)


@pytest.fixture
def check() -> Check:
    settings = from_options({"host": "::1", "port": 587, "mailbox": "a@example.org", "depth": "connect"}).settings
    assert settings
    return replace(settings.checks[0], name="office")


def test_the_words_before_each_fact_stand_in_one_column(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    """The causes that are less likely are no exception; and no line ends with blanks."""
    show(terminal.details(REFUSED, check, RULES))
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == "office  a@example.org via [::1]:587"
    facts = {line[2:14].strip(): line[14:] for line in lines if line[2:14].strip()}
    assert facts["evidence"] == "system: 127.0.0.1: Connection refused"
    assert facts["confirm"] == "these look the same; check them in this order:"
    assert [line[14:] for line in lines if "- timeout: " in line] == ["- timeout: the phase that was open"]
    assert [line for line in lines if line != line.rstrip() or line[:2].strip() or line[12:14].strip()] == []


def test_a_check_without_a_mailbox_is_named_by_its_server(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    show(terminal.details(REFUSED, replace(check, mailbox=""), RULES))
    assert capsys.readouterr().out.splitlines()[0] == "office  via [::1]:587"


def test_a_table_is_plain_text_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    show(terminal.report_table([REFUSED]))
    assert capsys.readouterr().out.splitlines() == [
        "   check   outcome   phase    cause         seconds",
        "✗  office  critical  connect  port_blocked     0.25",
    ]


DENIED = Reply(554, "5.7.1", ("<a|b@elsewhere.example>: Relay access denied",))
MET = Report(
    check="relay",
    started_at=0.0,
    seconds=0.25,
    outcome=Outcome.OK,
    steps=(
        Step(Phase.RCPT, 0.0, 0.25, (Exchange("RCPT TO:<a|b@elsewhere.example>", DENIED),), Fault(FaultKind.REPLY)),
    ),
    expect=Expect(Phase.RCPT, ("5xx",)),
)
PASSED = structs.replace(
    MET,
    outcome=Outcome.CRITICAL,
    cause=Cause.UNEXPECTED_SUCCESS,
    steps=(Step(Phase.RCPT, 0.0, 0.25, (Exchange("RCPT", Reply(250, "2.1.5", ("Ok",))),)),),
)


def test_an_expected_refusal_is_told_as_one_and_an_unexpected_success_with_its_phase(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show(terminal.report_table([MET, PASSED]))
    _, met, passed = capsys.readouterr().out.splitlines()
    assert met.split(maxsplit=4)[:4] == ["✓", "relay", "ok", "rcpt"]
    assert "refused as expected: 554 5.7.1 <a|b@elsewhere.example>: Relay access denied" in met
    assert passed.split() == ["✗", "relay", "critical", "rcpt", "unexpected_success", "0.25"]


def test_a_reply_in_nagios_lines_brings_no_performance_data() -> None:
    first, met, passed = terminal.nagios([MET, PASSED], RULES).splitlines()
    assert first.startswith("CRITICAL - 2 checks: 1 ok, 1 critical; relay: ")
    assert first.count("|") == 1
    assert met == "relay: ok: refused as expected: 554 5.7.1 <a/b@elsewhere.example>: Relay access denied"
    assert passed == "relay: critical: unexpected_success in phase rcpt"


def test_json_says_what_was_expected_and_whether_it_came() -> None:
    met, passed = (report_as_json(report, RULES) for report in (MET, PASSED))
    assert met["expect"] == {"phase": "rcpt", "codes": ("5xx",), "enhanced": (), "api_errors": ()}
    assert met["refused_as_expected"] == f"554 5.7.1 {DENIED.text}"
    assert passed["refused_as_expected"] is None
    assert report_as_json(REFUSED, RULES)["expect"] is None


def test_the_first_line_of_nagios_says_check_cause_and_reply() -> None:
    refused = structs.replace(REFUSED, steps=MET.steps)
    first, _ = terminal.nagios([refused], RULES).splitlines()
    text, _, data = first.partition(" | ")
    assert text.startswith("CRITICAL - office: Outbound port blocked")
    assert text.endswith("(554 5.7.1 <a/b@elsewhere.example>: Relay access denied)")
    assert data == "'office'=0.250s"


@pytest.mark.parametrize(("values", "named"), [({"inspect": "contoso"}, True), ({}, False)])
def test_the_order_of_checks_ends_in_the_inspection_where_there_is_an_inspector(
    check: Check, capsys: pytest.CaptureFixture[str], values: dict[str, str], named: bool
) -> None:
    causes = (Cause.SERVICE_PRINCIPAL_NOT_REGISTERED, Cause.MAILBOX_PERMISSION_MISSING)
    findings = tuple(Finding(cause, 0.6, "exchange.rejected-token-of-app", values=values) for cause in causes)
    show(terminal.details(structs.replace(REFUSED, cause=causes[0], findings=findings), check, RULES))
    text = " ".join(capsys.readouterr().out.split())
    assert ("or ask the provider itself: smtpcheck inspect contoso" in text) is named
    assert "or all at once: smtpcheck doctor <check>" in text


@pytest.mark.parametrize(("certainty", "shown"), [(0.98, False), (0.7, True)])
def test_below_a_certain_cause_no_likely_one_is_offered(
    capsys: pytest.CaptureFixture[str], certainty: float, *, shown: bool
) -> None:
    findings = (
        Finding(Cause.MAILBOX_PERMISSION_MISSING, certainty, "inspection.mailbox_permission_missing"),
        Finding(Cause.SERVICE_PRINCIPAL_NOT_REGISTERED, 0.6, "exchange.rejected-token-of-app"),
    )
    show(findings_text(findings, RULES))
    assert ("service_principal_not_registered" in capsys.readouterr().out) is shown
