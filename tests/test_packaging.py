"""The wheel: built, installed in a clean environment, and complete."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from smtpcheck import __version__

ROOT = Path(__file__).parent.parent


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command and return what it printed; it fails the test when it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_"))}
    done = subprocess.run(
        command, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    run(
        sys.executable, "-m", "pip", "--isolated", "wheel", "--quiet", "--no-index", "--no-deps",
        "--no-build-isolation", "--wheel-dir", folder, ROOT, cwd=folder,
    )  # fmt: skip
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a new environment with the wheel in it; its dependencies are those of this environment."""
    folder = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    venv: Path = folder / "venv"
    run(
        sys.executable, "-m", "pip", "--isolated", "--python", venv / "bin" / "python",
        "install", "--quiet", "--no-index", "--no-deps", wheel, cwd=folder,
    )  # fmt: skip
    (packages,) = venv.glob("lib/python*/site-packages")
    # Files named here do not have their own .pth lines followed, so this tree's editable install stays out.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return venv


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "smtpcheck").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not name.startswith(f"smtpcheck-{__version__}.dist-info/")}
    assert held == expected


def test_the_installed_command_says_its_version(environment: Path, tmp_path: Path) -> None:
    assert run(environment / "bin" / "smtpcheck", "--version", cwd=tmp_path) == f"smtpcheck {__version__}\n"


def test_the_installed_package_is_the_one_that_runs(environment: Path, tmp_path: Path) -> None:
    said = run(
        environment / "bin" / "python", "-c", "import smtpcheck; print(smtpcheck.__file__)", cwd=tmp_path
    ).strip()
    assert Path(said).is_relative_to(environment)


def test_the_installed_demo_passes(environment: Path, tmp_path: Path) -> None:
    assert "healthy" in run(environment / "bin" / "smtpcheck", "demo", "--once", cwd=tmp_path)
