"""An issuer's key and the access tokens that it signs, good ones and bad ones, for servers that verify them."""

import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from smtpcheck.secrets.secret import Secret

ISSUER = "https://issuer.test/tenant"
AUDIENCE = "smtp"
SCOPE = "mail"


class Signer:
    """One RSA key. `mint` makes a good token; each argument makes it bad in one way, or long."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._foreign_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.public_pem = (
            self._key.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )

    def mint(
        self,
        mailbox: str,
        *,
        audience: str = AUDIENCE,
        issuer: str = ISSUER,
        lifetime: float = 3600,
        forged: bool = False,
        without_name: bool = False,
        size: int = 0,
    ) -> Secret:
        """Return a signed JWT of at least `size` characters (at most 3 more).

        A token for another audience has that one's scope too: not every Dovecot 2.3 looks at the audience of a token
        whose scope is right.
        """
        now = int(time.time())
        claims = {
            "iss": issuer,
            "aud": audience,
            "scope": SCOPE if audience == AUDIENCE else audience,
            "email": mailbox,
            "sub": mailbox,
            "iat": now - 60,
            "nbf": now - 60,
            "exp": int(now + lifetime),
        }
        if without_name:
            del claims["email"]
        key = self._foreign_key if forged else self._key
        token = _sign(claims, key)
        if len(token) < size:
            missing = size - len(_sign({**claims, "pad": ""}, key))
            token = _sign({**claims, "pad": "x" * (missing * 3 // 4 + 1)}, key)
        return Secret(token)


def _sign(claims: dict[str, object], key: rsa.RSAPrivateKey) -> str:
    return jwt.encode(claims, key, "RS256", {"typ": "JWT"})


def trust(keys: Path, public_pem: str, *, kid: str = "default", azp: str = "default") -> None:
    """Store a public key where Dovecot's local validation looks for it: by `azp`, algorithm and `kid`."""
    path = keys / azp / "RS256" / kid
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(public_pem)
