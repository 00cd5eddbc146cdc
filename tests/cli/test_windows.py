"""What runs on Windows too needs nothing that Python has on POSIX systems alone.

`windows.py` runs a command as it would run there; a change of what smtpcheck imports or calls shows here.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.docs.site import Site

WINDOWS = Path(__file__).with_name("windows.py")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site")) as site:
        yield site


def on_windows(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of smtpcheck to its end."""
    environment = {"PYTHONPATH": str(ROOT), "COLUMNS": "80", "NO_COLOR": "1", "LOCALAPPDATA": str(cwd)}
    command = [sys.executable, str(WINDOWS), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, cwd=cwd, check=False)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--version",), 0, "smtpcheck "),
        (("--help",), 0, "Usage: smtpcheck"),
        (("check", "billing", "-c", "checks.yaml"), 0, "billing"),
        (("check", "invoices", "-c", "checks.yaml"), 2, "smtp_auth_disabled_tenant"),
        (("check", "delivery", "--loopback", "-c", "checks.yaml"), 0, "delivery"),
        (("doctor", "billing", "-c", "checks.yaml"), 1, "access token"),
        (("inspect", "contoso", "-c", "checks.yaml"), 0, "contoso"),
        (("explain", "535 5.7.139 SmtpClientAuthentication is disabled for the Tenant"), 0, "tenant"),
        (("validate", "-c", "checks.yaml"), 0, "requests"),
        (("schema",), 0, "properties"),
        (("login", "anna", "-c", "checks.yaml"), 0, "anna"),
        (("setup", "-c", "checks.yaml"), 0, "New-ServicePrincipal"),
        (("report", "-c", "checks.yaml"), 0, "100.000%"),
        (("backup", "-c", "checks.yaml", "--output", "backup.tar"), 0, "backed up: state.db"),
        (("notify-test", "-c", "checks.yaml"), 0, "log"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_command_runs_on_windows(arguments: Sequence[str], code: int, said: str, site: Site, tmp_path: Path) -> None:
    site.folder_for(["smtpcheck", *arguments], tmp_path)
    done = on_windows(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("command", "instead"), [("run", "use smtpcheck check there, or the container image"), ("demo", "--once does")]
)
def test_an_agent_does_not_and_says_what_does(command: str, instead: str, tmp_path: Path) -> None:
    done = on_windows(command, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("smtpcheck: the agent does not run on Windows; ")
    assert done.stderr.endswith(f"{instead}\n")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("import fcntl", "ModuleNotFoundError: No module named 'fcntl' on Windows"),
        ("from os import getuid", "ImportError"),
        ("import os; os.getuid()", "AttributeError: module 'os' has no attribute 'getuid' on Windows"),
        ("import sys; assert sys.platform != 'win32'", "AssertionError"),
    ],
)
def test_what_windows_lacks_is_missed(text: str, error: str, tmp_path: Path) -> None:
    """The view itself: of our modules, and of no other."""
    (tmp_path / "smtpcheck").mkdir()
    (tmp_path / "smtpcheck" / "__init__.py").write_text(text + "\n")
    program = f"import sys; sys.path[:0] = {json.dumps([str(tmp_path), str(WINDOWS.parent)])}\n"
    program += "import windows\nwindows.install()\nimport fcntl, os, sys; os.getuid()\nimport smtpcheck\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert error in done.stderr
