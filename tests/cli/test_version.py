"""`smtpcheck --version` says what a bug report needs, and starts without the heavy libraries."""

import platform
import ssl
import subprocess
import sys
from importlib.metadata import version

from smtpcheck import __version__
from smtpcheck.cli import main


def test_the_version_comes_first_and_then_what_it_runs_on() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "smtpcheck", "--version"], capture_output=True, text=True, check=True
    ).stdout
    first, second, third = said.splitlines()
    assert first == f"smtpcheck {__version__}"
    openssl = " ".join(ssl.OPENSSL_VERSION.split()[:2])
    assert second.startswith(f"Python {platform.python_version()}, {openssl}, {platform.system()} ")
    assert f"msal {version('msal')}" in third.split(", ")
    assert main(["--version"]) == 0


def test_no_library_is_imported_to_say_its_version() -> None:
    script = (
        "import sys; from smtpcheck.cli import main; main(['--version']); "
        "print(sorted({'msal', 'aiohttp'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == "[]"
