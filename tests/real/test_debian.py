"""The README's commands, in Debian 12 and Debian 13 as they are after their installation, and the image built on 13.

The image is built by buildah from the Dockerfile, and run by podman where the kernel lets it; elsewhere its processes
run by buildah in a chroot, with the image's user and files but without a read-only root.
"""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

from smtpcheck import __version__
from tests.docs.documents import ROOT, blocks
from tests.real.daemon import need_root, real_binary
from tests.real.debian import AUTHORITIES, PIP_SETTINGS, Debian, bootstrap, copy_project, need_patience, place, run

RELEASES = {"bookworm": "3.11", "trixie": "3.13"}
"""Each with its Python."""
NEEDED = "python3,python3-venv,make"
"""As the README says."""
SECRET = "a-secret-that-must-not-be-in-the-image"
IMAGE, BASE = "localhost/smtpcheck", "localhost/smtpcheck-base"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Return a folder for all that is large."""
    need_patience()
    need_root("debootstrap")
    path = Path(tempfile.mkdtemp(prefix="smtpcheck-debian-", dir=place()))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def fresh(folder: Path) -> Callable[[str], Debian]:
    """Return a maker of Debians by release, each made once: whoever changes one takes a copy."""
    return cache(lambda release: bootstrap(release, f"ca-certificates,{NEEDED}", folder / f"fresh-{release}"))


@pytest.fixture(params=RELEASES)
def debian(request: pytest.FixtureRequest, fresh: Callable[[str], Debian], folder: Path) -> Debian:
    """Return a fresh Debian with the project in /src."""
    made = fresh(request.param).copy(folder / request.param)
    copy_project(ROOT, made.root / "src")
    return made


def test_the_readmes_commands_work_in_a_fresh_debian(debian: Debian) -> None:
    """The demo by make, then the installation and what it has to say of itself and of an error."""
    release = debian.root.name
    said = debian.run("make demo ARGS=--once", folder="/src")
    assert said.rstrip().endswith("checks: all as expected")
    installing = [block.text for block in blocks("sh") if block.file == "README.md" and "pip install ." in block.text]
    assert len(installing) == 1
    debian.run(installing[0], folder="/src")
    version = debian.run("smtpcheck --version")
    assert version.startswith(f"smtpcheck {__version__}\n")
    assert f"Python {RELEASES[release]}." in version
    explained = debian.run('smtpcheck explain "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is '
                           'disabled for the Tenant" || [ $? = 2 ]')  # fmt: skip
    assert "smtp_auth_disabled_tenant" in explained


@dataclass(frozen=True)
class Image:
    """The container image, and the storage that has it."""

    storage: Path

    @cached_property
    def options(self) -> tuple[str, ...]:
        """Where buildah and podman keep images and containers."""
        return ("--root", str(self.storage / "root"), "--runroot", str(self.storage / "run"))

    def buildah(self, *arguments: str | Path) -> str:
        return run(real_binary("buildah"), *self.options, *arguments)

    @cached_property
    def starts_containers(self) -> bool:
        """Whether podman may start a container here."""
        return self._podman("--version").returncode == 0

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run the image with arguments of `smtpcheck`; return the exit code and what was printed."""
        if self.starts_containers:
            done = self._podman(*arguments)
            return done.returncode, done.stdout
        container = self.buildah("from", "--pull-never", IMAGE).strip()
        command = (*self.options, "run", "--isolation", "chroot", container, "--", "smtpcheck", *arguments)
        done = subprocess.run(
            (real_binary("buildah"), *command), text=True, capture_output=True, timeout=300, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def _podman(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the image as the README has it: read-only, without capabilities."""
        command = (
            *(real_binary("podman"), *self.options, "--tmpdir", str(self.storage / "tmp")),
            *("--storage-driver", "overlay", "--runtime", real_binary("runc"), "--cgroup-manager", "cgroupfs"),
            *("run", "--rm", "--pull", "never", "--network", "host", "--no-healthcheck"),
            *("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"),
            *("--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges"),
            *(IMAGE, *arguments),
        )
        return subprocess.run(
            command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False
        )


@pytest.fixture(scope="module")
def image(fresh: Callable[[str], Debian], folder: Path) -> Image:
    """Return the image as buildah builds it from the Dockerfile, on a base made by debootstrap."""
    made = Image(folder / "storage")
    container = made.buildah("from", "scratch").strip()
    made.buildah("add", "--quiet", container, fresh("trixie").root, "/")
    made.buildah("commit", "--quiet", "--rm", container, BASE)
    settings = folder / "pip.conf"
    settings.write_text(PIP_SETTINGS.read_text() if PIP_SETTINGS.exists() else "[global]\n")
    settings.write_text(f"{settings.read_text()}# {SECRET}\n")
    context = folder / "context"
    copy_project(ROOT, context)
    authorities = ("--volume", f"{AUTHORITIES}:{AUTHORITIES}:ro") if AUTHORITIES.exists() else ()
    made.buildah(
        *("build", "--isolation", "chroot", "--network", "host", "--format", "docker", "--build-arg", f"BASE={BASE}"),
        *(*authorities, "--secret", f"id=pip,src={settings}", "--tag", IMAGE, context),
    )
    return made


def test_the_image_says_what_it_is(image: Image) -> None:
    """By what the Dockerfile sets; it runs as nobody's user, without pip, and without what pip was given."""
    described = json.loads(image.buildah("inspect", "--type", "image", IMAGE))["Docker"]["config"]
    assert described["User"] == "65532:65532"
    assert described["Entrypoint"] == ["/opt/smtpcheck/bin/smtpcheck"]
    assert described["Labels"]["org.opencontainers.image.title"] == "smtpcheck"
    assert described["ExposedPorts"] == {"9587/tcp": {}}
    assert described["Healthcheck"]["Test"][0] == "CMD"
    container = image.buildah("from", "--pull-never", IMAGE).strip()
    mounted = Path(image.buildah("mount", container).strip())
    try:
        assert not (mounted / "opt/smtpcheck/bin/pip").exists()
        assert not (mounted / "etc/pip.conf").exists()
        assert not (mounted / "src").exists()
        found = subprocess.run(["grep", "-rlF", SECRET, mounted], capture_output=True, text=True, check=False)
        assert found.stdout == ""
        assert (mounted / "var/lib/smtpcheck").stat().st_uid == 65532
    finally:
        image.buildah("umount", container)
        image.buildah("rm", container)


def test_the_image_runs(image: Image) -> None:
    """Its version, with an OpenSSL that is quick at handshakes, and a whole demo: nothing but its state is written."""
    code, said = image.run("--version")
    assert (code, said.partition("\n")[0]) == (0, f"smtpcheck {__version__}")
    openssl = re.search(r"OpenSSL (\d+)\.(\d+)", said)
    assert openssl and (int(openssl[1]), int(openssl[2])) >= (3, 5)
    code, said = image.run("demo", "--once")
    assert code == 0, said
    assert said.rstrip().endswith("checks: all as expected")


def test_the_images_own_command_needs_a_configuration_and_says_so(image: Image) -> None:
    code, said = image.run("run", "--config.file=/etc/smtpcheck/checks.yaml")
    assert code == 1
    assert "/etc/smtpcheck/checks.yaml" in said
