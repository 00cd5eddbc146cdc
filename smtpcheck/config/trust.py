"""Whether a file of certificates can be trusted by: looked at when the configuration is loaded."""

import functools
import ssl
from pathlib import Path


def trouble_of_trust(file: str) -> str:
    """Return what is wrong with a file of certificates to trust, empty if nothing is."""
    try:
        found = Path(file).stat()
        _load_trust(file, (found.st_mtime_ns, found.st_size, found.st_ino))
    except ssl.SSLError:
        return "holds no certificate in PEM form"
    except (OSError, ValueError):
        return "cannot be read"
    return ""


@functools.lru_cache(maxsize=64)
def _load_trust(file: str, stamp: object) -> None:  # noqa: ARG001 - a part of the cache's key
    """Load the certificates as a connection will; thousands of checks name the same file."""
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
