"""TLS: contexts, the meaning of a failed handshake, and what a session says.

Rules of this file:
- One context per distinct setting, built once: `ssl.create_default_context()` reads the system's store and takes about
  25 ms, far more than a whole check.
- Verification is always on. The one context without it serves only to read a certificate that has just failed.
- Full handshakes, no resumption: a monitor must see the certificate each time.
"""

import functools
import ssl
from collections.abc import Iterable

from msgspec import structs

from smtpcheck.model.check import Security, Server
from smtpcheck.model.report import Fault, FaultKind, TlsFacts
from smtpcheck.network.certificate import certificate_facts, facts_by_openssl

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

_VERIFY_KINDS = {
    9: FaultKind.TLS_EXPIRED,  # X509_V_ERR_CERT_NOT_YET_VALID
    10: FaultKind.TLS_EXPIRED,  # X509_V_ERR_CERT_HAS_EXPIRED
    62: FaultKind.TLS_HOSTNAME,  # X509_V_ERR_HOSTNAME_MISMATCH
    64: FaultKind.TLS_HOSTNAME,  # X509_V_ERR_IP_ADDRESS_MISMATCH
}

_REASON_KINDS = {
    "UNSUPPORTED_PROTOCOL": FaultKind.TLS_VERSION,
    "TLSV1_ALERT_PROTOCOL_VERSION": FaultKind.TLS_VERSION,
    "NO_PROTOCOLS_AVAILABLE": FaultKind.TLS_VERSION,
    "WRONG_SSL_VERSION": FaultKind.TLS_VERSION,
    "WRONG_VERSION_NUMBER": FaultKind.TLS_NOT_SPOKEN,
    "UNKNOWN_PROTOCOL": FaultKind.TLS_NOT_SPOKEN,
    "HTTP_REQUEST": FaultKind.TLS_NOT_SPOKEN,
    "PACKET_LENGTH_TOO_LONG": FaultKind.TLS_NOT_SPOKEN,
    "RECORD_LAYER_FAILURE": FaultKind.TLS_NOT_SPOKEN,
}

VERIFICATION_FAILED = frozenset({FaultKind.TLS_UNTRUSTED, FaultKind.TLS_HOSTNAME, FaultKind.TLS_EXPIRED})


class TlsContexts:
    """The contexts of a configuration's servers."""

    __slots__ = ("_verified", "unverified")

    def __init__(self, servers: Iterable[Server]) -> None:
        """Build them; blocks, so call it in a thread.

        Raises `OSError` (`ssl.SSLError` is one) if a server's `ca_file` cannot be read or holds no certificate.
        """
        settings = {_setting(server) for server in servers if server.security is not Security.NONE}
        self._verified = {setting: _verifying_context(*setting) for setting in settings}
        self.unverified = _reading_context()

    def verified(self, server: Server) -> ssl.SSLContext:
        """Return the context of a server that was given at construction; `KeyError` for any other."""
        return self._verified[_setting(server)]


def _setting(server: Server) -> tuple[str | None, str]:
    return server.ca_file, server.min_tls


def _verifying_context(ca_file: str | None, min_tls: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = _VERSIONS[min_tls]
    return context


def _reading_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def handshake_fault(error: OSError) -> Fault:
    """Return why a TLS handshake ended without a session."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Fault(_VERIFY_KINDS.get(error.verify_code, FaultKind.TLS_UNTRUSTED), error.verify_message)
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        return Fault(_REASON_KINDS.get(reason, FaultKind.TLS_HANDSHAKE), reason or str(error))
    if isinstance(error, ConnectionResetError) and error.errno is None:
        return Fault(FaultKind.CLOSED, "the server closed the connection during the handshake")
    if isinstance(error, ConnectionError):
        return Fault(FaultKind.RESET, str(error))
    return Fault(FaultKind.OS, str(error))


def tls_facts(session: ssl.SSLObject, *, verified: bool) -> TlsFacts:
    """Return what a session says of itself."""
    cipher = session.cipher()
    der = session.getpeercert(binary_form=True)
    facts = _facts(session.version() or "", cipher[0] if cipher else "", der, verified)
    if der is None or facts.certificate is not None:
        return facts
    return structs.replace(facts, certificate=facts_by_openssl(der, session.getpeercert() or {}))


@functools.lru_cache(maxsize=512)
def _facts(version: str, cipher: str, der: bytes | None, verified: bool) -> TlsFacts:
    return TlsFacts(version, cipher, certificate_facts(der, verified=verified) if der else None)
