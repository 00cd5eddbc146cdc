"""Reports as text: what a terminal of eighty columns and a pipe get."""

from dataclasses import replace

import pytest

from smtpcheck import render
from smtpcheck.cause import Cause
from smtpcheck.config import from_options
from smtpcheck.diagnosis import catalogue
from smtpcheck.finding_text import show
from smtpcheck.model import Check, Fault, FaultKind, Finding, Outcome, Phase, Report, Step

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
    show(render.details(REFUSED, check, RULES))
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == "office  a@example.org via [::1]:587"
    facts = {line[2:14].strip(): line[14:] for line in lines if line[2:14].strip()}
    assert facts["seen"] == "system: 127.0.0.1: Connection refused"
    assert facts["or"].endswith("(timeout, 30%)")
    assert [line for line in lines if line != line.rstrip() or line[:2].strip() or line[12:14].strip()] == []


def test_a_check_without_a_mailbox_is_named_by_its_server(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    show(render.details(REFUSED, replace(check, mailbox=""), RULES))
    assert capsys.readouterr().out.splitlines()[0] == "office  via [::1]:587"


def test_a_table_is_plain_text_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    show(render.report_table([REFUSED]))
    assert capsys.readouterr().out.splitlines() == [
        "   check   outcome   phase    cause         seconds",
        "✗  office  critical  connect  port_blocked     0.25",
    ]
