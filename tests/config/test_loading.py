"""What a right configuration means: defaults, overrides, providers, tables of mailboxes."""

import platform
from pathlib import Path

import pytest
import trustme

from smtpcheck.config import AgentSettings, Loaded, Settings, load
from smtpcheck.config.loading import default_state_folder
from smtpcheck.model.check import Check, Depth, IpVersion, Mechanism, Provider, Security, Server, Warn

EXAMPLE = Path(__file__).parent.parent.parent / "checks.example.yaml"
DAY = 86400.0
CREDENTIALS = """
credentials:
  contoso: {type: microsoft, tenant: contoso.com, client_id: x, client_secret: {value: abc}}
  china: {type: microsoft, cloud: china, tenant: contoso.cn, client_id: x, client_secret: {value: abc}}
  private:
    {type: microsoft, authority: https://id.example.org, tenant: x, client_id: x, client_secret: {value: abc}}
  ready: {type: token, from: {value: abc}}
"""


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "node", lambda: "monitor.example.org")


def _load(folder: Path, text: str) -> Settings:
    file = folder / "checks.yaml"
    file.write_text(CREDENTIALS + text)
    return _settings(load([file]))


def _settings(loaded: Loaded) -> Settings:
    assert [str(problem) for problem in loaded.problems if problem.severity == "error"] == []
    assert loaded.settings is not None
    return loaded.settings


def _server(folder: Path, text: str, credential: str = "ready") -> Server:
    line = f"checks: [{{name: a, mailbox: a@example.org, credential: {credential}, server: {{{text}}}}}]"
    return _load(folder, line).checks[0].server


def test_a_short_check_gets_every_default(tmp_path: Path) -> None:
    settings = _load(tmp_path, "checks: [{name: billing, mailbox: billing@contoso.com, credential: contoso}]")
    server = Server(
        host="smtp.office365.com",
        port=587,
        security=Security.STARTTLS,
        server_name="smtp.office365.com",
        ehlo="monitor.example.org",
    )
    expected = Check(
        name="billing",
        mailbox="billing@contoso.com",
        credential="contoso",
        provider=Provider.MICROSOFT,
        server=server,
        depth=Depth.AUTH,
        interval=60.0,
        timeout=20.0,
        token_timeout=10.0,
        sender="billing@contoso.com",
        recipient=None,
        mechanism=None,
        warn=Warn(14 * DAY, 30 * DAY, 14 * DAY, 10.0),
    )
    assert settings.checks == (expected,)
    assert settings.agent == AgentSettings(("127.0.0.1", 9587), default_state_folder(), 200, False, 3600.0)
    assert settings.files == (tmp_path / "checks.yaml",)


def test_a_check_overrides_defaults_one_by_one(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    settings = _load(
        tmp_path,
        """
agent: {listen: "[::1]:0", state: state, max_open_connections: 3, expose_addresses: yes, fresh_every: 30m}
defaults: {interval: 2m, timeout: 5s, token_timeout: 500ms, depth: sender, warn: {certificate: 1d, duration: 2s}}
checks:
  - name: plain
    mailbox: a@example.org
    credential: private
    server: {host: mail.example.org}
  - name: whole
    mailbox: a@example.org
    credential: private
    depth: send
    interval: 1h30m
    timeout: 7s
    token_timeout: 3s
    sender: b@example.org
    recipient: c@example.org
    mechanism: oauthbearer
    warn: {certificate: 0s}
    labels: {team: finance, area: north}
    server: {host: mail.example.org, port: 465, server_name: other.example.org, ehlo: "[192.0.2.1]", ip_version: 4,
      min_tls: 1.3, ca_file: ca.pem}
""",
    )
    plain, whole = settings.checks
    assert (plain.interval, plain.timeout, plain.token_timeout, plain.depth) == (120.0, 5.0, 0.5, Depth.SENDER)
    assert plain.warn == Warn(DAY, 30 * DAY, 14 * DAY, 2.0)
    server = Server(
        host="mail.example.org",
        port=465,
        security=Security.IMPLICIT,
        server_name="other.example.org",
        ehlo="[192.0.2.1]",
        ca_file=str(tmp_path / "ca.pem"),
        ip_version=IpVersion.V4,
        min_tls="1.3",
    )
    assert whole == Check(
        name="whole",
        mailbox="a@example.org",
        credential="private",
        provider=Provider.MICROSOFT,
        server=server,
        depth=Depth.SEND,
        interval=5400.0,
        timeout=7.0,
        token_timeout=3.0,
        sender="b@example.org",
        recipient="c@example.org",
        mechanism=Mechanism.OAUTHBEARER,
        warn=Warn(0.0, 30 * DAY, 14 * DAY, 2.0),
        labels=(("area", "north"), ("team", "finance")),
    )
    assert settings.agent == AgentSettings(("::1", 0), tmp_path / "state", 3, True, 1800.0)
    assert settings.label_names == ("area", "team")


def test_labels_of_the_defaults_are_those_of_every_check_and_its_own_win(tmp_path: Path) -> None:
    settings = _load(
        tmp_path,
        """
defaults: {labels: {site: fra1, team: mail}}
checks:
  - {name: a, depth: connect, server: {host: a.de}}
  - {name: b, depth: connect, server: {host: a.de}, labels: {team: finance, tier: "1"}}
""",
    )
    assert [check.labels for check in settings.checks] == [
        (("site", "fra1"), ("team", "mail")),
        (("site", "fra1"), ("team", "finance"), ("tier", "1")),
    ]
    assert settings.label_names == ("site", "team", "tier")


def test_keys_that_begin_with_x_hold_anchors_and_are_ignored_otherwise(tmp_path: Path) -> None:
    settings = _load(
        tmp_path,
        """
x-anything: [1, {a: b}]
x-server: &server {host: a.example.org, port: 25}
x-check: &check
  depth: connect
  interval: 5m
  server: *server
checks:
  - {<<: *check, name: a}
  - <<: [*check, {labels: {team: mail}}]
    name: b
    interval: 1h
    server: {<<: *server, port: 587}
""",
    )
    seen = [(check.name, check.interval, check.server.host, check.server.port) for check in settings.checks]
    assert seen == [("a", 300.0, "a.example.org", 25), ("b", 3600.0, "a.example.org", 587)]
    assert settings.checks[1].labels == (("team", "mail"),)


@pytest.mark.parametrize(
    ("host", "credential", "provider"),
    [
        ("smtp.office365.com", "ready", Provider.MICROSOFT),
        ("Outlook-DoD.Office365.us.", "ready", Provider.MICROSOFT),
        ("smtp-mail.outlook.com", "ready", Provider.MICROSOFT),
        ("smtp.partner.outlook.cn", "ready", Provider.MICROSOFT),
        ("smtp.gmail.com", "ready", Provider.GOOGLE),
        ("smtp-relay.gmail.com", "ready", Provider.GOOGLE),
        ("smtp.mail.yahoo.com", "ready", Provider.YAHOO),
        ("smtp.aol.com", "ready", Provider.YAHOO),
        ("notgmail.com", "ready", Provider.GENERIC),
        ("mail.example.org", "private", Provider.MICROSOFT),
        ("smtp.gmail.com", "private", Provider.GOOGLE),
    ],
)
def test_the_provider_is_known_by_host_then_by_credential(
    tmp_path: Path, host: str, credential: str, provider: Provider
) -> None:
    line = f"checks: [{{name: a, mailbox: a@example.org, credential: {credential}, server: {{host: {host}}}}}]"
    assert _load(tmp_path, line).checks[0].provider is provider


def test_the_server_comes_from_the_cloud(tmp_path: Path) -> None:
    settings = _load(tmp_path, "checks: [{name: a, mailbox: a@contoso.cn, credential: china}]")
    assert settings.checks[0].server.host == "smtp.partner.outlook.cn"


@pytest.mark.parametrize(
    ("text", "port", "security"),
    [
        ("host: m.example.org", 587, Security.STARTTLS),
        ("host: m.example.org, port: 465", 465, Security.IMPLICIT),
        ("host: m.example.org, security: implicit", 465, Security.IMPLICIT),
        ("host: m.example.org, port: 25", 25, Security.STARTTLS),
        ("host: m.example.org, port: 465, security: starttls", 465, Security.STARTTLS),
    ],
)
def test_port_and_security_follow_each_other(tmp_path: Path, text: str, port: int, security: Security) -> None:
    server = _server(tmp_path, text)
    assert (server.port, server.security) == (port, security)


@pytest.mark.parametrize(
    ("node", "ehlo"), [("web1", "[127.0.0.1]"), ("my_host.example.org", "[127.0.0.1]"), ("a.de", "a.de")]
)
def test_ehlo_says_a_whole_domain_name_or_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, node: str, ehlo: str
) -> None:
    monkeypatch.setattr(platform, "node", lambda: node)
    assert _server(tmp_path, "host: m.example.org").ehlo == ehlo


def test_a_connection_needs_neither_mailbox_nor_credential(tmp_path: Path) -> None:
    check = _load(tmp_path, "checks: [{name: a, depth: connect, server: {host: m.example.org}}]").checks[0]
    assert (check.mailbox, check.credential, check.provider) == ("", None, Provider.GENERIC)


def test_one_check_for_each_mailbox_of_a_list(tmp_path: Path) -> None:
    settings = _load(
        tmp_path,
        'checks: [{name: "{local}.{domain}-{mailbox}", credential: contoso,'
        " mailboxes: [a+b@contoso.com, c@contoso.com]}]",
    )
    assert [(check.name, check.mailbox) for check in settings.checks] == [
        ("a_b.contoso.com-a_b_contoso.com", "a+b@contoso.com"),
        ("c.contoso.com-c_contoso.com", "c@contoso.com"),
    ]


@pytest.mark.parametrize("separator", [",", ";"])
def test_one_check_for_each_row_of_a_table(tmp_path: Path, separator: str) -> None:
    """A cell wins, an empty one says nothing; the table is one of the files."""
    rows = "mailbox,name,interval,labels.team,server.port\na@contoso.com,,5m,north,\n\nb@contoso.com,second,,,2525\n"
    (tmp_path / "rows.csv").write_text("\ufeff" + rows.replace(",", separator))
    settings = _load(
        tmp_path,
        'checks: [{name: "x-{local}", credential: contoso, interval: 2m, labels: {site: b},'
        " mailboxes: {file: rows.csv}}]",
    )
    seen = [(check.name, check.mailbox, check.interval, check.labels, check.server.port) for check in settings.checks]
    assert seen == [
        ("x-a", "a@contoso.com", 300.0, (("site", "b"), ("team", "north")), 587),
        ("second", "b@contoso.com", 120.0, (("site", "b"),), 2525),
    ]
    assert settings.files == (tmp_path / "checks.yaml", tmp_path / "rows.csv")


def test_files_and_folders_make_one_configuration(tmp_path: Path) -> None:
    folder = tmp_path / "conf.d"
    folder.mkdir()
    (tmp_path / "main.yaml").write_text("agent: {listen: 127.0.0.1:1}\n" + CREDENTIALS)
    (folder / "b.yml").write_text("checks: [{name: b, mailbox: b@contoso.com, credential: contoso}]")
    (folder / "a.yaml").write_text("checks: [{name: a, mailbox: a@contoso.com, credential: contoso}]")
    settings = _settings(load([tmp_path / "main.yaml", folder]))
    assert [check.name for check in settings.checks] == ["a", "b"]
    assert settings.agent.listen == ("127.0.0.1", 1)
    assert settings.files == (tmp_path / "main.yaml", folder / "a.yaml", folder / "b.yml")


def test_a_private_issuer_is_free_of_the_rules_of_microsofts_clouds(tmp_path: Path) -> None:
    server = _server(tmp_path, "host: 127.0.0.1, port: 465", credential="private")
    assert (server.host, server.port) == ("127.0.0.1", 465)


def test_a_token_goes_in_clear_only_where_it_is_allowed(tmp_path: Path) -> None:
    assert _server(tmp_path, "host: 127.0.0.1, security: none, allow_plaintext: true").allow_plaintext


def test_the_example_is_right_but_for_its_secrets() -> None:
    loaded = load([EXAMPLE])
    assert {problem.severity for problem in loaded.problems} == {"warning"}
    assert all("cannot be read" in problem.message for problem in loaded.problems)
    assert _settings(loaded).label_names == ("site", "team")
    assert EXAMPLE.read_text().startswith("# yaml-language-server: $schema=checks.schema.json\n")


def test_the_example_takes_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITE", "ams1")
    monkeypatch.setenv("OWN_SERVER_PORT", "4650")
    checks = {check.name: check for check in _settings(load([EXAMPLE])).checks}
    assert (checks["own-server"].labels, checks["own-server"].server.port) == ((("site", "ams1"),), 4650)
    assert checks["gateway"].server.min_tls == "1.2"


def test_the_state_lies_where_the_user_may_write(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    as_root = default_state_folder()
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    configured = default_state_folder()
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/anna")
    expected = [Path("/var/lib/smtpcheck"), tmp_path / "smtpcheck", Path("/home/anna/.local/state/smtpcheck")]
    assert [as_root, configured, default_state_folder()] == expected
