"""Checks that expect a refusal, against the sandbox's servers: from the configuration to the report."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from smtpcheck.agent.run_once import run_once
from smtpcheck.config import load
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Phase
from smtpcheck.model.report import Outcome, Reply, Report
from smtpcheck.sandbox import gmail_replies, replies
from smtpcheck.sandbox.scenario import CONTOSO, GMAIL, NOBODY, POSTFIX, CredentialKind, Registration, Scenario
from smtpcheck.sandbox.world import World

NO_PASSWORD = Registration("basic", CredentialKind.PASSWORD, known=False)
PASSWORD = Registration("site", CredentialKind.PASSWORD)
WRONG = Registration("wrong", CredentialKind.PASSWORD, wrong_secret=True)
ELSEWHERE = {"sender": "anybody@contoso.example", "recipient": "somebody@elsewhere.example"}


def expecting(phase: str, **keys: object) -> Mapping[str, object]:
    return {"expect": {"phase": phase, **keys}}


async def report_of(tmp_path: Path, scenario: Scenario) -> Report:
    async with World(tmp_path, [scenario]) as world:
        loaded = load([world.config])
        assert loaded.settings is not None, loaded.problems
        return (await run_once(loaded.settings, loaded.settings.checks))[scenario.name]


@pytest.mark.parametrize(
    "reply", ["BASIC_AUTH_DISABLED", "BASIC_AUTH_RETIRED", "SECURITY_DEFAULTS", "CRITERIA_NOT_MET"]
)
async def test_exchange_refuses_a_password_as_it_must(tmp_path: Path, reply: str) -> None:
    text = getattr(replies, reply)
    scenario = Scenario("x", "", check=expecting("auth"), registration=NO_PASSWORD, refuses={"PASSWORD": text})
    report = await report_of(tmp_path, scenario)
    assert (report.outcome, report.cause, report.mechanism) == (Outcome.OK, None, "LOGIN")
    assert str(report.refused_as_expected).startswith(text)
    assert report.token is None


def named(value: object) -> str:
    return value.name if isinstance(value, Scenario) else ""


def on_own(name: str, check: Mapping[str, object], registration: Registration, **refuses: str) -> Scenario:
    return Scenario(name, "", check=check, server=POSTFIX, registration=registration, refuses=refuses)


def at_exchange(name: str, check: Mapping[str, object], registration: Registration, **refuses: str) -> Scenario:
    return Scenario(name, "", check=check, registration=registration, refuses=refuses)


GOOGLE = Scenario(
    "google",
    "",
    check=expecting("auth"),
    server=GMAIL,
    registration=Registration("g", CredentialKind.GOOGLE_USER),
    refuses={"AUTH": gmail_replies.AUTH_UNSUCCESSFUL},
)
ANONYMOUS = {"sender": "a@contoso.example", **expecting("mail", enhanced="5.7.57")}


@pytest.mark.parametrize(
    ("scenario", "code"),
    [
        (GOOGLE, 535),
        (on_own("wrong", expecting("auth", code=535), WRONG), 535),
        (on_own("relay", {**ELSEWHERE, **expecting("rcpt", code=554)}, NOBODY), 554),
        (at_exchange("anonymous", ANONYMOUS, NOBODY), 530),
        (on_own("sender", {**ELSEWHERE, **expecting("rcpt")}, PASSWORD), 553),
    ],
    ids=named,
)
async def test_what_must_be_refused_is(tmp_path: Path, scenario: Scenario, code: int) -> None:
    report = await report_of(tmp_path, scenario)
    assert report.outcome is Outcome.OK, report
    assert isinstance(report.refused_as_expected, Reply)
    assert report.refused_as_expected.code == code


@pytest.mark.parametrize(
    ("scenario", "phase"),
    [
        (on_own("login", expecting("auth"), PASSWORD), Phase.AUTH),
        (at_exchange("token", expecting("auth"), CONTOSO), Phase.AUTH),
        (on_own("relay", {**ELSEWHERE, "recipient": "x@contoso.example", **expecting("rcpt")}, NOBODY), Phase.RCPT),
    ],
    ids=named,
)
async def test_what_must_be_refused_and_is_not_is_critical(tmp_path: Path, scenario: Scenario, phase: Phase) -> None:
    report = await report_of(tmp_path, scenario)
    assert (report.outcome, report.cause) == (Outcome.CRITICAL, Cause.UNEXPECTED_SUCCESS)
    assert report.findings[0].evidence[0].startswith(f"phase {phase} was accepted: 2")


EXPIRED = Registration("expired", secret_expired=True)
SWITCH, SWITCHED_OFF = replies.SMTP_AUTH_DISABLED_MAILBOX, Cause.SMTP_AUTH_DISABLED_MAILBOX
LATER = "454 4.7.0 Temporary authentication failure"


@pytest.mark.parametrize(
    ("scenario", "cause"),
    [
        (at_exchange("switch", expecting("auth", enhanced="5.7.3"), CONTOSO, AUTH=SWITCH), SWITCHED_OFF),
        (on_own("later", expecting("auth"), PASSWORD, AUTH=LATER), Cause.TRANSIENT_SERVER_ERROR),
        (at_exchange("no-token", expecting("auth"), EXPIRED), Cause.SECRET_EXPIRED),
        (at_exchange("earlier", {**ELSEWHERE, **expecting("rcpt")}, NOBODY), Cause.AUTH_NOT_ATTEMPTED),
    ],
    ids=named,
)
async def test_another_failure_has_its_own_cause_and_says_what_was_expected(
    tmp_path: Path, scenario: Scenario, cause: Cause
) -> None:
    report = await report_of(tmp_path, scenario)
    assert (report.outcome, report.cause) == (Outcome.CRITICAL, cause)
    assert report.findings[0].evidence[-1].endswith("was expected")


async def test_a_password_that_cannot_be_read_is_no_refusal(tmp_path: Path) -> None:
    scenario = Scenario("x", "", check=expecting("auth"), registration=NO_PASSWORD)
    async with World(tmp_path, [scenario]) as world:
        (tmp_path / "basic.password").unlink()
        loaded = load([world.config])
        assert loaded.settings is not None
        report = (await run_once(loaded.settings, loaded.settings.checks))["x"]
        assert not world.exchange.logins
    assert (report.outcome, report.cause) == (Outcome.CRITICAL, Cause.SECRET_UNREADABLE)
