"""A check from options, what a configuration will cause, and the schema for editors."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import trustme
import yaml

from smtpcheck.config import (
    HostTraffic,
    IssuerTraffic,
    Traffic,
    from_options,
    json_schema,
    load,
    parse_duration,
    traffic_of,
)
from smtpcheck.config.fields import parse_listen
from smtpcheck.model.check import Depth, Security
from smtpcheck.output import terminal
from smtpcheck.output.finding import show

ROOT = Path(__file__).parent.parent.parent
MICROSOFT: dict[str, object] = {"mailbox": "a.b@contoso.com", "tenant": "contoso.com", "client_id": "x"}


def test_options_make_the_settings_that_a_file_makes(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("abc")
    options = {**MICROSOFT, "client_secret_file": secret, "depth": "send", "recipient": "b@contoso.com", "port": 587}
    file = tmp_path / "checks.yaml"
    file.write_text(
        "credentials: {options: {type: microsoft, tenant: contoso.com, client_id: x, client_secret: {file: secret}}}\n"
        "checks: [{name: a.b, mailbox: a.b@contoso.com, credential: options, interval: 1h, depth: send,"
        " recipient: b@contoso.com, server: {port: 587}}]\n"
    )
    by_file, by_options = load([file]).settings, from_options(options)
    assert by_file is not None
    assert by_options.problems == ()
    assert by_options.settings is not None
    assert by_options.settings.checks == by_file.checks
    assert by_options.settings.credentials == by_file.credentials
    assert by_options.settings.files == ()


def test_a_ready_token_and_a_server_are_enough(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc")
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    loaded = from_options(
        {
            "mailbox": "a@example.org",
            "host": "mail.example.org",
            "security": "implicit",
            "token_file": tmp_path / "token",
            "ca_file": tmp_path / "ca.pem",
        }
    )
    assert loaded.settings is not None
    [check] = loaded.settings.checks
    assert (check.server.port, check.server.security, check.depth) == (465, Security.IMPLICIT, Depth.AUTH)
    assert check.server.ca_file == str(tmp_path / "ca.pem")
    assert loaded.settings.credentials["options"].ca_file == tmp_path / "ca.pem"


def test_a_password_and_a_server_are_enough(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("abc")
    given = {"mailbox": "a@example.org", "host": "mail.example.org", "password_file": tmp_path / "password"}
    loaded = from_options(given)
    assert loaded.settings is not None
    assert (loaded.problems, loaded.settings.checks[0].password) == ((), True)
    told = [str(problem) for problem in from_options({**given, "tenant": "x"}).problems]
    assert told == ["--tenant: cannot be combined with --password-file\n  hint: give one of the two"]


def test_a_connection_needs_a_host_only() -> None:
    loaded = from_options({"host": "mail.example.org", "depth": "connect"})
    assert loaded.settings is not None
    assert [check.name for check in loaded.settings.checks] == ["check"]


def test_problems_name_the_option() -> None:
    options = {
        "mailbox": "a@contoso.com,",
        "port": 465,
        "host": "smtp.office365.com",
        "tenant": "common",
        "client_secret_file": Path("nowhere"),
        "depth": "deep",
    }
    told = [str(problem).partition("\n")[0] for problem in from_options(options).problems]
    assert told == [
        "--tenant: \"common\": client credentials need the tenant itself, not 'common' (AADSTS50059, AADSTS9001023)",
        "--client-id: is missing",
        '--mailbox: "a@contoso.com,": has a comma at its end',
        '--depth: "deep": must be one of connect, token, auth, sender, recipient, send',
    ]


def test_problems_of_a_whole_check_name_the_option() -> None:
    exchange = from_options({**MICROSOFT, "client_secret_file": Path("nowhere"), "port": 465})
    without = from_options({"mailbox": "a@contoso.com", "host": "mail.example.org"})
    mixed = from_options({**MICROSOFT, "token_file": Path("nowhere"), "host": "mail.example.org"})
    told = [str(problem).partition("\n")[0] for loaded in (exchange, without, mixed) for problem in loaded.problems]
    credential = "one of --token-file, --password-file, or --tenant with --client-id and --client-secret-file"
    assert told == [
        "warning: --client-secret-file: the secret cannot be read: file nowhere does not exist",
        "--port: 465: Exchange Online does not offer implicit TLS on port 465",
        f"{credential}: is missing, and depth auth needs a token",
        "--tenant: cannot be combined with --token-file",
        "--client-id: cannot be combined with --token-file",
        "warning: --token-file: the secret cannot be read: file nowhere does not exist",
    ]


def test_demand_adds_up_by_host_and_issuer(tmp_path: Path) -> None:
    file = tmp_path / "checks.yaml"
    file.write_text("""
agent: {max_open_connections: 2, fresh_every: 15m}
credentials:
  one: {type: microsoft, tenant: contoso.com, client_id: x, client_secret: {value: abc}}
  two: {type: microsoft, tenant: contoso.com, client_id: y, client_secret: {value: abc}}
  unused: {type: microsoft, tenant: contoso.com, client_id: z, client_secret: {value: abc}}
  ready: {type: token, from: {value: abc}}
checks:
  - {name: "{local}", mailboxes: [a@contoso.com, b@contoso.com, c@contoso.com], credential: one}
  - {name: again, mailbox: A@contoso.com, credential: two, depth: send, recipient: a@contoso.com, interval: 30m}
  - {name: token, mailbox: d@contoso.com, credential: two, depth: token, interval: 1s}
  - {name: other, mailbox: a@example.org, credential: ready, interval: 2m, server: {host: mail.example.org, port: 25}}
  - {name: port, depth: connect, interval: 1h, server: {host: mail.example.org, port: 25}}
""")
    settings = load([file]).settings
    assert settings is not None
    found = traffic_of(settings)
    assert found == Traffic(
        hosts=(
            HostTraffic("mail.example.org", 25, 2, 31.0, 2, 0.0),
            HostTraffic("smtp.office365.com", 587, 4, 182.0, 2, 2.0),
        ),
        issuers=(IssuerTraffic("login.microsoftonline.com", 2, 8.0),),
        connections_at_once=2,
    )
    exchange, [issuer] = found.hosts[1], found.issuers
    days = (exchange.connections_per_day, exchange.messages_per_day, issuer.requests_per_day)
    assert days == (4368.0, 48.0, 194.0)


def test_messages_are_announced_as_the_limits_allow_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Twelve mailboxes of one tenant: 12 an hour and 200 a day for each, 120 and 1,000 for all."""
    file = tmp_path / "checks.yaml"
    file.write_text("""
credentials:
  one: {type: microsoft, tenant: contoso.com, client_id: x, client_secret: {value: abc}}
checks:
  - name: "{local}"
    mailboxes: [a@contoso.com, b@contoso.com, c@contoso.com, d@contoso.com, e@contoso.com, f@contoso.com,
      g@contoso.com, h@contoso.com, i@contoso.com, j@contoso.com, k@contoso.com, l@contoso.com]
    credential: one
    loopback: {every: 5m, to: probe@contoso.com, find: {via: none}}
""")
    settings = load([file]).settings
    assert settings is not None
    found = traffic_of(settings)
    (host,) = found.hosts
    assert (host.messages_per_hour, host.messages_per_day) == (120.0, 1000.0)
    show(terminal.traffic_tables(found))
    shown = " ".join(capsys.readouterr().out.split())
    assert "1,000" in shown
    assert "for tokens of an hour" in shown
    assert "opens a second connection" in shown
    assert "up to 5 further connections in the first hour of an outage" in shown


def _errors(document: object) -> list[str]:
    validator = jsonschema.Draft202012Validator(json_schema())
    return sorted(error.json_path for error in validator.iter_errors(document))


def _example() -> dict[str, Any]:
    """Return the example as an editor sees it: dates are text there."""
    found: dict[str, Any] = json.loads(
        json.dumps(yaml.safe_load((ROOT / "checks.example.yaml").read_text()), default=str)
    )
    return found


def test_the_schema_is_one_and_the_example_follows_it() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert _errors(_example()) == []


def test_the_schema_finds_what_an_editor_should_mark() -> None:
    document = _example()
    document["defalts"] = {}
    document["agent"]["fresh_every"] = "1 hour"
    document["checks"][0]["mailbx"] = "a@example.org"
    document["checks"][1]["depth"] = "deep"
    document["credentials"]["contoso"]["client_secret"] = {"file": "a", "env": "B"}
    assert _errors(document) == [
        "$",
        "$.agent.fresh_every",
        "$.checks[0]",
        "$.checks[1].depth",
        "$.credentials.contoso",
    ]


def test_the_schema_describes_every_key() -> None:
    schema = json_schema()
    parts = {"Checks": schema, **schema["$defs"]}
    bare = [
        f"{name}.{key}"
        for name, part in parts.items()
        for key, value in part.get("properties", {}).items()
        if not value.keys() & {"description", "const", "$ref"}
    ]
    assert bare == []


def test_the_schema_shows_the_form_of_every_key() -> None:
    """By a default, its choices, or an example that the schema itself accepts."""
    schema = json_schema()
    assert (schema["$id"], schema["$schema"].endswith("/2020-12/schema")) == ("urn:smtpcheck:checks:0.2", True)
    bare, refused = [], []
    for name, part in {"Checks": schema, **schema["$defs"]}.items():
        for key, value in part.get("properties", {}).items():
            if not _shows_its_form(value):
                bare.append(f"{name}.{key}")
            validator = jsonschema.Draft202012Validator({**value, "$defs": schema["$defs"]})
            shown = [*value.get("examples", ()), *([value["default"]] if "default" in value else ())]
            refused += [f"{name}.{key}: {each}" for each in shown if not validator.is_valid(each)]
    assert (bare, refused) == ([], [])


def _shows_its_form(value: dict[str, Any]) -> bool:
    if value.keys() & {"default", "examples", "enum", "const", "$ref", "oneOf"} or value.get("type") == "boolean":
        return True
    inner = [*value.get("anyOf", ()), value.get("items"), value.get("additionalProperties")]
    variable = {"$ref": "#/$defs/Variable"}
    return any(_shows_its_form(each) for each in inner if isinstance(each, dict) and each != variable)


def test_defaults_in_the_schema_are_written_as_in_the_file() -> None:
    definitions = json_schema()["$defs"]
    agent, defaults = definitions["AgentSection"]["properties"], definitions["DefaultsSection"]["properties"]
    assert (agent["listen"]["default"], agent["fresh_every"]["default"]) == ("127.0.0.1:9587", "1h")
    assert (defaults["interval"]["default"], defaults["depth"]["default"]) == ("1m", "auth")
    assert definitions["Alerts"]["properties"]["remind_every"]["default"] == "12h"


def test_the_schema_takes_variables_and_a_place_for_anchors() -> None:
    document = _example()
    document["x-anything"] = [1]
    document["agent"] |= {"max_open_connections": "${MOST}", "expose_addresses": "${SHOWN:-false}"}
    document["defaults"] |= {"interval": "${EVERY}", "depth": "${DEPTH}"}
    document["credentials"]["contoso"] |= {"tenant": "${TENANT}", "client_secret_expires": "${DAY}"}
    document["checks"][0]["server"] = {"port": "${PORT:-587}", "security": "${SECURITY}", "host": "mx.${DOMAIN}"}
    document["checks"][0]["name"] = "${SITE}-a"
    assert _errors(document) == []
    document["checks"][0]["server"]["port"] = "$PORT"
    document["credentials"]["contoso"]["client_secret"] = {"env": ""}
    assert _errors(document) == ["$.checks[0].server.port", "$.credentials.contoso"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("0s", 0.0),
        ("60s", 60.0),
        ("15m", 900.0),
        ("1h30m", 5400.0),
        ("7d", 604800.0),
        ("2w1ms", 1209600.001),
    ],
)
def test_durations_are_written_as_prometheus_writes_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "60", "1.5h", "30m1h", "1s1s", "-1s", " 1s", "1S", "\u0661s", "1s\n", 60, 1.5, True, None]
)
def test_anything_else_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    "text", ["", ":", "9587", "a:", "a:x", "a:65536", ":1", "::1:1", "a b:1", "[::1:1", 9587, "a:\u0661"]
)
def test_anything_else_is_no_address_to_listen_on(text: object) -> None:
    with pytest.raises(ValueError, match=r"address|host"):
        parse_listen(text)
