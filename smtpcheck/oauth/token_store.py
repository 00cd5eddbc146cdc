"""The refresh tokens on disk: one file for each credential, apart from all other state.

Rules of this file:
- Files have mode 0600, in a folder of mode 0700. A file is written beside the old one, brought to the disk, and put in
  its place: whenever the process is killed or the power fails, the old token or the new one is there, never none.
- A refresh token is of use to one client only, and some issuers end the whole login when an old one comes back
  (RFC 9700 4.14.2). So a process that reads one to use it holds its lock until the new one is written, and an agent
  claims its tokens for as long as it runs: a second agent is refused.
- A login belongs to the issuer and client that it was made with. It is never sent to another one.
- What cannot be written is held in memory, over reloads too, and written as soon as it can be: the issuer may have
  ended the predecessor already.
- With a key the content is encrypted (Fernet: AES-128-CBC and HMAC-SHA256). Any text is a key; the longer the better.
"""

import base64
import errno
import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import IO
from urllib.parse import quote

from cryptography.fernet import Fernet, InvalidToken

from smtpcheck.secrets.file_state import state_of
from smtpcheck.secrets.secret import Secret
from smtpcheck.secrets.source import SecretSource, SecretUnreadableError

if sys.platform != "win32":
    import fcntl

LOCK_SECONDS = 60.0
"""How long to wait for another process that is using the same refresh token at this moment."""

_RETRY_SECONDS = 0.05
_MAX_BYTES = 4 * 1024 * 1024
"""More than the longest answer of an issuer can fill, encrypted."""
_SEALED = b"gAAAA"
"""How what Fernet has encrypted begins: its version and the high bytes of the time, in base64."""


class LoginUnusableError(Exception):
    """There is no refresh token that can be used. Says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Login:
    """What a user's login left behind."""

    refresh_token: Secret = field(repr=False)
    issuer: str
    """The URL of the issuer that gave it."""
    client_id: str
    login_at: float
    """When a user logged in, or the token was imported (Unix seconds)."""
    issued_at: float
    """When this very refresh token was issued (Unix seconds)."""
    refreshed_at: float
    """When it was last of use (Unix seconds)."""
    expires_at: float | None = None
    """Where the issuer states it (Unix seconds)."""
    account: str = ""
    """Whose mailbox it is, where the issuer says so."""
    imported: str = ""
    """The fingerprint of the configured refresh token that this one descends from; empty after `smtpcheck login`."""


_FIELDS = frozenset(each.name for each in fields(Login))


class TokenStore:
    """The folder of all refresh tokens."""

    def __init__(self, folder: Path, *, key: SecretSource | None = None, claims: bool = False) -> None:
        """Keep the tokens in `folder`, which is made when it is needed, encrypted if there is a key.

        With `claims` each token that is used is claimed until `close`: what the agent does, and a command does not.
        """
        self._folder = folder
        self._key = key
        self._claims = claims
        self._claimed: dict[str, IO[bytes]] = {}
        self._unwritten: dict[str, Login] = {}
        self._derived: tuple[Secret, Fernet] | None = None

    def file(self, name: str) -> "TokenFile":
        """Return the place of the credential called `name`; nothing is read yet."""
        return TokenFile(self, self._folder / f"{quote(name, safe='')}.token", name)

    @property
    def unwritten(self) -> tuple[str, ...]:
        """The credentials whose refresh token is in memory alone."""
        return tuple(sorted(self._unwritten))

    def login_in_memory(self, name: str) -> "Login | None":
        """Return the login that could not be written, if there is one."""
        return self._unwritten.get(name)

    def hold(self, name: str, login: "Login | None") -> None:
        """Hold a login in memory, or with None no more."""
        if login is None:
            self._unwritten.pop(name, None)
        else:
            self._unwritten[name] = login

    def close(self) -> None:
        """Try for the last time to write what is in memory alone, and let go of what was claimed."""
        for name in self.unwritten:
            with suppress(LoginUnusableError):
                self.file(name).write_held()
        while self._claimed:
            self._claimed.popitem()[1].close()

    def claim(self, path: Path, name: str) -> None:
        """Claim a token for as long as this process runs, if this store does so. Raises LoginUnusableError."""
        if not self._claims or name in self._claimed:
            return
        file = _open_lock(path.with_suffix(".agent"))
        if not _locked(file):
            owner = file.read(32).decode("ascii", "replace").strip()
            file.close()
            raise LoginUnusableError(
                f"the login of {name} is in use by another agent (process {owner or 'unknown'}): stop one of them, "
                "or give each its own agent.state and its own login"
            )
        file.truncate(0)
        file.write(str(os.getpid()).encode())
        file.flush()
        self._claimed[name] = file

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Make the folder if it is missing, and turn errors of the system into `LoginUnusableError`."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            yield
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise LoginUnusableError(f"the folder {self._folder} cannot be used: {reason}") from None

    def seal(self, content: bytes) -> bytes:
        """Return the content as it is written."""
        key = self._fernet()
        return content if key is None else key.encrypt(content)

    def unseal(self, content: bytes, path: Path) -> bytes:
        """Return the content of a file. Raises LoginUnusableError where the key is missing or another one."""
        if content.startswith(b"{"):
            return content
        if not content.startswith(_SEALED):
            raise _damaged(path)
        key = self._fernet()
        if key is None:
            raise LoginUnusableError(f"{path} is encrypted: configure agent.token_key")
        try:
            return key.decrypt(content)
        except InvalidToken:
            raise LoginUnusableError(f"{path} cannot be decrypted with agent.token_key, or is damaged") from None

    def _fernet(self) -> Fernet | None:
        if self._key is None:
            return None
        try:
            secret = self._key.read()
        except SecretUnreadableError as error:
            raise LoginUnusableError(f"agent.token_key: {error}") from None
        known = self._derived
        if known is None or known[0] != secret:
            known = self._derived = (secret, _derived_from(secret))
        return known[1]


class TokenFile:
    """The refresh token of one credential."""

    def __init__(self, store: TokenStore, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self._store = store
        self._seen: tuple[object, Login | None] | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the token against all other threads and processes.

        Raises:
            LoginUnusableError: Another agent has claimed it, another process does not let go of it, or the folder
                cannot be used.
        """
        with self._store.prepared():
            self._store.claim(self.path, self.name)
            file = _open_lock(self.path.with_suffix(".lock"))
        with file:
            end = time.monotonic() + LOCK_SECONDS
            pause = threading.Event()
            while not _locked(file):
                if time.monotonic() > end:
                    raise LoginUnusableError(f"the login of {self.name} is locked by another process for too long")
                pause.wait(_RETRY_SECONDS)
            yield

    def prepare(self) -> None:
        """See that a token could be kept: the folder, the lock and the key are of use. Raises LoginUnusableError."""
        with self.held():
            self._store.seal(b"")

    def read(self) -> Login | None:
        """Return what is kept, None where there is nothing. Read again only when the file has changed.

        Raises:
            LoginUnusableError: The file cannot be read, decrypted or understood.
        """
        try:
            stamp = state_of(self.path.stat())
            if self._seen is not None and self._seen[0] == stamp:
                return self._seen[1]
            with self.path.open("rb") as file:
                content = file.read(_MAX_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LoginUnusableError(f"{self.path} cannot be read: {(error.strerror or '').lower()}") from None
        login = _parsed(self._store.unseal(content, self.path), self.path)
        self._seen = (stamp, login)
        return login

    def current(self) -> Login | None:
        """Return the login to use: what could not be written comes before what was, but not before a newer login."""
        held = self._store.login_in_memory(self.name)
        if held is None:
            return self.read()
        with suppress(LoginUnusableError):
            written = self.read()
            if written is not None and written.login_at > held.login_at:
                self._store.hold(self.name, None)
                return written
        return held

    @property
    def is_unwritten(self) -> bool:
        """Whether the login is in memory alone."""
        return self._store.login_in_memory(self.name) is not None

    def keep(self, login: Login) -> None:
        """Write `login`, or hold it in memory until it can be written. The caller holds the token."""
        self._store.hold(self.name, login)
        self.write(login)
        self._store.hold(self.name, None)

    def write_held(self) -> None:
        """Write what is in memory alone, if anything still is. Raises LoginUnusableError."""
        with self.held():
            if self.is_unwritten and (login := self.current()) is not None and self.is_unwritten:
                self.keep(login)

    def write(self, login: Login) -> None:
        """Keep `login` instead of what was there; when this returns it is on the disk. Raises LoginUnusableError."""
        values = {each.name: getattr(login, each.name) for each in fields(login)}
        values["refresh_token"] = login.refresh_token.reveal()
        content = self._store.seal(json.dumps(values).encode())
        if len(content) > _MAX_BYTES:
            raise LoginUnusableError(f"the refresh token of {self.name} is longer than a file for it may be")
        with self._store.prepared():
            _replace(self.path, content)
        self._seen = None


def _derived_from(key: Secret) -> Fernet:
    """Return what encrypts by a key of any length. Takes some 50 ms."""
    # scrypt (RFC 7914) makes a short key dear to guess from a stolen file.
    salt = b"smtpcheck refresh tokens"
    derived = hashlib.scrypt(key.reveal().encode(), salt=salt, n=2**14, r=8, p=1, dklen=32)
    return Fernet(base64.urlsafe_b64encode(derived))


def _parsed(content: bytes, path: Path) -> Login:
    try:
        values = json.loads(content)
        newer = values.keys() - _FIELDS
        if newer and values.keys() >= _FIELDS:
            names = ", ".join(sorted(newer))[:80]
            raise LoginUnusableError(
                f"{path} was written by a newer version of smtpcheck ({names}): run that one, or log in again"
            )
        login = Login(**{**values, "refresh_token": Secret(values["refresh_token"])})
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _damaged(path) from None
    texts = (login.refresh_token.reveal(), login.issuer, login.client_id, login.account, login.imported)
    times = (login.login_at, login.issued_at, login.refreshed_at, login.expires_at or 0.0)
    if all(isinstance(text, str) for text in texts) and all(isinstance(time, int | float) for time in times):
        return login
    raise _damaged(path)


def _damaged(path: Path) -> LoginUnusableError:
    return LoginUnusableError(f"{path} is damaged: remove it and log in again")


def _replace(path: Path, content: bytes) -> None:
    """Put the content in the file's place, whole or not at all. The caller holds the lock, so one name will do."""
    new = path.with_suffix(".new")
    with suppress(FileNotFoundError):
        new.unlink()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(new, flags, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    if sys.platform != "win32":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _open_lock(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")


def _locked(file: IO[bytes]) -> bool:
    """Lock the file if nobody else does. On Windows, where no agent runs, there is nobody else."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EAGAIN}:
            return False
        raise
    return True
