"""`smtpcheck setup`, as a user runs it."""

from pathlib import Path

import pytest

from smtpcheck.cli import main
from tests.worlds.powershell import syntax_errors

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
    assert "setup.ps1 has the script: read it, then run it" in said.err
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


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nobody"], 1, "there is no credential 'nobody'; there is: contoso"),
        (["--grant", "rbac-au"], 1, "--grant rbac-au needs --administrative-unit"),
        (["--grant", "everybody"], 64, "everybody"),
        (["--tenant", "x", "--mailbox", "a@b.example"], 64, "-c and --mailbox, --tenant exclude each other"),
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
