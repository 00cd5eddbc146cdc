"""The script for Google: read by shellcheck, and run by bash against a stand-in of `gcloud`."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from smtpcheck.config import Settings
from smtpcheck.setup.choices import Target
from smtpcheck.setup.gcloud import gcloud_script
from smtpcheck.setup.plan import SetupError
from smtpcheck.setup.planning import Wishes
from smtpcheck.setup.proofs import ProofWishes
from smtpcheck.setup.targets import script_for, undo_of
from tests.worlds import fake_gcloud
from tests.worlds.setup import application, check, settings_of

LINK = (
    "https://admin.google.com/ac/owl/domainwidedelegation?clientScopeToAdd=https://mail.google.com/&clientIdToAdd=108"
)
FEDERATED = Wishes(proof=ProofWishes(issuer="https://issuer.example.com/$(id)", subject='ns:\'"a" $(id)`b`'))


def workspace(folder: Path, key_file: str = "sa $x'.json", **credential: object) -> Settings:
    credentials = {"workspace": {"type": "google-service-account", "key_file": key_file, **credential}}
    return settings_of(folder, check("sales@example.com", credential="workspace"), credentials=credentials)


class Project:
    """A folder in which scripts run against the stand-in."""

    def __init__(self, folder: Path, **state: Any) -> None:
        self.folder = folder
        self.file = folder / "project.json"
        self.file.write_text(json.dumps({**fake_gcloud.new_project(), **state}))
        (folder / "bin").mkdir()
        program = folder / "bin" / "gcloud"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {fake_gcloud.__file__} "$@"\n')
        program.chmod(0o755)

    def run(self, script: str, *arguments: str, answers: str = "") -> "subprocess.CompletedProcess[str]":
        (self.folder / "script.sh").write_text(script)
        environment = {"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "PROJECT_STATE": str(self.file)}
        return subprocess.run(
            ["bash", "script.sh", *arguments],
            cwd=self.folder,
            env=environment,
            input=answers,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def state(self) -> Any:
        return json.loads(self.file.read_text())


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck is installed")
@pytest.mark.parametrize("wishes", [Wishes(), FEDERATED])
def test_shellcheck_has_nothing_to_say(tmp_path: Path, wishes: Wishes) -> None:
    script = gcloud_script(workspace(tmp_path), wishes)
    command = ["shellcheck", "--shell=bash", "--exclude=SC2016", "-"]  # single quotes are meant
    assert subprocess.run(command, input=script, capture_output=True, text=True, check=False).stdout == ""


def test_an_account_with_a_key_is_made_once_and_the_link_names_it(tmp_path: Path) -> None:
    project, settings = Project(tmp_path), workspace(tmp_path)
    script = gcloud_script(settings, Wishes())
    first = project.run(script, "--record=record.jsonl")
    assert (first.returncode, first.stderr) == (0, "")
    assert f"{LINK}&overwriteClientId=true" in first.stdout
    assert "smtpcheck doctor sales" in first.stdout
    key = tmp_path / "sa $x'.json"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    after = project.state
    assert (list(after["accounts"]), len(after["keys"]), after["services"]) == (
        ["smtpcheck@mail-1.iam.gserviceaccount.com"],
        1,
        [],
    )
    assert project.run(script, "--record=record.jsonl").returncode == 0
    assert project.state == after


def test_what_was_made_is_taken_back_and_asks_first(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert project.run(gcloud_script(workspace(tmp_path), Wishes()), "--record=record.jsonl").returncode == 0
    undo = undo_of(tmp_path / "record.jsonl")
    said = project.run(undo)
    assert said.stdout.count("would: delete") == 2 and "removed" not in project.state
    assert project.run(undo, "--apply", answers="no\n").returncode == 0
    assert project.state["removed"] == ["abc123"]
    assert project.run(undo, "--apply", answers="yes\n").returncode == 0
    assert project.state["removed"][-1] == "smtpcheck@mail-1.iam.gserviceaccount.com"


def test_a_federation_needs_no_key(tmp_path: Path) -> None:
    project = Project(tmp_path, keys_allowed=False)
    script = gcloud_script(workspace(tmp_path), FEDERATED)
    for _ in range(2):
        run = project.run(script, "--record=record.jsonl")
        assert (run.returncode, run.stderr) == (0, "")
    state = project.state
    assert state["providers"] == [["issuer", FEDERATED.proof.issuer]]
    principal = "principal://iam.googleapis.com/projects/4711/locations/global/workloadIdentityPools/smtpcheck/subject/"
    assert state["bindings"] == [
        ["roles/iam.workloadIdentityUser", principal + FEDERATED.proof.subject],
        ["roles/iam.serviceAccountTokenCreator", "serviceAccount:smtpcheck@mail-1.iam.gserviceaccount.com"],
    ]
    assert "would: withdraw roles/iam.workloadIdentityUser" in project.run(undo_of(tmp_path / "record.jsonl")).stdout


def test_where_keys_are_forbidden_the_way_without_one_is_named(tmp_path: Path) -> None:
    run = Project(tmp_path, keys_allowed=False).run(gcloud_script(workspace(tmp_path), Wishes()))
    assert run.returncode == 1 and "use workload identity federation" in run.stderr


def test_the_account_of_an_existing_key_is_used_and_gets_no_further_key(tmp_path: Path) -> None:
    account = "mailer@mail-1.iam.gserviceaccount.com"
    (tmp_path / "sa.json").write_text(json.dumps({"client_email": account, "private_key": "the private part"}))
    script = gcloud_script(workspace(tmp_path, "sa.json"), Wishes())
    assert "the private part" not in script
    project = Project(tmp_path, accounts={account: "108"})
    run = project.run(script)
    assert run.returncode == 0 and LINK in run.stdout
    assert project.state["keys"] == []


def test_an_account_that_the_configuration_names_is_not_made(tmp_path: Path) -> None:
    named = workspace(tmp_path, service_account="mailer@mail-1.iam.gserviceaccount.com")
    project = Project(tmp_path)
    run = project.run(gcloud_script(named, Wishes()))
    assert run.returncode == 1 and "has no service account mailer@" in run.stderr
    assert project.state["accounts"] == {}


def test_a_check_changes_nothing(tmp_path: Path) -> None:
    project = Project(tmp_path)
    before = project.state
    assert "nothing was changed" in project.run(gcloud_script(workspace(tmp_path), Wishes()), "--check").stdout
    assert project.state == before


@pytest.mark.parametrize("content", ["no json", "[]", "[" * 5000])
def test_a_key_file_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "sa.json").write_text(content)
    with pytest.raises(SetupError, match=r"sa\.json cannot be read as the JSON of a service account"):
        gcloud_script(workspace(tmp_path, "sa.json"), Wishes())


def test_the_script_fits_the_credential_and_both_kinds_are_two(tmp_path: Path) -> None:
    assert script_for(workspace(tmp_path), Wishes(), None).startswith("#!/usr/bin/env bash\n# Sets Google Workspace up")
    both: dict[str, dict[str, object]] = {
        "workspace": {"type": "google-service-account", "key_file": "a.json"},
        "contoso": application(),
    }
    settings = settings_of(tmp_path, check(), check("sales@example.com", credential="workspace"), credentials=both)
    with pytest.raises(SetupError, match="smtpcheck setup contoso; smtpcheck setup workspace"):
        script_for(settings, Wishes(), None)
    assert "Google Workspace" in script_for(settings, Wishes(), Target.GCLOUD)
    assert "Connect-MgGraph" in script_for(settings, Wishes(names=("contoso",)), None)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{}", "None is not a known change"),
        ('{"change":"google_key","project":"p","account":"a@b.c","key_id":"x; rm -rf"}', "key_id is 'x; rm -rf'"),
        ('{"change":"smtp_auth"}', "'smtp_auth' is not a known change"),
    ],
)
def test_what_is_no_record_is_refused_by_its_line(tmp_path: Path, line: str, problem: str) -> None:
    record = tmp_path / "record.jsonl"
    record.write_text('{"change":"google_script","project":"mail-1"}\n' + line)
    with pytest.raises(SetupError) as refused:
        undo_of(record)
    assert "line 2 is not a line of a record" in str(refused.value) and problem in str(refused.value)
