"""`smtpcheck backup`: where it writes, and what it says where it cannot."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from smtpcheck.cli import main
from smtpcheck.oauth.token_store import Login, TokenStore
from smtpcheck.secrets.secret import Secret
from smtpcheck.state.state import State
from tests.worlds.samples import check, run

NOON = 20_000 * 86400.0 + 43200


@pytest.fixture
async def config(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    state = await State.kept(tmp_path / "state")
    state.record(check("billing"), run(NOON))
    await state.close()
    path = tmp_path / "checks.yaml"
    checks = [{"name": "billing", "depth": "connect", "server": {"host": "relay.example.org"}}]
    path.write_text(json.dumps({"agent": {"state": str(tmp_path / "state")}, "checks": checks}))
    return path


def names_of(file: Path) -> list[str]:
    with tarfile.open(file) as archive:
        return archive.getnames()


def test_it_is_written_to_a_file_that_nobody_else_reads(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = config.parent / "backup.tar"
    file.write_text("an earlier one")
    assert main(["backup", "-c", str(config), "--output", str(file)]) == 0
    assert capsys.readouterr().err == "backed up: state.db\n"
    assert names_of(file) == ["state.db"]
    assert file.stat().st_mode & 0o777 == 0o600


def test_it_is_written_to_standard_output(config: Path) -> None:
    """As `docker exec smtpcheck smtpcheck backup > backup.tar`."""
    TokenStore(config.parent / "state" / "tokens").file("anna").write(
        Login(Secret("a-refresh-token"), "https://id.example.org", "client", NOON, NOON, NOON)
    )
    file = config.parent / "backup.tar"
    with file.open("wb") as opened:
        done = subprocess.run(
            [sys.executable, "-m", "smtpcheck", "backup", "-c", str(config)],
            stdout=opened, stderr=subprocess.PIPE, text=True, check=True, env=os.environ,
        )  # fmt: skip
    assert names_of(file) == ["state.db", "tokens/anna.token"]
    assert "store it like a password" in done.stderr


@pytest.mark.parametrize("output", ["/dev/full", "/nowhere/backup.tar"])
def test_one_that_cannot_be_written_leaves_nothing(
    config: Path, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    if output == "/dev/full":
        with Path(output).open("wb") as full:
            done = subprocess.run(
                [sys.executable, "-m", "smtpcheck", "backup", "-c", str(config)],
                stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=os.environ,
            )  # fmt: skip
        code, said = done.returncode, done.stderr
    else:
        code, said = main(["backup", "-c", str(config), "--output", output]), capsys.readouterr().err
    assert code == 3
    assert said.startswith("smtpcheck: there is no backup: ")
    assert "backed up" not in said


def test_a_failed_one_leaves_the_earlier_one(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = config.parent / "backup.tar"
    file.write_text("an earlier one")
    (config.parent / "state" / "state.db").write_bytes(b"no database, but as long as one is" * 100)
    assert main(["backup", "-c", str(config), "--output", str(file)]) == 3
    assert "cannot be read" in capsys.readouterr().err
    assert file.read_text() == "an earlier one"
    assert {each.name for each in config.parent.iterdir()} == {"backup.tar", "checks.yaml", "state"}


def test_it_is_not_shown_on_a_terminal(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["backup", "-c", str(config)]) == 64
    assert "name a file with --output" in capsys.readouterr().err
