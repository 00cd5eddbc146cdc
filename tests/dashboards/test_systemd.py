"""The unit for systemd: it finds no fault in it, the agent is confined by it, and both speak of the same files."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from smtpcheck.agent.agent import DRAIN_SECONDS
from smtpcheck.agent.health import STALLED_SECONDS
from smtpcheck.cli import app
from smtpcheck.config import load
from smtpcheck.model.duration import parse_duration
from tests.real.daemon import real_binary

FOLDER = Path(__file__).parent.parent.parent / "dashboards" / "systemd"
UNIT = (FOLDER / "smtpcheck.service").read_text()
MOST_EXPOSED = 1.5
"""On systemd's scale from 0 to 10; what is left is the network, which the agent is for."""


def settings(name: str, text: str = UNIT) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)


def setting(name: str) -> str:
    (value,) = settings(name)
    assert isinstance(value, str)
    return value


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Return the unit with a program that exists on every machine; `verify` wants one."""
    path = tmp_path / "smtpcheck.service"
    path.write_text(UNIT.replace("/opt/smtpcheck/bin/smtpcheck", "/bin/true"))
    return path


def by_systemd(*arguments: str | Path) -> tuple[int, str]:
    """Return exit status of `systemd-analyze` and what it prints."""
    command = [real_binary("systemd-analyze"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_systemd_finds_no_fault(unit: Path) -> None:
    assert by_systemd("verify", unit) == (0, "")
    unit.write_text(unit.read_text().replace("ProtectSystem=strict", "ProtectSystem=stirct"))
    assert "Failed to parse protect system value" in by_systemd("verify", unit)[1]


def test_the_agent_is_hardly_exposed(unit: Path) -> None:
    """By systemd's own measure, which `--threshold` takes ten times as large."""
    status, said = by_systemd("security", "--offline=true", f"--threshold={MOST_EXPOSED * 10:.0f}", unit)
    assert status == 0, said
    unit.write_text(re.sub(r"^(SystemCallFilter|CapabilityBoundingSet)=.*\n", "", unit.read_text(), flags=re.MULTILINE))
    assert by_systemd("security", "--offline=true", f"--threshold={MOST_EXPOSED * 10:.0f}", unit)[0] != 0


def test_the_command_is_one_that_the_agent_takes() -> None:
    program, command, *options = shlex.split(setting("ExecStart"))
    assert (program, command) == ("/opt/smtpcheck/bin/smtpcheck", "run")
    shown = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    names = [option.partition("=")[0] for option in options]
    assert [name for name in names if not re.search(rf"(?<!\S){re.escape(name)}(?!\S)", shown)] == []
    assert f"--config.file=/etc/{setting('ConfigurationDirectory')}/checks.yaml" in options


def test_the_state_is_where_the_agent_keeps_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user without rights keeps it below $XDG_STATE_HOME; nothing else can be written."""
    variables = dict(each.split("=", 1) for each in setting("Environment").split())
    assert f"{variables['XDG_STATE_HOME']}/{setting('StateDirectory')}" == "/var/lib/smtpcheck"
    assert (setting("ProtectSystem"), setting("StateDirectoryMode")) == ("strict", "0700")
    assert not re.search("^ReadWritePaths=", UNIT, re.MULTILINE)


def test_the_user_is_made() -> None:
    kind, name, *_ = (FOLDER / "smtpcheck.sysusers").read_text().splitlines()[-1].split()
    assert (kind, name) == ("u", setting("User")) and setting("User") == setting("Group")


def test_a_secret_is_named_as_systemd_gives_it_to_the_service(tmp_path: Path) -> None:
    """systemd.exec(5), LoadCredential=: below /run/credentials and the name of the unit."""
    text = (FOLDER / "credentials.conf").read_text()
    (loaded,) = settings("LoadCredential", text)
    (source,) = re.findall(r"{file: .*?}", text)
    assert source == f"{{file: /run/credentials/smtpcheck.service/{loaded.partition(':')[0]}}}"
    (tmp_path / "checks.yaml").write_text(f"""
credentials:
  contoso: {{type: microsoft, tenant: contoso.onmicrosoft.com, client_id: {"0" * 8}-0000-0000-0000-000000000000,
            client_secret: {source}, client_secret_expires: 2099-03-01}}
checks:
  - {{name: billing, mailbox: billing@contoso.com, credential: contoso}}
""")
    loaded_settings = load([tmp_path / "checks.yaml"])
    assert loaded_settings.settings
    assert ["/run/credentials/smtpcheck.service" in str(each) for each in loaded_settings.problems] == [True]


def test_systemd_waits_for_the_end_of_the_agent() -> None:
    """For a reload, the runs by their default limits (20 s, and 10 s for a token), and messages being sent."""
    assert parse_duration(setting("TimeoutStopSec")) >= 2 * DRAIN_SECONDS + 20 + 10


def test_the_watchdog_is_slower_than_what_the_agent_bears() -> None:
    """A loop that stands still for a while is no reason for a restart."""
    assert parse_duration(setting("WatchdogSec")) > STALLED_SECONDS
    assert setting("Type") == "notify"


def test_no_memory_image_is_kept() -> None:
    """The watchdog ends the process by SIGABRT, and its memory has tokens in it."""
    assert setting("LimitCORE") == "0"


def test_every_file_is_installed_by_the_commands_in_the_head() -> None:
    head = UNIT.partition("[Unit]")[0]
    assert [path.name for path in FOLDER.iterdir() if path.name not in head] == []
