"""Logins with a password, and refusals that must come, at Debian's Dovecot and Postfix."""

import json
from pathlib import Path

import pytest

from smtpcheck.agent.run_once import run_once
from smtpcheck.config import load
from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome, Report
from tests.real.mail import PASSWORD, Certificates, Dovecot, Postfix

ANNA = "anna@example.test"


class Site:
    """Runs one check of a configuration at either server."""

    def __init__(self, folder: Path, certificates: Certificates, dovecot: Dovecot, postfix: Postfix) -> None:
        self._folder, self._certificates = folder, certificates
        self._ports = {
            "dovecot": dovecot.ports.submission,
            "postfix": postfix.ports.submission,
            "strict": postfix.ports.strict,
        }
        self.password = PASSWORD

    async def run(self, server: str, **check: object) -> Report:
        """Run a check with these keys."""
        (self._folder / "password").write_text(self.password)
        at = {"host": "localhost", "port": self._ports[server], "ca_file": str(self._certificates.ca), "ip_version": 4}
        settings = {
            "credentials": {"legacy": {"type": "password", "password": {"file": "password"}}},
            "checks": [{"name": "a", "server": at, **check}],
        }
        (self._folder / "checks.yaml").write_text(json.dumps(settings))
        loaded = load([self._folder / "checks.yaml"])
        assert loaded.settings is not None, loaded.problems
        return (await run_once(loaded.settings, loaded.settings.checks))["a"]


@pytest.fixture
def site(tmp_path: Path, certificates: Certificates, dovecot: Dovecot, postfix: Postfix) -> Site:
    """Return both servers."""
    return Site(tmp_path, certificates, dovecot, postfix)


LOGIN = {"mailbox": ANNA, "credential": "legacy"}
BOTH = pytest.mark.parametrize("server", ["dovecot", "postfix"])


@BOTH
@pytest.mark.parametrize("mechanism", [None, "plain", "login"])
async def test_a_password_opens_the_mailbox_by_either_mechanism(site: Site, server: str, mechanism: str | None) -> None:
    report = await site.run(server, **LOGIN, **({"mechanism": mechanism} if mechanism else {}))
    assert (report.outcome, report.cause) == (Outcome.OK, None), report
    assert report.mechanism == (mechanism or "plain").upper()


@BOTH
@pytest.mark.parametrize("mechanism", ["plain", "login"])
async def test_a_wrong_password_is_refused_which_may_be_what_must_happen(
    site: Site, server: str, mechanism: str
) -> None:
    site.password = "wrong"
    keys = {**LOGIN, "mechanism": mechanism}
    failed = await site.run(server, **keys)
    assert (failed.outcome, failed.cause) == (Outcome.CRITICAL, Cause.PASSWORD_WRONG)
    met = await site.run(server, **keys, expect={"phase": "auth", "code": 535, "enhanced": "5.7.8"})
    assert met.outcome is Outcome.OK
    assert str(met.refused_as_expected).startswith("535 5.7.8 ")


@BOTH
async def test_a_right_password_where_it_must_be_refused_is_an_unexpected_success(site: Site, server: str) -> None:
    report = await site.run(server, **LOGIN, expect={"phase": "auth"})
    assert (report.outcome, report.cause) == (Outcome.CRITICAL, Cause.UNEXPECTED_SUCCESS)


RELAY = {"sender": "stranger@example.org", "expect": {"phase": "rcpt", "code": 554, "enhanced": "5.7.1"}}


async def test_postfix_relays_nothing_without_a_login(site: Site) -> None:
    report = await site.run("strict", **RELAY, recipient="somebody@elsewhere.test")
    assert report.outcome is Outcome.OK, report
    assert str(report.refused_as_expected) == "554 5.7.1 <somebody@elsewhere.test>: Relay access denied"


async def test_postfix_takes_mail_for_its_own_domain_from_anybody(site: Site) -> None:
    report = await site.run("strict", **RELAY, recipient=ANNA)
    assert (report.outcome, report.cause) == (Outcome.CRITICAL, Cause.UNEXPECTED_SUCCESS)


async def test_dovecot_takes_no_mail_without_a_login(site: Site) -> None:
    """It says so at MAIL already: expected at RCPT, it is another failure, which says what was expected."""
    keys = {"sender": ANNA, "recipient": ANNA}
    met = await site.run("dovecot", **keys, expect={"phase": "mail", "code": 530})
    assert met.outcome is Outcome.OK
    other = await site.run("dovecot", **keys, expect={"phase": "rcpt", "code": 530})
    assert (other.outcome, other.cause) == (Outcome.CRITICAL, Cause.AUTH_NOT_ATTEMPTED)
    assert other.findings[0].evidence[-1] == "a refusal 530 in phase rcpt was expected"


@pytest.mark.parametrize(
    ("sender", "outcome", "cause"),
    [("board@example.test", Outcome.OK, None), (ANNA, Outcome.CRITICAL, Cause.UNEXPECTED_SUCCESS)],
)
async def test_postfix_refuses_a_sender_of_somebody_else(
    site: Site, sender: str, outcome: Outcome, cause: Cause | None
) -> None:
    """At RCPT, for Postfix delays what it has against a sender."""
    keys = {**LOGIN, "recipient": ANNA, "expect": {"phase": "rcpt", "code": 553, "enhanced": "5.7.1"}}
    report = await site.run("strict", **keys, sender=sender)
    assert (report.outcome, report.cause) == (outcome, cause), report
