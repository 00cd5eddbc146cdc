"""The wheel and the source distribution: complete, alike, and installed in a clean environment."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from smtpcheck import __version__

ROOT = Path(__file__).parent.parent
SOURCES = ("smtpcheck", "tests", "dashboards", "docs")
"""Folders that a source distribution has as a whole."""
NOT_DISTRIBUTED = {".ci", ".git", ".github", ".hypothesis", ".venv", ".venv-lowest", "__pycache__", "build", "dist"}


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command and return what it printed; it fails the test when it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_"))}
    done = subprocess.run(
        command, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def built_wheel(source: Path, folder: Path) -> Path:
    """Return the wheel of a tree, or of a source distribution."""
    run(
        sys.executable, "-m", "pip", "--isolated", "wheel", "--quiet", "--no-index", "--no-deps",
        "--no-build-isolation", "--wheel-dir", folder, source, cwd=folder,
    )  # fmt: skip
    (built,) = folder.glob("*.whl")
    return built


def content(wheel: Path) -> dict[str, bytes]:
    """Return the files of a wheel by name."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the source distribution of this tree."""
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", folder, cwd=ROOT)
    (built,) = folder.glob("*.tar.gz")
    return built


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel that is built from the source distribution."""
    return built_wheel(sdist, tmp_path_factory.mktemp("wheel"))


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
    held = {name for name in content(wheel) if not name.startswith(f"smtpcheck-{__version__}.dist-info/")}
    assert held == expected


def test_the_wheel_of_the_tree_is_that_of_the_source_distribution(wheel: Path, tmp_path: Path) -> None:
    assert content(built_wheel(ROOT, tmp_path)) == content(wheel)


def test_the_source_distribution_holds_what_it_is_built_and_tested_from(sdist: Path) -> None:
    """Everything that is under version control but what belongs to the place where it is developed."""
    with tarfile.open(sdist) as archive:
        names = {str(PurePosixPath(*PurePosixPath(member.name).parts[1:])) for member in archive if member.isfile()}
    sources = {
        path.relative_to(ROOT).as_posix()
        for folder in SOURCES
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and not NOT_DISTRIBUTED & set(path.parts)
    }
    assert {"CHANGELOG.md", "LICENSE", "Makefile", "README.md", "checks.example.yaml", "pyproject.toml"} <= names
    assert {name for name in names if PurePosixPath(name).parts[0] in SOURCES} == sources
    assert {name for name in names if NOT_DISTRIBUTED & set(PurePosixPath(name).parts)} == set()


def test_the_installed_command_says_its_version(environment: Path, tmp_path: Path) -> None:
    said = run(environment / "bin" / "smtpcheck", "--version", cwd=tmp_path).splitlines()
    assert said[0] == f"smtpcheck {__version__}"


def test_the_installed_package_is_the_one_that_runs(environment: Path, tmp_path: Path) -> None:
    said = run(
        environment / "bin" / "python", "-c", "import smtpcheck; print(smtpcheck.__file__)", cwd=tmp_path
    ).strip()
    assert Path(said).is_relative_to(environment)


def test_the_installed_demo_passes(environment: Path, tmp_path: Path) -> None:
    assert "healthy" in run(environment / "bin" / "smtpcheck", "demo", "--once", cwd=tmp_path)
