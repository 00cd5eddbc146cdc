"""YAML with lines, and that no text whatever makes loading raise or show a secret."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smtpcheck.config import load
from smtpcheck.config.problems import Problems
from smtpcheck.config.yaml_reader import Document, parse

SECRET = "hunter2-is-the-secret"


def _parsed(text: str) -> Document:
    problems = Problems()
    document = parse(text.encode(), "a.yaml", problems)
    assert problems.in_order([]) == ()
    assert document is not None
    return document


def test_every_value_knows_its_line() -> None:
    document = _parsed("# a comment\na: 1\nb:\n  - x\n  - c: {d: y}\n    e: z\n")
    assert document.value == {"a": 1, "b": ["x", {"c": {"d": "y"}, "e": "z"}]}
    paths: list[tuple[str | int, ...]] = [(), ("a",), ("b",), ("b", 0), ("b", 1, "c", "d"), ("b", 1, "e")]
    assert [document.line(path) for path in paths] == [None, 2, 3, 4, 5, 6]
    assert [document.shown(path) for path in paths] == ["", "a", "b", "b[0]", "b[1].c.d", "b[1].e"]


def test_a_value_that_is_missing_has_the_line_of_what_is_around_it() -> None:
    document = _parsed("a:\n  b: {}\n")
    assert [document.line(("a", "b", "c")), document.line(("a", 7)), document.line(("x",))] == [2, 1, None]


def test_merged_keys_are_overridden_and_have_the_line_where_they_are_written() -> None:
    document = _parsed("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\nc: {<<: [*a, {z: 4}]}\n")
    assert document.value["b"] == {"x": 1, "y": 3}
    assert document.value["c"] == {"x": 1, "y": 2, "z": 4}
    assert [document.line(("b", "x")), document.line(("b", "y"))] == [1, 4]


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates()
trees = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(trees.filter(lambda tree: tree is not None))
def test_values_are_those_of_the_safe_loader(tree: object) -> None:
    text = yaml.safe_dump(tree, allow_unicode=True)
    assert repr(_parsed(text).value) == repr(yaml.safe_load(text))


KEYS = [
    *("agent", "defaults", "credentials", "checks", "listen", "state", "type"),
    *("tenant", "client_id", "client_secret", "client_certificate", "file", "env", "value"),
    *("from", "mailbox", "mailboxes", "name", "server", "host", "port"),
    *("security", "depth", "interval", "labels", "warn", "scope", "cloud"),
    *("authority"),
]
words = st.sampled_from([*KEYS, "microsoft", "token", "a@example.org", "{local}", "smtp.office365.com", "auth", "send"])
near = st.recursive(
    words | scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | st.text(max_size=3), inner, max_size=5),
    max_leaves=30,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary() | st.text().map(str.encode) | near.map(lambda tree: json.dumps(tree, default=str).encode()))
def test_loading_never_raises(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "checks.yaml"
    file.write_bytes(content)
    loaded = load([file])
    assert (loaded.settings is None) == any(problem.severity == "error" for problem in loaded.problems)
    assert all("\n  hint: " in text or "\n" not in text for text in map(str, loaded.problems))


def test_nothing_of_a_file_moves_the_cursor_of_a_terminal(tmp_path: Path) -> None:
    file = tmp_path / "checks.yaml"
    file.write_text(
        'checks: [{name: a, "\\e[2J": x, mailbox: "a\\e[2J ", credential: "\\e[2J"},'
        ' {name: "{\\e[2J}", mailboxes: [a@b.de]}]'
    )
    printed = "\n".join(map(str, load([file]).problems))
    assert printed.count("[2J") >= 5
    assert [line for line in printed.split("\n") if not line.isprintable()] == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet="mailbox;,@. \"'\n\r\0labels.team", max_size=80))
def test_a_table_never_makes_loading_raise(tmp_path: Path, text: str) -> None:
    (tmp_path / "rows.csv").write_text("mailbox,name\n" + text)
    (tmp_path / "checks.yaml").write_text(
        'checks: [{name: "{local}", depth: connect, server: {host: a.de}, mailboxes: {file: rows.csv}}]'
    )
    load([tmp_path / "checks.yaml"])


PLACES = [
    "{client_secret: %s}",
    "{client_secret: {value: %s, file: x}}",
    "{client_secret: {valeu: %s}}",
    "{client_secret: {%s: }}",
    "{client_secret: [%s]}",
    "{client_certificate: {file: x, passphrase: %s}}",
    "{client_certificate: %s}",
    "{client_id: {value: %s}}",
    "{proxy: http://anna:%s@proxy.example.org:1/x}",
    "{secret: %s}",
    "%s",
    "[%s]",
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("form", [SECRET, f'"{SECRET}\\n"', f"!{SECRET}", f"*{SECRET}", f"&{SECRET} x", f'"{SECRET}'])
def test_a_secret_in_a_wrong_place_is_not_shown(tmp_path: Path, place: str, form: str) -> None:
    file = tmp_path / "checks.yaml"
    raw = place % form
    with_type = raw.replace("{", "{type: microsoft, ", 1) if raw.startswith("{") else raw
    file.write_text(f"credentials:\n  a: {with_type}\n")
    loaded = load([file])
    assert loaded.problems
    assert SECRET not in repr(loaded)


def test_a_right_secret_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "checks.yaml"
    file.write_text(
        f"credentials: {{a: {{type: token, from: {{value: {SECRET}}}}}}}\n"
        "checks: [{name: a, mailbox: a@example.org, credential: a, server: {host: mail.example.org}}]\n"
    )
    loaded = load([file])
    assert loaded.settings is not None
    assert SECRET not in repr(loaded)
