"""What an earlier version left: its configuration is still good, and its state file is found again, whole.

`versions/` holds both as they were written then, and nothing there is ever changed: `checks-VERSION.yaml` with every
key that the version knew, and `state-STEPS.sql`, a dump of a file that the code of that time wrote. No key has been
renamed so far. One that moves to another part is told so by itself (`configs/elsewhere.yaml`).
"""

import json
import re
import sqlite3
import zlib
from pathlib import Path

import pytest
from msgspec import structs

from smtpcheck.alerts.grouping import Key, Severity, Subject
from smtpcheck.alerts.notification_log import Entry
from smtpcheck.alerts.thresholds import Streak
from smtpcheck.config import load
from smtpcheck.limits.send_limits import DAY, Limits
from smtpcheck.model.backoff import Breaker
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import (
    Phase,
)
from smtpcheck.model.report import (
    Attempt,
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
    TokenFacts,
)
from smtpcheck.state import schema
from smtpcheck.state.state import FILE_NAME, State

VERSIONS = Path(__file__).parent / "versions"
CONFIGURATIONS = sorted(VERSIONS.glob("checks-*.yaml"))
DUMPED_STEPS = 2
NOON = 20_000 * 86400.0 + 43200

FAILED = Report(
    "billing",
    NOON,
    0.5,
    Outcome.CRITICAL,
    (
        Step(
            Phase.AUTH,
            0.25,
            0.25,
            (
                Exchange(
                    "AUTH XOAUTH2 (1200 octets)", Reply(535, "5.7.3", ("Authentication unsuccessful",)), "challenge"
                ),
            ),
            Fault(FaultKind.REPLY, "detail"),
        ),
    ),
    cause=Cause.USER_MISMATCH,
    findings=(Finding(Cause.USER_MISMATCH, 0.8, "rule", ("seen",), {"mailbox": "x"}),),
)
LOCKED = structs.replace(FAILED, check="orders", cause=Cause.ACCOUNT_LOCKED)
NO_TOKEN = structs.replace(
    FAILED,
    check="sales",
    cause=Cause.SECRET_EXPIRED,
    steps=(Step(Phase.TOKEN, 0.0, 0.25, fault=Fault(FaultKind.TOKEN)),),
    token_error=TokenError(
        TokenErrorKind.OAUTH,
        at=NOON,
        endpoint="https://login.example.org/token",
        http_status=401,
        error="invalid_client",
        error_codes=(7000222,),
        description="expired",
        correlation_id="c",
        trace_id="t",
        clock_offset=0.5,
        requested_scope="s",
    ),
)
WARNED = Report(
    "billing",
    NOON + 60,
    0.5,
    Outcome.WARNING,
    (
        Step(Phase.CONNECT, 0.0, 0.125),
        Step(Phase.AUTH, 0.125, 0.25, (Exchange("AUTH XOAUTH2", Reply(235, "2.7.0", ("ok",))),)),
    ),
    warnings=(Finding(Cause.SECRET_INVALID, 0.9, "expiry", ("ends soon",), {"client_id": "x"}),),
    token=TokenFacts(
        *("fp", "jwt", NOON, NOON + 3600, "scope", 1200),
        {"aud": "https://outlook.office365.com", "roles": ["SMTP.SendAsApp"]},
        from_cache=True,
    ),
    tls=TlsFacts(
        "TLSv1.3",
        "TLS_AES_256_GCM_SHA384",
        CertificateFacts(1.0, 1_800_000_000.0, "CN=smtp", "CN=ca", ("smtp.example.org",), "ab" * 32, False, True),
    ),
    attempts=(Attempt("192.0.2.1", 4, None),),
    mechanism="XOAUTH2",
    auth_line_length=1300,
    waited=0.25,
)


def file_of(folder: Path, steps: int) -> None:
    """Write a state file as a version with so many steps had it."""
    connection = sqlite3.connect(folder / FILE_NAME)
    connection.executescript((VERSIONS / f"state-{DUMPED_STEPS}.sql").read_text())
    if steps < DUMPED_STEPS:
        connection.execute("DROP TABLE sent")
    connection.executescript("".join(schema.STEPS[DUMPED_STEPS:steps]) + f"PRAGMA user_version = {steps};")
    connection.close()


@pytest.mark.parametrize("steps", range(1, len(schema.STEPS) + 1))
async def test_a_state_file_of_any_version_is_found_again_whole(tmp_path: Path, steps: int) -> None:
    """Counts, reports, history, back-offs, and the messages of the day."""
    file_of(tmp_path, steps)
    state = await State.kept(tmp_path)
    assert state.error == ""
    await state.fetch(["billing", "orders", "sales"])
    billing, orders, sales = (state.checks[name] for name in ("billing", "orders", "sales"))
    assert (billing.report, billing.failure) == (WARNED, FAILED)
    assert (orders.report, sales.report) == (LOCKED, NO_TOKEN)
    assert (billing.runs, billing.failures, billing.last_success_at, billing.since) == (2, 1, NOON + 60, NOON + 60)
    assert orders.breaker == Breaker(1, NOON + 900.5)
    assert [(each.started_at, each.outcome, each.cause) for each in billing.history()] == [
        (NOON, Outcome.CRITICAL, Cause.USER_MISMATCH),
        (NOON + 60, Outcome.WARNING, None),
    ]
    days = await state.days("billing")
    assert [(day.day, sum(hour.runs for hour in day.hours)) for day in days] == [(20_000, 2)]
    until = await state.may_send("billing@example.org", "example.org", NOON + 2, Limits(2, 2))
    assert until == (NOON + DAY if steps >= DUMPED_STEPS else None)
    assert state._file
    tables = await state._file.read("SELECT name FROM sqlite_master WHERE name = 'tenures'")
    assert tables == []
    await state.close()


def packed(value: object) -> bytes:
    """Return what 0.1.0 wrote for a value."""
    return zlib.compress(json.dumps(value).encode(), 1)


async def test_the_alerts_of_0_1_0_are_found_again(tmp_path: Path) -> None:
    """What fires, what was sent of it, and each check's runs in a row; what is no longer counted is passed over."""
    key = {"subject": "credential", "name": "contoso", "severity": "critical", "cause": "secret_expired"}
    finding = {"cause": "secret_expired", "certainty": 0.9, "rule": "entra", "evidence": ["seen"], "values": {}}
    entry = {"since": NOON, "findings": [finding], "names": ["billing"]}
    told = entry | {"told_at": NOON + 60, "told_checks": 3, "ended_at": NOON + 90, "ending": True}
    watches = {"failure": {"alert": key, "seen": key, "bad": 0, "good": 1}}
    file_of(tmp_path, len(schema.STEPS))
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    with connection:
        row = "INSERT INTO alert_entries (notifier, alert, entry) VALUES (?, ?, ?)"
        connection.execute(row, ("hook", "critical|credential|secret_expired|contoso", packed(told)))
        connection.execute(row, ("", "critical|credential|secret_expired|contoso", packed(entry)))
        connection.execute(
            "INSERT INTO alert_watches (name, watches) VALUES (?, ?)", ("a", packed({"watches": watches}))
        )
    connection.close()
    alert = Key(Subject.CREDENTIAL, "contoso", Severity.CRITICAL, Cause.SECRET_EXPIRED)
    findings = (Finding(Cause.SECRET_EXPIRED, 0.9, "entra", ("seen",), {}),)
    state = await State.kept(tmp_path)
    try:
        assert await state.alerts.entries() == {
            "hook": {alert: Entry(NOON, findings, ("billing",), NOON + 60, NOON + 90, ending=True)},
            "": {alert: Entry(NOON, findings, ("billing",))},
        }
        assert await state.alerts.streaks() == {"a": {"failure": Streak(alert, alert, good=1)}}
    finally:
        await state.close()


def test_no_step_that_files_were_written_with_has_changed() -> None:
    """The tables of a dump are those of the steps of its time."""
    made, dumped = sqlite3.connect(":memory:"), sqlite3.connect(":memory:")
    made.executescript("".join(schema.STEPS[:DUMPED_STEPS]))
    dumped.executescript((VERSIONS / f"state-{DUMPED_STEPS}.sql").read_text())
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name"
    tables = [
        [(name, re.sub(r"\s+", " ", sql)) for name, sql in connection.execute(query)] for connection in (made, dumped)
    ]
    made.close()
    dumped.close()
    assert tables[0] == tables[1]


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_a_configuration_of_an_earlier_version_is_still_good(path: Path) -> None:
    """Every key that it knew, but for the secrets, which are elsewhere."""
    loaded = load([path])
    assert [str(problem) for problem in loaded.problems if problem.severity == "error"] == []
    assert loaded.settings
    assert loaded.settings.checks
