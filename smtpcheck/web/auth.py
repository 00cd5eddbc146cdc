"""Basic authentication (RFC 7617) against bcrypt hashes, and the headers that the operator adds.

Rules of this file:
- The work is the same for a user that does not exist: the password is compared with the hash of some user, so that
  time reveals no names, whatever cost each hash has.
- A password that was right is remembered by its digest under a key of this process, so that a scrape each second costs
  no bcrypt each, and is admitted before any limit; a wrong one is never remembered. A changed hash is another entry.
- bcrypt is slow by intent: it runs off the event loop, two at a time, and few wait. An address that fails too often
  waits before its next attempt, so that guesses delay nobody else.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from smtpcheck.web.security import network_of
from smtpcheck.web.web_config import WebConfig

_REMEMBERED = 1000
_BCRYPT_OCTETS = 72
"""bcrypt reads no more of a password."""
_AT_ONCE = 2
_MOST_PENDING = 16
"""Comparisons that run or wait, of all addresses."""
_MOST_PENDING_OF_ONE = 4
_MOST_FAILURES = 10
"""Of one address within `_WINDOW_SECONDS`."""
_WINDOW_SECONDS = 60.0
_BUSY_SECONDS = 2
_MOST_ADDRESSES = 10_000


class TooManyAttemptsError(Exception):
    """A password is not compared now."""

    def __init__(self, seconds: int) -> None:
        """Say after how many seconds another attempt is welcome."""
        super().__init__(f"too many attempts; try again in {seconds} s")
        self.seconds = seconds


class _Attempts:
    """The attempts of one address: those that are pending, and when the last ones failed (monotonic seconds)."""

    __slots__ = ("failures", "pending")

    def __init__(self) -> None:
        self.pending = 0
        self.failures: list[float] = []


class _AttemptLimit:
    """How many passwords may be compared: of all, and of one address."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._pending = 0
        self._addresses: OrderedDict[str, _Attempts] = OrderedDict()

    def begin(self, address: str) -> None:
        """Count an attempt. Raises TooManyAttemptsError."""
        attempts, now = self._of(address), self._monotonic()
        attempts.failures = [at for at in attempts.failures if now - at < _WINDOW_SECONDS]
        if len(attempts.failures) + attempts.pending >= _MOST_FAILURES and attempts.failures:
            raise TooManyAttemptsError(math.ceil(attempts.failures[0] + _WINDOW_SECONDS - now))
        if self._pending >= _MOST_PENDING or attempts.pending >= _MOST_PENDING_OF_ONE:
            raise TooManyAttemptsError(_BUSY_SECONDS)
        attempts.pending += 1
        self._pending += 1

    def end(self, address: str, *, failed: bool) -> None:
        """Count its end."""
        attempts = self._of(address)
        attempts.pending = max(0, attempts.pending - 1)
        self._pending -= 1
        if failed:
            attempts.failures.append(self._monotonic())

    def _of(self, address: str) -> _Attempts:
        attempts = self._addresses.setdefault(address, _Attempts())
        self._addresses.move_to_end(address)
        if len(self._addresses) > _MOST_ADDRESSES:
            self._addresses.popitem(last=False)
        return attempts


class Guard:
    """Admits requests by the web configuration that is in force."""

    def __init__(
        self, config: Callable[[], WebConfig] = WebConfig, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Take what returns the web configuration in force; without it nobody is asked for a password."""
        self._config = config
        self._key = secrets.token_bytes(32)
        self._right: dict[bytes, None] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._limit = _AttemptLimit(monotonic)

    @property
    def authenticates(self) -> bool:
        """Return whether a request needs a user and password or a client certificate."""
        return self._config().authenticates

    def allows_certificate(self, certificate: Mapping[str, Any]) -> bool:
        """Return whether the client's verified certificate has a name that is allowed; True if any is."""
        tls = self._config().tls
        if tls is None or not tls.allowed_sans:
            return True
        return any(name in tls.allowed_sans for _, name in certificate.get("subjectAltName", ()))

    def identifies(self, certificate: Mapping[str, Any]) -> bool:
        """Return whether a request that was admitted is a user's, or of a client with a certificate that is required.

        A connection may be older than the requirement, and have none.
        """
        config = self._config()
        return bool(config.users) or (config.authenticates and bool(certificate))

    def headers(self) -> Mapping[str, str]:
        """Return the headers that the operator adds to every answer."""
        return self._config().headers

    def user(self, authorization: str) -> str:
        """Return the user whom an Authorization header names, empty where there are no users or it names none.

        It is for requests that `authenticate` has admitted.
        """
        credentials = _basic(authorization) if self._config().users else None
        return credentials[0] if credentials else ""

    async def authenticate(self, authorization: str, address: str = "") -> bool:
        """Return whether the Authorization header names a user and the right password; True if there are no users.

        `address` is the client's. Raises TooManyAttemptsError.
        """
        users = self._config().users
        if not users:
            return True
        credentials = _basic(authorization)
        if credentials is None:
            return False
        user, password = credentials
        expected = users.get(user) or self._hash_of_some_user(users, user)
        digest = hmac.digest(self._key, b"\0".join((user.encode(), expected.encode(), password)), hashlib.sha256)
        if digest in self._right:
            return True
        if not await self._compare(password, expected, network_of(address)) or user not in users:
            return False
        if len(self._right) >= _REMEMBERED:
            self._right.clear()
        self._right[digest] = None
        return True

    async def _compare(self, password: bytes, expected: str, address: str) -> bool:
        self._limit.begin(address)
        matches = False
        try:
            async with self._slots:
                matches = await asyncio.to_thread(_matches, password, expected)
        finally:
            self._limit.end(address, failed=not matches)
        return matches

    def _hash_of_some_user(self, users: Mapping[str, str], name: str) -> str:
        """Return the hash that an unknown name is compared with: always the same one, of any cost that users have."""
        hashes = sorted(users.values())
        number = int.from_bytes(hmac.digest(self._key, name.encode(), hashlib.sha256)[:8], "big")
        return hashes[number % len(hashes)]


def _basic(authorization: str) -> tuple[str, bytes] | None:
    """Return user and password of the header (RFC 7617 2), None if it is no basic authentication."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


def _matches(password: bytes, expected: str) -> bool:
    import bcrypt  # noqa: PLC0415 - only where there are users

    try:
        return bcrypt.checkpw(password[:_BCRYPT_OCTETS], expected.encode())
    except ValueError:
        return False
