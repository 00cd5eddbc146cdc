"""The script for the Azure CLI: read by shellcheck, and run by bash against stand-ins of `az` and `pwsh`."""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jmespath
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smtpcheck.oauth.clouds import Cloud
from smtpcheck.setup.azure_cli import azure_cli_script
from smtpcheck.setup.choices import Grant
from smtpcheck.setup.key import make_key
from smtpcheck.setup.plan import Application, MailboxRights, Proof, ProofKind, SetupPlan
from smtpcheck.setup.planning import Wishes, microsoft_plan
from smtpcheck.setup.proofs import ProofWishes
from smtpcheck.setup.record import read_record
from tests.worlds import fake_az
from tests.worlds.powershell import commands, functions, syntax_errors
from tests.worlds.powershell_commands import COMMANDS
from tests.worlds.setup import CLIENT, UNIT, application, check, loopback, settings_of

NIL = "00000000-0000-0000-0000-000000000000"
CONFIGURATIONS: dict[str, tuple[list[dict[str, object]], dict[str, dict[str, object]] | None, Wishes]] = {
    "mailbox": ([check(), check("o'brien@contoso.com", sender="office@contoso.com")], None, Wishes()),
    "graph": ([check(loopback=loopback("graph"))], None, Wishes()),
    "rbac-group": ([check()], None, Wishes(grant=Grant.RBAC_GROUP)),
    "managed-identity": ([check()], None, Wishes(proof=ProofWishes(managed_identity=UNIT))),
    "federated": (
        [check()],
        None,
        Wishes(proof=ProofWishes(issuer="https://x.example/'`$(id)`", subject='a:"b" `c` $(id)')),
    ),
    "new": ([check()], {"contoso": application(client_id=NIL)}, Wishes()),
}


def script_of(name: str, folder: Path) -> str:
    checks, credentials, wishes = CONFIGURATIONS[name]
    return azure_cli_script(microsoft_plan(settings_of(folder, *checks, credentials=credentials), wishes))


def shellcheck(script: str) -> str:
    command = ["shellcheck", "--shell=bash", "--exclude=SC2016", "-"]  # single quotes are meant
    return subprocess.run(command, input=script, capture_output=True, text=True, check=False).stdout


def exchange_part(script: str) -> str:
    return script.partition("<<'END_OF_EXCHANGE_SCRIPT'\n")[2].partition("\nEND_OF_EXCHANGE_SCRIPT\n")[0]


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck is installed")
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_shellcheck_has_nothing_to_say(name: str, tmp_path: Path) -> None:
    assert shellcheck(script_of(name, tmp_path)) == ""


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_part_for_exchange_parses_and_its_commands_exist(name: str, tmp_path: Path) -> None:
    script = exchange_part(script_of(name, tmp_path))
    assert syntax_errors(script) == []
    own = functions(script)
    for command in commands(script):
        if command.name not in own and command.name != "$Action":
            assert set(command.parameters) <= COMMANDS[command.name], command
    assert "-Mg" not in "".join(command.name for command in commands(script))


# ---------------------------------------------------------------------------------------------------------------------
# Run


class Tenant:
    """A folder in which scripts run against the stand-ins."""

    def __init__(self, folder: Path, state: dict[str, Any]) -> None:
        self.folder = folder
        self.file = folder / "tenant.json"
        self.file.write_text(json.dumps(state))
        programs = folder / "bin"
        programs.mkdir()
        for name, line in (
            ("az", f'exec {sys.executable} {fake_az.__file__} "$@"'),
            ("pwsh", f'printf "%s\\n" "$*" >>{folder}/pwsh.log'),
        ):
            (programs / name).write_text(f"#!/bin/sh\n{line}\n")
            (programs / name).chmod(0o755)
        self.path = f"{programs}:{os.environ['PATH']}"

    def run(self, script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        (self.folder / "setup.sh").write_text(script)
        command = ["bash", "setup.sh", "--record=record.jsonl", *arguments]
        environment = {"PATH": self.path, "TENANT": str(self.file), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    @property
    def state(self) -> Any:
        return json.loads(self.file.read_text())

    @property
    def exchange(self) -> list[str]:
        log = self.folder / "pwsh.log"
        return log.read_text().splitlines() if log.exists() else []


def consents(state: Any) -> list[str]:
    roles = {role["id"]: role["value"] for each in state["principals"] for role in each["appRoles"]}
    return sorted(roles[made["appRoleId"]] for each in state["principals"] for made in each["assignments"])


def test_an_existing_application_is_consented_to_once_and_registered(tmp_path: Path) -> None:
    state = fake_az.new_tenant()
    state["apps"].append({**fake_az.application(CLIENT), "passwordCredentials": [{"keyId": "k"}]})
    tenant = Tenant(tmp_path, state)
    script = script_of("mailbox", tmp_path)
    first = tenant.run(script)
    assert (first.returncode, first.stderr) == (0, "")
    after = tenant.state
    assert consents(after) == ["SMTP.SendAsApp"]
    principal = after["principals"][-1]
    assert (principal["appId"], len(after["apps"]), len(after["principals"])) == (CLIENT, 1, 3)
    assert f"-ClientIds {CLIENT} -ObjectIds {principal['id']}" in tenant.exchange[-1]
    assert "-CheckOnly" in tenant.exchange[0]
    assert [change.kind for change in read_record(tmp_path / "record.jsonl").changes] == [
        "consent",
        "listed_permission",
        "enterprise_application",
    ]

    again = tenant.run(script)
    assert again.returncode == 0
    assert {key: value for key, value in tenant.state.items() if key != "calls"} == {
        key: value for key, value in after.items() if key != "calls"
    }
    assert "SMTP.SendAsApp is consented to" in again.stdout


def test_a_new_application_is_made_once_with_its_certificate_and_others_stay(tmp_path: Path) -> None:
    tenant = Tenant(tmp_path, fake_az.new_tenant())
    made = [make_key(tmp_path / f"{name}.pem", datetime(2026, 11, 27, tzinfo=UTC)).proof for name in ("a", "b")]
    nil = {"contoso": application(client_id=NIL)}
    for proof in (*made, made[0]):
        plan = microsoft_plan(settings_of(tmp_path, credentials=nil), Wishes(proof=ProofWishes(made=proof)))
        run = tenant.run(azure_cli_script(plan))
        assert (run.returncode, run.stderr) == (0, "")
    (app,) = tenant.state["apps"]
    assert (app["displayName"], app["tags"]) == ("smtpcheck-contoso", ["smtpcheck-setup"])
    assert [key["customKeyIdentifier"] for key in app["keyCredentials"]] == [proof.thumbprint for proof in made]
    assert f"credential contoso: client_id: {app['appId']}" in run.stdout
    kinds = [change.kind for change in read_record(tmp_path / "record.jsonl").changes]
    assert kinds == [
        "consent",
        "listed_permission",
        "certificate",
        "certificate",
        "enterprise_application",
        "application",
    ]


def test_a_secret_is_made_only_where_there_is_none_and_shown_once(tmp_path: Path) -> None:
    tenant = Tenant(tmp_path, fake_az.new_tenant())
    script = script_of("new", tmp_path)
    assert "shown-once" in tenant.run(script).stdout
    again = tenant.run(script)
    assert again.returncode == 0 and "shown-once" not in again.stdout
    assert "shown-once" not in (tmp_path / "record.jsonl").read_text()


@pytest.mark.parametrize("name", ["federated", "managed-identity"])
def test_a_federated_credential_is_added_once(name: str, tmp_path: Path) -> None:
    state = fake_az.new_tenant()
    state["apps"].append(fake_az.application(CLIENT))
    tenant = Tenant(tmp_path, state)
    script = script_of(name, tmp_path)
    for _ in range(2):
        run = tenant.run(script)
        assert (run.returncode, run.stderr) == (0, "")
    (made,) = tenant.state["apps"][0]["federated"]
    expected = CONFIGURATIONS[name][2].proof
    issuer = expected.issuer or f"https://login.microsoftonline.com/{fake_az.TENANT_ID}/v2.0"
    assert (made["issuer"], made["subject"]) == (issuer, expected.subject or UNIT)
    assert "federated_credential" in [change.kind for change in read_record(tmp_path / "record.jsonl").changes]


def test_a_consent_that_rbac_supersedes_is_removed_only_on_request(tmp_path: Path) -> None:
    state = fake_az.new_tenant()
    state["apps"].append({**fake_az.application(CLIENT), "passwordCredentials": [{"keyId": "k"}]})
    tenant = Tenant(tmp_path, state)
    assert tenant.run(script_of("mailbox", tmp_path)).returncode == 0
    by_role = script_of("rbac-group", tmp_path)
    announced = tenant.run(by_role)
    assert "run the script with --replace to remove it" in announced.stderr
    assert consents(tenant.state) == ["SMTP.SendAsApp"]
    assert tenant.run(by_role, "--replace").returncode == 0
    assert consents(tenant.state) == []
    assert "-Replace" in tenant.exchange[-1]
    assert "consent_removed" in [change.kind for change in read_record(tmp_path / "record.jsonl").changes]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"roles": ["User Administrator"]}, "You need one of these roles in Entra"),
        ({"apps": []}, f"The tenant has no application {CLIENT}."),
        ({"principals": []}, "it has no Exchange Online"),
    ],
)
def test_what_is_wrong_stops_it_before_anything_changes(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    state = fake_az.new_tenant()
    state["apps"].append(fake_az.application(CLIENT))
    tenant = Tenant(tmp_path, {**state, **change})
    before = {key: value for key, value in tenant.state.items() if key != "calls"}
    run = tenant.run(script_of("mailbox", tmp_path))
    assert run.returncode == 1
    assert run.stderr.startswith("Nothing was changed.\n") and problem in run.stderr
    assert {key: value for key, value in tenant.state.items() if key != "calls"} == before
    assert not (tmp_path / "record.jsonl").exists()


def test_another_application_of_the_same_name_is_not_taken(tmp_path: Path) -> None:
    state = fake_az.new_tenant()
    state["apps"].append(fake_az.application(CLIENT, "smtpcheck-contoso"))
    run = Tenant(tmp_path, state).run(script_of("new", tmp_path))
    assert run.returncode == 1
    assert f"write client_id: {CLIENT} into the configuration" in run.stderr


def test_a_check_changes_nothing(tmp_path: Path) -> None:
    state = fake_az.new_tenant()
    state["apps"].append(fake_az.application(CLIENT))
    tenant = Tenant(tmp_path, state)
    run = tenant.run(script_of("mailbox", tmp_path), "--check")
    assert run.returncode == 0 and "nothing was changed" in run.stdout
    assert consents(tenant.state) == [] and not (tmp_path / "record.jsonl").exists()


TEXTS = st.text(st.characters(min_codepoint=32, codec="utf-8", exclude_characters="\x7f"), min_size=1, max_size=30)


@given(TEXTS, TEXTS, TEXTS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_value_is_bash_reads_it_as_one_argument(
    tmp_path: Path, issuer: str, subject: str, name: str
) -> None:
    """The calls of the script are read by bash itself, each function replaced by one that prints its arguments."""
    proof = Proof(ProofKind.FEDERATED, issuer=issuer, subject=subject, audience="api://x")
    mailbox = MailboxRights("a@contoso.com", full_access=True)
    plan = SetupPlan(
        "contoso.com",
        Cloud.GLOBAL,
        Grant.MAILBOX,
        (Application(name, "smtpcheck-x", CLIENT, proof, mailboxes=(mailbox,)),),
    )
    script = azure_cli_script(plan)
    calls = [line for line in script.split("\n") if line.startswith(("add_federated ", "credentials=("))]
    program = 'add_federated() { printf "%s\\0" "$@"; }\n' + "\n".join(calls) + '\nprintf "%s\\0" "${credentials[@]}"'
    said = subprocess.run(["bash", "-c", program], capture_output=True, check=True).stdout.decode().split("\0")
    query, parameters, in_json, credential = said[:4]
    assert credential == name
    assert json.loads(parameters)["issuer"] == issuer and json.loads(parameters)["subject"] == subject
    assert json.loads(f'"{in_json}"') == subject
    there = [{"issuer": issuer, "subject": subject, "id": "found"}, {"issuer": "x", "subject": "y", "id": "other"}]
    assert jmespath.search(query, there) == "found"
