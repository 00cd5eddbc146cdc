"""Access tokens of the sandbox: signed JWTs (RFC 7519, RS256) with the claims of an Entra v1.0 token, or opaque ones.

Rules of this file:
- Personal accounts get tokens that say nothing to their bearer; the claims lie in them encrypted.
- The issuer signs and the SMTP server verifies with the same key; nothing here knows HTTP or SMTP.
- The header says `typ: JWT`, as Entra does and as Dovecot 2.3 demands.
"""

import base64
import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping

import jwt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_OPAQUE = "EwB"
_OPAQUE_PADDING = 400
_NONCE = 12


class SigningKey:
    """One RSA key with the JWTs that it signs."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._seal = AESGCM(AESGCM.generate_key(256))
        self.public_pem: str = (
            self._key.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )
        digest = hashlib.sha256(self.public_pem.encode()).digest()
        self.kid: str = base64.b32encode(digest[:15]).decode()

    @property
    def jwk(self) -> dict[str, object]:
        """Return the public key as an entry of a JWK set (RFC 7517)."""
        members = jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {**members, "use": "sig", "alg": "RS256", "kid": self.kid}

    def sign(self, claims: Mapping[str, object]) -> str:
        """Return the claims as a signed JWT."""
        return jwt.encode(dict(claims), self._key, "RS256", {"kid": self.kid, "x5t": self.kid})

    def seal(self, claims: Mapping[str, object]) -> str:
        """Return the claims as an opaque token, as a personal account gets it."""
        nonce = os.urandom(_NONCE)
        content = json.dumps({**claims, "padding": os.urandom(_OPAQUE_PADDING).hex()}).encode()
        return _OPAQUE + base64.b64encode(nonce + self._seal.encrypt(nonce, content, None)).decode()

    def verify(self, token: str, audiences: Iterable[str]) -> Mapping[str, object] | None:
        """Return the token's claims; None unless signature, times and audience hold."""
        if token.startswith(_OPAQUE):
            return self._open(token, frozenset(audiences))
        try:
            claims: dict[str, object] = jwt.decode(
                token,
                self.public_pem,
                algorithms=["RS256"],
                audience=list(audiences),
                options={"require": ["exp", "nbf", "aud", "iss"]},
            )
        except jwt.InvalidTokenError:
            return None
        return claims

    def _open(self, token: str, audiences: frozenset[str]) -> Mapping[str, object] | None:
        try:
            sealed = base64.b64decode(token.removeprefix(_OPAQUE), validate=True)
            claims: dict[str, object] = json.loads(self._seal.decrypt(sealed[:_NONCE], sealed[_NONCE:], None))
        except (ValueError, InvalidTag):
            return None
        end = claims["exp"]
        in_time = isinstance(end, int) and time.time() < end
        return claims if in_time and claims["aud"] in audiences else None
