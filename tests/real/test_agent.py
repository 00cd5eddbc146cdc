"""The whole path on real parts: MSAL gets a token, Dovecot and Postfix verify it, Prometheus scrapes the agent."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.daemon import Daemon, free_port, wait_until
from tests.real.issuer import TENANT, RunningIssuer
from tests.real.mail import Certificates, Dovecot, Postfix
from tests.real.prometheus import Prometheus
from tests.real.tokens import trust

ANNA = "anna@example.test"
APP = next(iter(TENANT.apps.values()))

CONFIG = """
agent: {{listen: "127.0.0.1:{port}", state: {folder}/state}}
defaults: {{interval: 1s, timeout: 60s}}
credentials:
  contoso:
    type: microsoft
    authority: {issuer.url}
    tenant: {tenant}
    client_id: {app.client_id}
    client_secret: {{file: secret}}
    ca_file: {ca_file}
checks:
  - name: dovecot
    mailbox: {mailbox}
    credential: contoso
    server: {{host: 127.0.0.1, port: {dovecot.submission}, server_name: localhost, ca_file: {mail_ca}}}
    mechanism: oauthbearer
  - name: postfix
    mailbox: {mailbox}
    credential: contoso
    depth: recipient
    recipient: bob@example.test
    labels: {{team: finance}}
    server: {{host: 127.0.0.1, port: {postfix.submissions}, security: implicit, ca_file: {mail_ca}}}
  - name: other
    mailbox: other@example.test
    credential: contoso
    server: {{host: 127.0.0.1, port: {postfix.submission}, server_name: localhost, ca_file: {mail_ca}}}
"""


class Agent(Daemon):
    """A running `smtpcheck run`."""

    def __init__(self, config: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.target = f"127.0.0.1:{port}"
        super().__init__(
            [sys.executable, "-m", "smtpcheck", "run", f"--config.file={config}", "--log.format=json"],
            log=config.with_suffix(".log"),
            ports=[port],
        )

    def metrics(self) -> bytes:
        """Return what a scrape gets."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as response:
            text: bytes = response.read()
        return text


@dataclass(frozen=True)
class Site:
    """A configuration on real servers, and the issuer behind it."""

    config: Path
    port: int
    issuer: RunningIssuer


@pytest.fixture
def site(tmp_path: Path, dovecot: Dovecot, postfix: Postfix, certificates: Certificates) -> Iterator[Site]:
    """Return three checks: one on each server that works, and one of a mailbox that the token is not for."""
    with RunningIssuer(ANNA, tmp_path) as running:
        trust(dovecot.keys, running.issuer.public_key_pem, kid=running.issuer.key.kid)
        (tmp_path / "secret").write_text(APP.secret)
        (tmp_path / "secret").chmod(0o600)
        port = free_port()
        config = tmp_path / "checks.yaml"
        config.write_text(
            CONFIG.format(
                port=port,
                folder=tmp_path,
                issuer=running.issuer,
                tenant=TENANT.id,
                app=APP,
                ca_file=running.ca_file,
                mailbox=ANNA,
                dovecot=dovecot.ports,
                postfix=postfix.ports,
                mail_ca=certificates.ca,
            )
        )
        yield Site(config, port, running)


def smtpcheck(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "smtpcheck", *arguments], text=True, capture_output=True, timeout=60, check=False
    )


def test_check_reaches_real_servers_with_a_token_of_msal(site: Site) -> None:
    done = smtpcheck("check", "--config.file", str(site.config), "--format", "json")
    assert done.returncode == 2, done.stderr
    reports = {report["check"]: report for report in json.loads(done.stdout)}
    assert {name: report["outcome"] for name, report in reports.items()} == {
        "dovecot": "ok",
        "postfix": "ok",
        "other": "critical",
    }
    assert site.issuer.issuer.token_requests == {APP.client_id: 1}


def test_a_real_prometheus_scrapes_a_running_agent(site: Site, prometheus: Callable[[str], Prometheus]) -> None:
    agent = Agent(site.config, site.port)
    try:
        database = prometheus(agent.target)
        database.wait_for("count(smtpcheck_success) == 3")
        success = {labels["check"]: value for labels, value in database.query("smtpcheck_success")}
        assert success == {"dovecot": 1.0, "postfix": 1.0, "other": 0.0}
        failures = [labels for labels, _ in database.query("smtpcheck_failure_info")]
        assert [(labels["check"], labels["phase"], labels["smtp_code"]) for labels in failures] == [
            ("other", "auth", "535")
        ]
        assert [labels["check"] for labels, _ in database.query('smtpcheck_success{team="finance"}')] == ["postfix"]
        phases = {labels["phase"] for labels, _ in database.query('smtpcheck_phase_duration_seconds{check="postfix"}')}
        assert {"dns", "connect", "tls", "banner", "ehlo", "auth", "mail", "rcpt", "quit"} <= phases
        assert [value for _, value in database.query("smtpcheck_token_success")] == [1.0]
        database.wait_for('smtpcheck_runs_total{check="dovecot"} >= 3')
        assert site.issuer.issuer.token_requests == {APP.client_id: 1}
    finally:
        agent.stop()


def test_promtool_has_nothing_to_say_of_the_metrics(site: Site, promtool: str) -> None:
    agent = Agent(site.config, site.port)
    try:
        wait_until(lambda: agent.metrics().count(b"smtpcheck_success{") == 3, "every check has run")
        text = agent.metrics()
    finally:
        agent.stop()
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_sigterm_ends_the_agent_in_good_order(site: Site) -> None:
    agent = Agent(site.config, site.port)
    agent.stop()
    assert agent.exit_code == 0
