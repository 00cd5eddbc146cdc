"""Basic authentication (RFC 7617) against bcrypt hashes, and the headers that the operator adds.

Rules of this file:
- The work is the same for a user that does not exist: a fixed hash is compared, so that time tells no names.
- A password that was right is remembered by its digest under a key of this process, so that a scrape each second costs
  no bcrypt each; a wrong one is never remembered. A changed hash is another entry.
- bcrypt is slow by intent: it runs off the event loop, and no more than two at a time.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from smtpcheck.web.web_config import WebConfig

_NOBODY = "$2b$10$vI8aWBnW3fID.ZQ4/zo1G.q1lRps.9cGLcZEiGDMVr5yUP1KUOYTa"
"""A well-formed hash of no password in use: what an unknown user is compared with."""
_REMEMBERED = 1000
_BCRYPT_OCTETS = 72
"""bcrypt reads no more of a password."""


class Guard:
    """Admits requests by the web configuration that is in force."""

    def __init__(self, config: Callable[[], WebConfig] = WebConfig) -> None:
        """Take what returns the web configuration in force; without it nobody is asked for a password."""
        self._config = config
        self._key = secrets.token_bytes(32)
        self._right: dict[bytes, None] = {}
        self._slots = asyncio.Semaphore(2)

    @property
    def authenticates(self) -> bool:
        """Return whether a request needs a user and password or a client certificate."""
        return self._config().authenticates

    def allows_certificate(self, certificate: Mapping[str, Any]) -> bool:
        """Return whether the client's verified certificate bears a name that is allowed; True if any is."""
        tls = self._config().tls
        if tls is None or not tls.allowed_sans:
            return True
        return any(name in tls.allowed_sans for _, name in certificate.get("subjectAltName", ()))

    def headers(self) -> Mapping[str, str]:
        """Return the headers that the operator adds to every answer."""
        return self._config().headers

    async def authenticate(self, authorization: str) -> bool:
        """Return whether the Authorization header names a user and the right password; True if there are no users."""
        users = self._config().users
        if not users:
            return True
        credentials = _basic(authorization)
        if credentials is None:
            return False
        user, password = credentials
        expected = users.get(user, _NOBODY)
        digest = hmac.digest(self._key, b"\0".join((user.encode(), expected.encode(), password)), hashlib.sha256)
        if digest in self._right:
            return True
        async with self._slots:
            matches = await asyncio.to_thread(_matches, password, expected)
        if not matches or user not in users:
            return False
        if len(self._right) >= _REMEMBERED:
            self._right.clear()
        self._right[digest] = None
        return True


def _basic(authorization: str) -> tuple[str, bytes] | None:
    """Return user and password of the header (RFC 7617 2), None if it is no basic authentication."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, UnicodeDecodeError):
        return None


def _matches(password: bytes, expected: str) -> bool:
    import bcrypt  # noqa: PLC0415 - only where there are users

    try:
        return bcrypt.checkpw(password[:_BCRYPT_OCTETS], expected.encode())
    except ValueError:
        return False
