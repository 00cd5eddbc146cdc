"""`smtpcheck --version`: the version, and what it runs on, for a bug report or a question about a handshake."""

import platform
import ssl
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from smtpcheck import __version__

_LIBRARIES = (
    "aiohttp", "apscheduler", "cryptography", "google-auth", "h11", "msal", "prometheus-client", "uvloop",
)  # fmt: skip
"""Those that speak to servers and issuers, or decide when; uvloop is absent on Windows."""


def describe() -> str:
    """Return three lines: smtpcheck's version; Python, OpenSSL and the system; the libraries."""
    openssl = " ".join(ssl.OPENSSL_VERSION.split()[:2])
    system = f"{platform.system()} {platform.machine()}"
    python = f"{platform.python_implementation().replace('CPython', 'Python')} {platform.python_version()}"
    return "\n".join(
        (
            f"smtpcheck {__version__}",
            f"{python}, {openssl}, {system}",
            ", ".join(_libraries()),
        )
    )


def _libraries() -> Iterator[str]:
    for name in _LIBRARIES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
