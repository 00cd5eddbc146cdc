"""`smtpcheck report`: its formats, where it writes, and what it says where it cannot."""

import csv
import json
import time
from pathlib import Path

import pytest

from smtpcheck.cli import main
from smtpcheck.state.state import State
from tests.worlds.samples import check, run


@pytest.fixture
async def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("smtpcheck.cli.report.configure", lambda _: None)
    (tmp_path / "state").mkdir()
    state = await State.kept(tmp_path / "state")
    state.record(check("billing"), run(time.time() - 60))
    await state.close()
    path = tmp_path / "checks.yaml"
    server = {"host": "relay.example.org"}
    checks = [{"name": "billing", "depth": "connect", "server": server}]
    path.write_text(json.dumps({"agent": {"state": str(tmp_path / "state")}, "checks": checks}))
    return path


def test_the_table_is_for_people(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "-c", str(config)]) == 0
    assert "100.000%" in capsys.readouterr().out


def test_csv_and_html_are_written_where_one_says(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("csv", "html"):
        file = config.parent / f"report.{form}"
        assert main(["report", "-c", str(config), "--days", "7", "--format", form, "--output", str(file)]) == 0
        assert capsys.readouterr().out == f"written to {file}\n"
    with (config.parent / "report.csv").open(newline="") as opened:
        assert [row["name"] for row in csv.DictReader(opened)] == ["all checks", "billing"]
    assert "Availability over 7 days" in (config.parent / "report.html").read_text()
    assert main(["report", "-c", str(config), "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith("kind,name,checks,availability")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--days", "0"], 64, "Invalid value for '--days'"),
        (["--output", "x.txt"], 64, "--output needs --format csv or html"),
        (["--format", "csv", "--output", "/nowhere/x.csv"], 3, "/nowhere/x.csv cannot be written: No such file"),
    ],
)
def test_what_cannot_be_is_named(
    config: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    assert main(["report", "-c", str(config), *arguments]) == code
    assert said in capsys.readouterr().err


def test_without_a_state_it_says_so(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "state" / "state.db").unlink()
    assert main(["report", "-c", str(config)]) == 3
    assert "there is no state file" in capsys.readouterr().err
