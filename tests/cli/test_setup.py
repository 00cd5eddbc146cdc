"""`smtpcheck setup`, as a user runs it."""

import json
from pathlib import Path

import pytest

from smtpcheck.cli import main
from tests.worlds.powershell import commands, syntax_errors
from tests.worlds.powershell_commands import COMMANDS

CONFIGURATION = """
credentials:
  contoso:
    type: microsoft
    tenant: contoso.onmicrosoft.com
    client_id: 11111111-2222-3333-4444-555555555555
    client_secret: {file: secret}
checks:
  - {name: billing, mailbox: billing@contoso.com, credential: contoso}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "checks.yaml"
    file.write_text(CONFIGURATION)
    return file


def test_the_script_is_all_that_is_printed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["setup", "-c", str(config)]) == 0
    script = capsys.readouterr().out
    assert script.startswith("# Sets tenant contoso.onmicrosoft.com up for smtpcheck.")
    assert "'billing@contoso.com'" in script
    assert syntax_errors(script) == []


def test_the_script_goes_to_a_file(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["setup", "-c", str(config), "--output", str(tmp_path / "setup.ps1")]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "setup.ps1 has the script: read it, then run it as its first lines say" in said.err
    assert syntax_errors((tmp_path / "setup.ps1").read_text()) == []


def test_without_a_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "app.pem"
    mailboxes = ["--mailbox", "o'brien@contoso.com", "--mailbox", "$x@contoso.com"]
    assert main(["setup", "--tenant", "contoso.com", *mailboxes, "--make-key", str(key)]) == 0
    said = capsys.readouterr()
    assert "'o''brien@contoso.com'" in said.out
    assert "'$x@contoso.com'" in said.out
    assert "has a new private key, readable by its owner alone" in said.err
    assert "PRIVATE KEY" not in said.out


def test_a_workspace_without_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["setup", "--provider", "google", "--mailbox", "sales@example.com"]) == 0
    assert "key_file=service-account.json" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nobody"], 1, "there is no credential 'nobody'; there is: contoso"),
        (["--grant", "rbac-au"], 1, "--grant rbac-au needs --administrative-unit"),
        (["--grant", "everybody"], 64, "everybody"),
        (["--client-id", "x", "--mailbox", "a@b.example"], 64, "-c and --client-id, --mailbox exclude each other"),
        (["--undo", "none.jsonl"], 1, "none.jsonl cannot be read (no such file or directory)"),
        (["--undo", "none.jsonl", "contoso"], 64, "--undo takes one record"),
        (["--output", "/nowhere/setup.ps1"], 1, "/nowhere/setup.ps1 cannot be written: no such file or directory"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_printed(
    config: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    assert main(["setup", "-c", str(config), *arguments]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err


def test_what_a_script_recorded_is_taken_back_without_a_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "record.jsonl"
    ids = {"tenant": "contoso.com", "tenant_id": "0f0f0f0f-1111-2222-3333-444444444444"}
    script = {"change": "script", "state": "before", "graph": "Global", "exchange": "O365Default", **ids}
    switch = {"change": "smtp_auth", "state": "before", "mailbox": "o'brien@contoso.com", "disabled": None}
    record.write_text("\ufeff" + "\r\n".join(map(json.dumps, (script, switch))) + "\r\n")
    assert main(["setup", "--undo", str(record)]) == 0
    undo = capsys.readouterr().out
    assert "mailbox = 'o''brien@contoso.com'; disabled = $null" in undo
    assert syntax_errors(undo) == []


def test_without_a_record_nothing_is_changed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["setup", "-c", str(config), "--undo", "contoso"]) == 0
    script = capsys.readouterr().out
    assert {command.name.partition("-")[0] for command in commands(script) if command.name in COMMANDS} <= {
        *("Get", "Connect", "Where", "ForEach", "Select", "Write", "Set"),
    }
    assert "Set-CASMailbox" not in script
