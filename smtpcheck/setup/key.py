"""A key and its certificate for an application: made on the monitoring host, where the private part stays.

Rules of this file:
- The file is readable by its owner alone from its first octet on, and an existing one is never overwritten.
- What leaves this file is the public part.
"""

import base64
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from smtpcheck.oauth.certificate import KeyFile
from smtpcheck.oauth.public_proof import ProofUnreadableError, public_certificate
from smtpcheck.setup.plan import Proof, ProofKind, SetupError

_BITS = 3072
_VALID = timedelta(days=365)
_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class MadeKey:
    """What `--make-key` came to."""

    proof: Proof
    is_new: bool


def make_key(path: Path, now: datetime) -> MadeKey:
    """Write a new key with its certificate, valid for a year, to `path`; of an existing one take the certificate.

    Raises:
        SetupError: The file cannot be written, or exists and has no key with its certificate.
    """
    if path.exists():
        return MadeKey(proof_of(KeyFile(file=path)), is_new=False)
    content = _new_key(now)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise SetupError(f"{path} cannot be written ({(error.strerror or '').lower()})") from None
    return MadeKey(proof_of(KeyFile(file=path)), is_new=True)


def _new_key(now: datetime) -> bytes:
    key = generate_private_key(public_exponent=65537, key_size=_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "smtpcheck")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _VALID)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + certificate.public_bytes(Encoding.PEM)


def proof_of(key: KeyFile) -> Proof:
    """Return the public part of a key's file.

    Raises:
        SetupError: It cannot be read, or has no key with its certificate.
    """
    try:
        certificate = public_certificate(key)
    except ProofUnreadableError as error:
        raise SetupError(str(error)) from None
    return Proof(
        ProofKind.CERTIFICATE,
        certificate=base64.b64encode(certificate.public_bytes(Encoding.DER)).decode(),
        fingerprint=certificate.fingerprint(SHA256()).hex().upper(),
        thumbprint=certificate.fingerprint(SHA1()).hex().upper(),  # noqa: S303 - its name in Entra, no protection
        pem=certificate.public_bytes(Encoding.PEM).decode().strip(),
        expires=f"{certificate.not_valid_after_utc.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
    )
