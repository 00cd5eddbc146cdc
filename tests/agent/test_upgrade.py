"""The state folder that an agent of 0.1.0 left when it was killed: this version's agent goes on from it.

`tests/state/versions/agent-0.1.0/` was written by 0.1.0 itself: its agent ran in its sandbox's world (three checks, one
whose secret had expired, one with SMTP AUTH off; two loopbacks, one of whose messages arrived), was stopped once,
started again, and killed. `state.sql` is the dump of its state file with what was in the write-ahead log, the
others are its files. The secrets in them are the sandbox's and were good for nothing else. Nothing there is ever
changed.
"""

import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
import structlog
import trustme

from smtpcheck.config import load
from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome
from smtpcheck.oauth.token_store import TokenStore
from smtpcheck.sandbox.world import World
from smtpcheck.state import schema
from smtpcheck.state.state import FILE_NAME, State
from tests.worlds.agents import edit, only, running, unhurried
from tests.worlds.waiting import until

LEFT = Path(__file__).parent.parent / "state" / "versions" / "agent-0.1.0"
STOPPED_AT = 1_795_841_910.0
"""Some seconds after it was killed."""
RUNS = {"healthy-user": 3, "secret-expired": 3, "smtp-auth-disabled": 3, "mail-delivered": 2, "mail-pending": 3}
FIRING = {("contoso-expired", Cause.SECRET_EXPIRED), ("contoso", Cause.SMTP_AUTH_DISABLED_TENANT)}


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """Return the state folder as 0.1.0 left it."""
    folder = tmp_path / "state"
    (folder / "locks").mkdir(parents=True)
    (folder / "locks" / "mailboxes").touch()
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        connection.executescript((LEFT / "state.sql").read_text())
    (folder / "loopback.key").write_bytes(bytes.fromhex((LEFT / "loopback.key").read_text()))
    shutil.copytree(LEFT / "tokens", folder / "tokens")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return folder


async def test_all_that_it_knew_is_found(left: Path) -> None:
    """Runs, history and outages; what fires and was sent; messages that are still searched for; caps on messages."""
    state = await State.kept(left, lambda: STOPPED_AT)
    try:
        assert state.error == ""
        await state.fetch(list(RUNS))
        assert {name: state.checks[name].runs for name in RUNS} == RUNS
        expired = state.checks["secret-expired"]
        assert (expired.report.outcome, expired.report.cause, expired.failures) == (
            Outcome.CRITICAL,
            Cause.SECRET_EXPIRED,
            3,
        )
        assert [run.outcome for run in expired.history()] == [Outcome.CRITICAL] * 3
        entries = await state.alerts.entries()
        assert {(alert.name, alert.cause) for alert in entries["log"]} == FIRING
        assert all(entry.notified_at for entry in entries["log"].values())
    finally:
        await state.close()
    with closing(sqlite3.connect(left / FILE_NAME)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(schema.STEPS),)
        waiting = connection.execute("SELECT count(*) FROM messages WHERE name = 'mail-pending'").fetchone()
        assert waiting[0] > 1


def test_its_refresh_token_is_used(left: Path) -> None:
    """It is the only one that the issuer still accepts, so losing it means that a person must log in again."""
    store = TokenStore(left / "tokens")
    login = store.file("contoso-user").read()
    assert login and login.account == "healthy-user@contoso.example"
    assert stat.S_IMODE((left / "tokens" / "contoso-user.token").stat().st_mode) == 0o600


def test_its_configuration_loads_as_it_is(left: Path) -> None:
    """It has no problem but the one that 0.1.0 saw too: that it sends more often than the caps allow."""
    config = left.parent / "checks.yaml"
    config.write_text((LEFT / "checks.yaml").read_text().replace("STATE", str(left)))
    trustme.CA().cert_pem.write_to_path(str(left.parent / "ca.pem"))
    for name in ("contoso.secret", "contoso-expired.secret", "contoso-mail.secret", "contoso-user.refresh-token"):
        (left.parent / name).write_text("good-for-nothing")
        (left.parent / name).chmod(0o600)
    loaded = load([config])
    assert loaded.settings
    assert {problem.path for problem in loaded.problems} == {"checks[3].loopback.every", "checks[4].loopback.every"}


async def test_an_agent_goes_on_from_it_and_sends_no_alert_twice(left: Path, tmp_path: Path) -> None:
    """Both failures go on in this agent's world: what was sent of them before the upgrade is not sent as new."""
    folder = tmp_path / "world"
    folder.mkdir()
    async with World(folder, only("healthy-user", "secret-expired", "smtp-auth-disabled")) as world:
        unhurried(world)
        edit(world.config, lambda document: document["agent"].update(state=str(left)))
        alerts = {"notify": [{"type": "log"}], "fail_after": 1}
        edit(world.config, lambda document: document.update(alerts=alerts))
        with structlog.testing.capture_logs() as logged:
            async with running(world.config) as agent:
                await until(lambda: all(agent.state.checks[name].runs > RUNS[name] for name in world.expected))
                assert {name: len(agent.state.checks[name].history()) > 3 for name in world.expected} == dict.fromkeys(
                    world.expected, True
                )
    sent = [(each["status"], each["reason"], each["cause"]) for each in logged if "status" in each and "cause" in each]
    assert [each for each in sent if each[:2] == ("firing", "new")] == []
