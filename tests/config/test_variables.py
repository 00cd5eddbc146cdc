"""Variables of the environment in a configuration: what they become, and that nothing they hold gets out."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smtpcheck.config import Settings, load

CREDENTIALS = "credentials: {c: {type: token, from: {value: abc}}}\n"
HIDDEN = "hunter2-is-hidden"


def _load(folder: Path, text: str) -> Settings:
    file = folder / "checks.yaml"
    file.write_text(CREDENTIALS + text)
    loaded = load([file])
    assert loaded.settings, [str(problem) for problem in loaded.problems]
    return loaded.settings


def _problems(folder: Path, text: str) -> list[str]:
    file = folder / "checks.yaml"
    file.write_text(text)
    return [str(problem).removeprefix(f"{file}:") for problem in load([file]).problems]


def _label(folder: Path, text: str) -> str:
    settings = _load(folder, f"checks: [{{name: a, depth: connect, server: {{host: a.de}}, labels: {{it: '{text}'}}}}]")
    return dict(settings.checks[0].labels)["it"]


def test_every_kind_of_value_may_come_from_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = {
        "SITE": "fra1",
        "PORT": "2525",
        "YES": "true",
        "EVERY": "5m",
        "MAX": "7",
        "CODE": "550",
        "DAY": "2099-01-01",
    }
    for name, value in held.items():
        monkeypatch.setenv(name, value)
    settings = _load(
        tmp_path,
        """
agent: {listen: "127.0.0.1:${PORT}", expose_addresses: "${YES}", max_open_connections: "${MAX}"}
defaults: {interval: "${EVERY}", labels: {site: "${SITE}", number: "${PORT}"}}
checks:
  - name: ${SITE}-a
    mailbox: a@${SITE}.example.org
    credential: ${CREDENTIAL:-c}
    server: {host: "${SITE}.example.org", port: "${PORT}", ip_version: "${FOUR:-4}", allow_plaintext: "${YES}"}
    granted: ${DAY}T00:00Z
  - name: b
    mailboxes: ["${SITE}@example.org"]
    credential: c
    server: {host: b.de}
    expect: {phase: auth, code: ["${CODE}", 535]}
""",
    )
    one, two = settings.checks
    assert (settings.agent.listen, settings.agent.expose_addresses) == (("127.0.0.1", 2525), True)
    assert settings.agent.max_open_connections == 7
    assert (one.name, one.mailbox, one.interval) == ("fra1-a", "a@fra1.example.org", 300.0)
    assert (one.server.host, one.server.port, one.server.ip_version) == ("fra1.example.org", 2525, "4")
    assert one.labels == (("number", "2525"), ("site", "fra1"))
    assert two.mailbox == "fra1@example.org"
    assert two.expect
    assert two.expect.codes == ("550", "535")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("${SET}", "x"),
        ("${SET:-y}", "x"),
        ("${EMPTY:-y}", "y"),
        ("${EMPTY}", ""),
        ("${UNSET:-y z:1}", "y z:1"),
        ("${UNSET:-}", ""),
        ("$${SET}", "${SET}"),
        ("$$${SET}", "$${SET}"),
        ("a${SET}b$${${SET}$SET $$", "axb${x$SET $$"),
        ("${A}", "${SET}"),
    ],
)
def test_what_a_text_becomes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, read: str) -> None:
    monkeypatch.setenv("SET", "x")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("A", "${SET}")
    monkeypatch.delenv("UNSET", raising=False)
    assert _label(tmp_path, written) == read


held = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
plain = st.text(st.characters(exclude_characters="\0$'", exclude_categories=["C", "Z"]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(held, plain, plain)
def test_what_a_variable_holds_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, before: str, after: str
) -> None:
    """Quotes, line ends, colons, and what looks like a variable or like YAML."""
    monkeypatch.setenv("ANY", value)
    assert _label(tmp_path, f"{before}${{ANY}}{after}") == before + value + after


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("${}:-AN_ab", max_size=20))
def test_no_text_makes_loading_raise_and_each_is_read_or_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("A", "x")
    file = tmp_path / "checks.yaml"
    file.write_text(f"checks: [{{name: a, depth: connect, server: {{host: a.de}}, labels: {{it: '{text}'}}}}]")
    loaded = load([file])
    assert (loaded.settings is None) == bool(loaded.problems)
    if loaded.settings and "$${" not in text:
        assert "${" not in dict(loaded.settings.checks[0].labels)["it"]


def test_one_that_is_not_set_is_a_problem_with_its_line_and_nothing_else_is_said_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UNSET", raising=False)
    text = """checks:
  - name: a
    depth: connect
    server:
      host: a.de
      port: ${UNSET}
      min_tls: ${}
      ehlo: ${1A}
      server_name: ${A
      ca_file: ${A:-${B}}
      security: ${UNSET:-implicit}
"""
    hint = "write ${NAME} or ${NAME:-default}, and $${ for a literal ${"
    malformed = "has a ${ that does not begin a variable\n  hint: "
    assert _problems(tmp_path, text) == [
        "6: checks[0].server.port: variable UNSET is not set\n  hint: set it, or write ${UNSET:-default}",
        *(
            f"{line}: checks[0].server.{key}: {malformed}{hint}"
            for line, key in [(7, "min_tls"), (8, "ehlo"), (9, "server_name"), (10, "ca_file")]
        ),
    ]


WRONG = """
agent: {{listen: "{0}", external_url: "{0}", max_open_connections: "{0}", connectivity: ["{0}"]}}
defaults: {{interval: "{0}", depth: "{0}", labels: {{"a b": "{0}"}}}}
credentials:
  a: {{type: microsoft, cloud: "{0}", tenant: "{0} ", client_id: "{0} x", client_secret: {{file: x}}, scope: "{0}"}}
  b: {{type: "{0}"}}
  c: {{type: microsoft, tenant: x, client_id: x, client_secret: {{file: x}}, scope: "https://outlook.office365.us/{0}"}}
  d: {{type: oauth2, issuer: "http://{0}", client_id: "{0}", client_secret: "{0}"}}
checks:
  - {{name: "{0} x", mailbox: "{0}", credential: "{0}", server: {{host: "{0}:587", port: "{0}", ehlo: "{0}_"}}}}
  - {{name: b, mailboxes: ["{0},"], credential: a, sender: " {0}@x", expect: {{phase: "{0}", code: "{0}"}}}}
  - {{name: "{{u}}{0}", mailboxes: [a@b.de], credential: a, granted: "{0}", via: {{api: "{0}", base: "http://{0}"}}}}
  - {{name: c, mailboxes: {{file: "{0}"}}, credential: a, server: {{ca_file: "{0}"}}}}
alerts:
  maintenance: [{{from: "{0}", to: "{0}", timezone: "{0}"}}]
  silences: [{{from: "{0}", to: 2026-01-01T00:00Z, checks: ["{0}"]}}]
  notify: [{{type: "{0}"}}, {{type: webhook, url: "{0}"}}, {{type: log, name: "{0} ", match: {{severity: "{0}"}}}}]
  heartbeat: {{url: "{0}", every: "{0}"}}
"""


@pytest.mark.parametrize("value", [HIDDEN, f" {HIDDEN},", f"{HIDDEN}\n", f"x:{HIDDEN}", HIDDEN * 9, f"{HIDDEN}@a b"])
def test_no_problem_shows_what_a_variable_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ANY", value)
    found = _problems(tmp_path, WRONG.format("${ANY}"))
    assert len(found) > 20
    assert [problem for problem in found if HIDDEN in problem] == []
    assert any("${ANY}" in problem for problem in found)


def test_a_source_of_a_secret_keeps_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANY", HIDDEN)
    text = """credentials:
  a: {type: microsoft, tenant: x, client_id: x, client_secret: {value: "${ANY}"}}
  b: {type: microsoft, tenant: x, client_id: x, client_secret: {file: "${ANY}"}}
  c: {type: token, from: {command: [cat, "${ANY}"]}}
  d: {type: token, from: {url: "https://a.example.org/${ANY}", headers: {key: {value: "a${ANY}"}}}}
  e: {type: microsoft, tenant: x, client_id: x, client_secret: "${UNSET_ONE}"}
"""
    not_replaced = "variables are not replaced in the source of a secret"
    assert [problem.split("\n")[0] for problem in _problems(tmp_path, text)] == [
        "2: credentials.a.client_secret: value contains nothing but a variable of the environment",
        f"3: warning: credentials.b.client_secret: {not_replaced}",
        f"3: warning: credentials.b.client_secret: the secret cannot be read: file {tmp_path}/${{ANY}} does not exist",
        f"4: warning: credentials.c.from: {not_replaced}",
        f"5: warning: credentials.d.from: {not_replaced}",
        "6: credentials.e.client_secret: must be a mapping",
    ]


def test_an_address_that_is_written_as_text_is_no_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AM", "am-1")
    settings = _load(
        tmp_path,
        "checks: [{name: a, depth: connect, server: {host: a.de}}]\n"
        'alerts: {notify: [{type: alertmanager, urls: ["http://${AM}:9093"], headers: {key: "${AM}"}}]}',
    )
    assert settings.alerts
    secrets = {path: source.read().reveal() for path, source in settings.alerts.notifiers[0].secrets()}
    assert secrets == {("urls", 0): "http://am-1:9093", ("headers", "key"): "am-1"}


def test_keys_tables_and_what_is_ignored_keep_their_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNSET", raising=False)
    (tmp_path / "rows.csv").write_text("mailbox,labels.it\na@b.de,${UNSET}\n")
    settings = _load(
        tmp_path,
        "x-a: ${UNSET}\n"
        'checks: [{name: "{local}", depth: connect, server: {host: a.de}, mailboxes: {file: rows.csv}}]\n',
    )
    assert settings.checks[0].labels == (("it", "${UNSET}"),)
    assert (
        'labels.${UNSET}: "${UNSET}": is not a valid label name'
        in _problems(tmp_path, 'checks: [{name: a, depth: connect, server: {host: a.de}, labels: {"${UNSET}": x}}]')[0]
    )


def test_what_an_alias_repeats_is_replaced_where_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "a.de")
    text = 'x-server: &server {host: "${HOST}"}\nchecks: [{name: a, depth: connect, server: *server}]'
    assert _load(tmp_path, text).checks[0].server.host == "a.de"


def test_an_unquoted_one_in_a_flow_mapping_gets_a_hint(tmp_path: Path) -> None:
    [problem] = _problems(tmp_path, "checks: [{name: a, server: {host: ${HOST}}}]")
    assert problem.endswith('inside { } and [ ] write a variable of the environment in quotes: "${NAME}"')


def test_bytes_that_are_no_text_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANY", "a\udcff")
    [problem] = _problems(tmp_path, 'checks: [{name: a, depth: connect, server: {host: "${ANY}"}}]')
    assert problem.encode().decode() == problem
    assert 'checks[0].server.host: "${ANY}": is neither a host name nor an address' in problem
