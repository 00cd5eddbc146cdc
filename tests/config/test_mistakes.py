"""What people write in place of what the configuration calls it: the table names what exists, and hides nothing."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from smtpcheck.config import load, mistakes
from smtpcheck.config.annotations import alternatives, models_in
from smtpcheck.config.file_model import file_model
from smtpcheck.model import duration
from smtpcheck.model.duration import parse_duration
from smtpcheck.oauth import CREDENTIAL_TYPES


def _models(model: type[BaseModel], found: dict[str, list[type[BaseModel]]]) -> dict[str, list[type[BaseModel]]]:
    """Return all models within a model by the names of their bases."""
    for base in model.__mro__:
        found.setdefault(base.__name__, []).append(model)
    for field in model.model_fields.values():
        for kind, _ in alternatives(field.annotation):
            for inner in models_in(kind) or [
                each for part in getattr(kind, "__args__", ()) for each in models_in(part)
            ]:
                if inner not in found.get(inner.__name__, []):
                    _models(inner, found)
    return found


MODELS = _models(file_model(), {})


def test_every_row_is_of_a_model_that_exists_and_means_a_key_of_it() -> None:
    keys = {
        name: {field.alias or key for model in models for key, field in model.model_fields.items()}
        for name, models in MODELS.items()
    }
    wrong = [
        (name, key, meant)
        for name, rows in mistakes._KEYS.items()
        for key, meant in rows.items()
        if " " not in meant and meant not in keys[name]
    ]
    assert wrong == []
    assert [name for name, key in mistakes._MAIN_KEYS.items() if key not in keys[name]] == []
    types = {str(kind.model_fields["type"].default) for kind in CREDENTIAL_TYPES}
    assert [hint for hint in mistakes._TYPES.values() if hint.split()[1].strip(",") not in types] == []
    assert types.isdisjoint(mistakes._TYPES)


SECTIONS = {
    "agent: {lisen: x, max_open_connections: 0, token_key: text, otlp: {endpont: x, endpoint: y}}": [
        "agent.lisen",
        "agent.max_open_connections",
        "agent.otlp.endpoint",
        "agent.otlp.endpont",
        "agent.token_key",
    ],
    "defaults: {intervl: 5m, depth: x, warn: {secrets: 1d, certificate: x}, labels: {check: x}}": [
        "defaults.depth",
        "defaults.intervl",
        "defaults.labels.check",
        "defaults.warn.certificate",
        "defaults.warn.secrets",
    ],
    "credentials: {a: {type: microsoft, tenent: common, client_id: 7}}": [
        "credentials.a.client_id",
        "credentials.a.tenent",
    ],
    "credentials: {a: {type: microsoft, tenent: common, client_id: x}}": [
        "credentials.a.tenant",
        "credentials.a.tenent",
    ],
    "credentials: {a: {type: microsoft, tenant: x, client_id: x, clientid: y}}": [
        "credentials.a",
        "credentials.a.clientid",
    ],
    "credentials: {a: {type: microsoft, tenant: common, client_id: x, client_secret: {keyvault: x}}}": [
        "credentials.a.client_secret.keyvault",
        "credentials.a.tenant",
    ],
    "credentials: {a: {type: token, from: {nothing: x}, proxy: x}}": ["credentials.a.from", "credentials.a.proxy"],
    "checks: [{name: a, deph: x, server: {hots: a b, port: x}, warn: {x: y}}]": [
        "checks[0].deph",
        "checks[0].server.hots",
        "checks[0].server.port",
        "checks[0].warn.x",
    ],
    "checks: [{name: a, user: a, server: {host: a.de}}]": [
        "checks[0].credential",
        "checks[0].user",
    ],
    "checks: [{name: a, depth: connect, server: {host: a.de}, x: y, expect: {phas: auth, code: 235}}]": [
        "checks[0].expect.code",
        "checks[0].expect.phas",
        "checks[0].x",
    ],
    "checks: [{name: a, depth: connect, server: {host: a.de}, loopback: {t: a, to: b, find: {via: x, y: z}}}]": [
        "checks[0].loopback.find.via",
        "checks[0].loopback.find.y",
        "checks[0].loopback.t",
        "checks[0].loopback.to",
    ],
    "checks: [{name: a, mailbox: a@b.de, credential: no, via: {api: graph, bas: x, region: '?'}}]": [
        "checks[0].credential",
        "checks[0].via.bas",
        "checks[0].via.region",
    ],
    "alerts: {x: y, fail_after: 0, maintenance: [{from: x, to: '02:00', y: z}], heartbeat: {url: x, evry: 0s}}": [
        "alerts.fail_after",
        "alerts.heartbeat.every",
        "alerts.heartbeat.evry",
        "alerts.maintenance[0].from",
        "alerts.maintenance[0].y",
        "alerts.x",
    ],
    "alerts: {notify: [{type: webhook, x: y}, {type: log, name: a b, x: y}], silences: [{from: x, x: y}]}": [
        "alerts.notify[0].url",
        "alerts.notify[0].x",
        "alerts.notify[1].name",
        "alerts.notify[1].x",
        "alerts.silences[0].from",
        "alerts.silences[0].to",
        "alerts.silences[0].x",
    ],
}


@pytest.mark.parametrize("text", SECTIONS)
def test_an_unknown_key_hides_no_other_problem_of_its_section(tmp_path: Path, text: str) -> None:
    file = tmp_path / "checks.yaml"
    file.write_text(text)
    found = {problem.path for problem in load([file]).problems if problem.severity == "error"}
    assert [path for path in SECTIONS[text] if path not in found] == []


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_text_in_place_of_a_secret_is_repeated_only_where_it_is_surely_a_path_or_a_variable(text: str) -> None:
    [secret] = [model for model in MODELS["SecretSource"] if model.__name__ == "SecretSource"][:1]
    hint = mistakes.text_hint(secret, "client_secret", text, shows=False)
    assert hint == mistakes.SOURCES or text.startswith(("/etc/", "/run/", "/var/", "/home/", "/mnt/", "/opt/", "${"))


@pytest.mark.parametrize(
    ("written", "meant"),
    [("5 minutes", "5m"), ("5 MIN", "5m"), ("90 sec", "90s"), ("1 hour, 30 minutes", "1h30m"), ("2 days", "2d")],
)
def test_a_duration_in_words_gets_its_form(written: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"write {meant}$"):
        parse_duration(written)


@given(st.text(max_size=70) | st.text("0123456789 smhd", max_size=70))
def test_what_is_meant_by_any_text_is_a_duration(text: str) -> None:
    assert duration._meant(text) == "" or duration._DURATION.fullmatch(duration._meant(text))
