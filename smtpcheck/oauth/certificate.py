"""A client certificate: the key that signs the assertion (RFC 7523), and the certificate that names it.

Rules of this file:
- One file, PEM or PFX; what it is shows in its content. Of a chain, the certificate that belongs to the key counts.
- What goes wrong is reported by the file's name, never by anything of its content.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates
from cryptography.x509 import Certificate, load_pem_x509_certificate
from pydantic import BaseModel, ConfigDict, Field

from smtpcheck.oauth.kept_key import PARSING
from smtpcheck.secrets.secret import Secret
from smtpcheck.secrets.source import ConfiguredPath, SecretSource


class KeyFile(BaseModel):
    """A key, with its certificate where one is registered."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    file: ConfiguredPath = Field(description="PEM, or PFX with a certificate.")
    passphrase: SecretSource | None = Field(default=None, description="The key's passphrase.")


SigningKey = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey

_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_SECTION = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)


class CertificateUnusableError(Exception):
    """The file cannot be used to sign. Says which file and why."""


@dataclass(frozen=True, slots=True)
class ClientKey:
    """A key and its certificate, ready to sign."""

    private_key: RSAPrivateKey = field(repr=False)
    certificate: str
    """The key's own certificate, as PEM."""
    fingerprint: str
    """SHA-256 of the certificate's DER form, hex."""
    not_after: float
    """When the certificate expires (Unix seconds)."""


def load_client_key(path: Path, passphrase: Secret | None) -> ClientKey:
    """Read a key and its certificate. Blocks on the file.

    Raises:
        CertificateUnusableError: The file cannot be read, has no RSA key or not its certificate, or the passphrase is
            missing or wrong.
    """
    key, own = _client_key(path, passphrase)
    return ClientKey(
        private_key=key,
        certificate=own.public_bytes(Encoding.PEM).decode(),
        fingerprint=own.fingerprint(SHA256()).hex(),
        not_after=own.not_valid_after_utc.timestamp(),
    )


def load_public_certificate(path: Path, passphrase: Secret | None) -> Certificate:
    """Read the certificate of a key, and nothing of the key. Blocks on the file.

    Raises:
        CertificateUnusableError: As `load_client_key`.
    """
    return _client_key(path, passphrase)[1]


def _client_key(path: Path, passphrase: Secret | None) -> tuple[RSAPrivateKey, Certificate]:
    key, certificates = _contents(path, passphrase)
    if not isinstance(key, RSAPrivateKey):
        raise CertificateUnusableError(f"{path} has no RSA key")
    own = next((found for found in certificates if found.public_key() == key.public_key()), None)
    if own is None:
        raise CertificateUnusableError(f"{path} has no certificate that matches its key")
    return key, own


def load_signing_key(path: Path, passphrase: Secret | None) -> tuple[SigningKey, str]:
    """Read a key, with or without a certificate, and the algorithm it signs with (RFC 7518 3.1). Blocks on the file.

    Raises:
        CertificateUnusableError: The file cannot be read or holds no key that can sign, or the passphrase is missing or
            wrong.
    """
    key, _ = _contents(path, passphrase)
    match key:
        case RSAPrivateKey():
            return key, "RS256"
        case Ed25519PrivateKey():
            return key, "EdDSA"
        case EllipticCurvePrivateKey() if key.curve.name in _CURVES:
            return key, _CURVES[key.curve.name]
    raise CertificateUnusableError(f"{path} has no RSA, EC or Ed25519 key")


def _contents(path: Path, passphrase: Secret | None) -> tuple[object, list[Certificate]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CertificateUnusableError(f"{path} cannot be read ({(error.strerror or '').lower()})") from None
    secret = passphrase.reveal().encode() if passphrase else None
    try:
        with PARSING:
            return _pem(content, secret) if b"-----BEGIN" in content else _pfx(content, secret)
    except (ValueError, TypeError) as error:
        raise CertificateUnusableError(f"{path} {_reason(error, given=secret is not None)}") from None
    except UnsupportedAlgorithm:
        raise CertificateUnusableError(f"{path} has a format that cannot be read") from None


def _pem(content: bytes, passphrase: bytes | None) -> tuple[object, list[Certificate]]:
    sections = [(match[1], match[0]) for match in _SECTION.finditer(content)]
    key = next((section for label, section in sections if label.endswith(b"PRIVATE KEY")), None)
    if key is None:
        return None, []
    certificates = [load_pem_x509_certificate(section) for label, section in sections if label == b"CERTIFICATE"]
    encrypted = b"ENCRYPTED" in key
    return load_pem_private_key(key, passphrase if encrypted else None), certificates


def _pfx(content: bytes, passphrase: bytes | None) -> tuple[object, list[Certificate]]:
    key, certificate, others = load_key_and_certificates(content, passphrase)
    return key, [found for found in (certificate, *others) if found is not None]


def _reason(error: ValueError | TypeError, *, given: bool) -> str:
    if isinstance(error, TypeError) or "password" in str(error).lower():
        return "cannot be opened with this passphrase" if given else "needs a passphrase"
    return "is neither PEM nor PFX with a key that can be read"
