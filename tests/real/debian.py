"""A fresh Debian in a folder, by debootstrap: what a reader has who begins with nothing.

Rules of this file:
- Where packages come from is this machine's affair: the mirror is debootstrap's own, and pip's settings, proxies and
  certificate authorities are handed in. Nothing of them is stored in the project.
- Commands run as root in the folder by chroot, without this machine's environment.
- It is kept in memory where there is room: dpkg waits for the disk after each file, and a disk takes minutes.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.daemon import need_root, real_binary

AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
MEMORY = Path("/dev/shm")
ROOM = 6 * 2**30
PIP_SETTINGS = Path("/etc/pip.conf")
MINUTES = 15
"""What takes longer is considered hanging."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def need_patience() -> None:
    """Skip what takes minutes, and a network, unless everything is asked for."""
    if os.environ.get("SMTPCHECK_REQUIRE_REAL") != "1":
        pytest.skip("takes minutes and downloads Debian: SMTPCHECK_REQUIRE_REAL=1 runs it")


def run(*command: str | Path, cwd: Path | None = None, environment: Mapping[str, str] | None = None) -> str:
    """Run a command and return what it printed, errors too; it fails the test when it fails."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=None if environment is None else dict(environment),
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=MINUTES * 60,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout[-8000:]}"
    return done.stdout


def downloading() -> dict[str, str]:
    """Return the variables by which this machine's pip finds its packages."""
    wanted = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    wanted |= {name: value for name, value in os.environ.items() if name in {"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"}}
    return wanted | ({"PIP_CERT": str(AUTHORITIES)} if AUTHORITIES.exists() else {})


def place() -> Path | None:
    """Return where large folders are quickly written; None is where temporary files belong."""
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM else None


@dataclass(frozen=True)
class Debian:
    """A Debian with nothing but what it was asked for."""

    root: Path

    def run(self, script: str, *, folder: str = "/") -> str:
        """Run a shell script as root in it, and return what it printed."""
        chroot = real_binary("chroot")
        environment = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", **downloading()}
        return run(*(chroot, self.root, "/bin/sh", "-euc", f'cd "$1"; {script}', "sh", folder), environment=environment)

    def copy(self, root: Path) -> "Debian":
        """Return another one like it, that can download: it has this machine's name servers and authorities."""
        run("cp", "--archive", self.root, root)
        for path in (Path("/etc/resolv.conf"), Path("/etc/hosts"), PIP_SETTINGS, AUTHORITIES):
            if path.exists():
                shutil.copyfile(path, root / path.relative_to("/"))
        return Debian(root)


def bootstrap(release: str, packages: str, root: Path) -> Debian:
    """Make a minimal Debian of a release, with some packages, in an empty folder."""
    need_root("debootstrap")
    run(real_binary("debootstrap"), "--variant=minbase", f"--include={packages}", release, root)
    return Debian(root)


def copy_project(source: Path, into: Path) -> None:
    """Copy what git keeps of the project, as a clone would have it, changes included."""
    names = run("git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", cwd=source).split("\0")
    for name in filter(None, names):
        if (source / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, into / name)
