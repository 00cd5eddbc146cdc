"""Whom a client trusts: a CA file alone where one is configured, else the system's store."""

import ssl
import sys
from functools import lru_cache
from pathlib import Path

from smtpcheck.secrets.file_state import FileState, file_state, state_of


class CaUnusableError(Exception):
    """The CA file cannot be used. Says which file and why."""


def client_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a context that must not be changed, built once for each state of a CA file. Raises CaUnusableError.

    Blocks: building one costs some 20 ms.
    """
    try:
        return _context(ca_file, state_of(ca_file.stat()) if ca_file else _state_of_system_store())
    except ssl.SSLError:
        raise CaUnusableError(f"CA file {ca_file} has no certificate in PEM form") from None
    except OSError as error:
        raise CaUnusableError(f"CA file {ca_file} cannot be read ({(error.strerror or '').lower()})") from None


def own_context(ca_file: Path | None, *, verify: bool, certificate: str | tuple[str, str] | None) -> ssl.SSLContext:
    """Return a context of its own for a library that chooses: not to verify, or to show a certificate.

    Raises CaUnusableError. Blocks.
    """
    if verify and certificate is None:
        return client_context(ca_file)
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if certificate is not None:
            context.load_cert_chain(*((certificate,) if isinstance(certificate, str) else certificate))
    except OSError as error:
        raise CaUnusableError(f"a certificate file cannot be used ({(error.strerror or str(error)).lower()})") from None
    return context


def _state_of_system_store() -> tuple[FileState | None, ...]:
    """Return what changes when a CA is added to the system: no restart is needed for it."""
    store = ssl.get_default_verify_paths()
    return tuple(file_state(Path(path)) for path in (store.cafile, store.capath) if path)


@lru_cache(maxsize=64)
def _context(ca_file: Path | None, stamp: object) -> ssl.SSLContext:  # noqa: ARG001 - a part of the cache's key
    context = ssl.create_default_context(cafile=ca_file)
    store = ssl.get_default_verify_paths()
    if ca_file is None and sys.platform != "win32" and not (store.cafile or store.capath):
        from requests.utils import DEFAULT_CA_BUNDLE_PATH  # noqa: PLC0415 - a system without a store

        context.load_verify_locations(cafile=DEFAULT_CA_BUNDLE_PATH)
    return context
