"""What is public about the proof of an application: its certificate, and what an assertion says of itself.

Rule of this file: no key, no secret and no assertion leaves it, and no command is run.
"""

from collections.abc import Mapping

from cryptography.x509 import Certificate

from smtpcheck.oauth.certificate import CertificateUnusableError, KeyFile, load_public_certificate
from smtpcheck.oauth.claims import token_facts
from smtpcheck.secrets.source import SecretSource, SecretUnreadableError


class ProofUnreadableError(Exception):
    """The proof cannot be read here. Says which and why, and nothing of its content."""


def public_certificate(key: KeyFile) -> Certificate:
    """Return the certificate of a key. Blocks on its file.

    Raises:
        ProofUnreadableError: The file or its passphrase cannot be read, or it has no key with its certificate.
    """
    if key.passphrase is not None and key.passphrase.command is not None:
        raise ProofUnreadableError(f"the passphrase of {key.file} comes from a command, which is not run for this")
    try:
        return load_public_certificate(key.file, key.passphrase.read() if key.passphrase else None)
    except (CertificateUnusableError, SecretUnreadableError) as error:
        raise ProofUnreadableError(str(error)) from None


def assertion_claims(source: SecretSource) -> Mapping[str, object]:
    """Return what an assertion says of itself, unverified; empty where it is not a JWT. Blocks on its file.

    Raises:
        ProofUnreadableError: It cannot be read here, or comes from a command.
    """
    if source.command is not None:
        raise ProofUnreadableError("the assertion comes from a command, which is not run for this")
    try:
        return token_facts(source.read(), scope="", acquired_at=0.0, expires_at=None).claims
    except SecretUnreadableError as error:
        raise ProofUnreadableError(str(error)) from None
