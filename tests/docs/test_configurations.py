"""Every configuration in the documents is one: smtpcheck's own loads, all others pass the check of their program."""

import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from trustme import CA

from smtpcheck.web.web_config import load as load_web_config
from tests.dashboards.test_compose import SCHEMA as COMPOSE
from tests.dashboards.test_kubernetes import VERSIONS, faults
from tests.docs.configurations import BILLING, completed, is_api, is_configuration, problems_of, value_of
from tests.docs.documents import ROOT, Block, blocks
from tests.real.daemon import real_binary
from tests.worlds.published_schemas import problems

YAML = blocks("yaml")
Examiner = Callable[[Block, Any, Path], list[str]]


def _said(path: Path, text: str, *command: str) -> list[str]:
    """Return what a checker says of a file with this text; nothing where it is content."""
    path.write_text(text)
    arguments = [real_binary(command[0]), *command[1:], path.name]
    done = subprocess.run(arguments, cwd=path.parent, capture_output=True, text=True, check=False)
    return [done.stdout + done.stderr] if done.returncode else []


def _own(block: Block, value: Any, folder: Path) -> list[str]:
    return problems_of(block, folder)


def _api(block: Block, value: Any, folder: Path) -> list[str]:
    name = f"{value['api']}.yaml"
    (folder / name).write_text(block.text)
    checks = [{"name": "x", "mailbox": "a@b.test", "credential": "sendgrid", "via": {"api": "http", "file": name}}]
    with_it = Block(block.file, block.line, "yaml", yaml.safe_dump({"checks": checks}))
    return problems_of(with_it, folder)


def _web(block: Block, value: Any, folder: Path) -> list[str]:
    path = folder / "web.yaml"
    path.write_text(block.text)
    if given := value.get("tls_server_config"):
        certificate = CA().issue_cert("smtpcheck.example.org")
        certificate.cert_chain_pems[0].write_to_path(folder / given["cert_file"])
        certificate.private_key_pem.write_to_path(folder / given["key_file"])
    return [str(problem) for problem in load_web_config(path)[1]]


def _prometheus(block: Block, value: Any, folder: Path) -> list[str]:
    whole = value if isinstance(value, Mapping) else {"scrape_configs": value}
    return _said(folder / "prometheus.yml", yaml.safe_dump(whole, sort_keys=False), "promtool", "check", "config")


def _rules(block: Block, value: Any, folder: Path) -> list[str]:
    return _said(folder / "some.rules.yaml", block.text, "promtool", "check", "rules")


def _alertmanager(block: Block, value: Any, folder: Path) -> list[str]:
    whole = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}], **value}
    return _said(folder / "alertmanager.yml", yaml.safe_dump(whole, sort_keys=False), "amtool", "check-config")


def _compose(block: Block, value: Any, folder: Path) -> list[str]:
    path = folder / "compose.yaml"
    path.write_text(block.text)
    return problems(COMPOSE, path)


def _kubernetes(block: Block, value: Any, folder: Path) -> list[str]:
    resources = [resource for resource in yaml.safe_load_all(block.text) if resource]
    return [fault for resource in resources for version in VERSIONS for fault in faults(resource, version)]


def _kustomization(block: Block, value: Any, folder: Path) -> list[str]:
    """Build it beside this tree; `{file: ...}` of a generator are there."""
    (folder / "smtpcheck").symlink_to(ROOT)
    own = folder / "own"
    own.mkdir()
    (own / "kustomization.yaml").write_text(block.text)
    (own / "checks.yaml").write_text("checks: []\n")
    command = [real_binary("kubectl"), "kustomize", str(own)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return [done.stderr] if done.returncode or done.stderr else []


def _has(*keys: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, Mapping) and bool(set(keys) & set(value))


def _is_a_list_of_jobs(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, Mapping) and "job_name" in each for each in value)


KINDS: tuple[tuple[Callable[[Any], bool], Examiner], ...] = (
    (is_configuration, _own),
    (is_api, _api),
    (_has("tls_server_config", "basic_auth_users", "http_server_config"), _web),
    (lambda value: isinstance(value, Mapping) and value.get("kind") == "Kustomization", _kustomization),
    (_has("apiVersion"), _kubernetes),
    (_has("services"), _compose),
    (_has("groups"), _rules),
    (_has("scrape_configs", "rule_files", "alerting", "remote_write"), _prometheus),
    (_is_a_list_of_jobs, _prometheus),
    (_has("route", "receivers", "inhibit_rules"), _alertmanager),
)


@pytest.mark.parametrize("block", YAML, ids=str)
def test_a_configuration_is_good(block: Block, tmp_path: Path) -> None:
    first = next(iter(yaml.safe_load_all(block.text)), None) if "\n---\n" in block.text else None
    value, problems = (first, []) if first else value_of(block)
    assert problems == []
    examiner = next((examiner for is_one, examiner in KINDS if is_one(value)), None)
    assert examiner, f"{block} is of no kind that the tests know: add a line to KINDS"
    assert examiner(block, value, tmp_path) == []


def test_queries_are_queries(tmp_path: Path) -> None:
    """Empty lines separate queries; each is the expression of a rule that is called by its place."""
    queries = {
        f"{re.sub(r'[^a-zA-Z0-9]', '_', str(block))}_{number}": query
        for block in blocks("promql")
        for number, query in enumerate(re.split(r"\n\s*\n", block.text.strip()))
    }
    rules = [{"record": place, "expr": query} for place, query in queries.items()]
    text = yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]})
    assert _said(tmp_path / "queries.yaml", text, "promtool", "check", "rules") == []


def _block(text: str) -> Block:
    return Block("README.md", 1, "yaml", text)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("checks: [{name: a, depht: auth}]", "depht"),
        ("credentials: {contoso: {inspect: {by: auditor, evry: 1d}}}", "evry"),
        ("loopback: {to: probe@contoso.com, evry: 15m}", "evry"),
        ("checks: [{name: a, mailbox: a@b.test, credential: nobody}]", "no credential of this name"),
    ],
)
def test_what_is_wrong_in_a_part_is_found(text: str, wrong: str, tmp_path: Path) -> None:
    assert any(wrong in problem for problem in problems_of(_block(text), tmp_path))


def test_a_part_is_completed_by_what_it_names() -> None:
    """A credential gets a check, some of its keys all others, and keys of a check a check around them."""
    inspected = completed({"credentials": {"contoso": {"inspect": {"by": "auditor"}}}}, "README.md")
    assert inspected["credentials"]["contoso"]["type"] == "microsoft"
    assert [check["credential"] for check in inspected["checks"]] == ["contoso"]
    assert completed({"depth": "send"}, "README.md")["checks"] == [{**BILLING, "depth": "send"}]


def test_every_kind_of_problem_but_a_missing_secret_counts(tmp_path: Path) -> None:
    text = "credentials: {contoso: {type: microsoft, tenant: common, client_id: x, client_secret: {file: none}}}"
    assert [problem.split(":")[0] for problem in problems_of(_block(text), tmp_path)] == ["credentials.contoso.tenant"]
