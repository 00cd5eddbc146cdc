"""Refresh tokens on disk: private, whole at every moment, in one pair of hands."""

import hashlib
import json
import os
import random
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smtpcheck.oauth import token_store
from smtpcheck.oauth.token_store import Login, LoginUnusableError, TokenStore
from smtpcheck.secrets.secret import Secret
from smtpcheck.secrets.source import SecretSource
from tests.worlds.kills import moments

ROOT = Path(__file__).parent.parent.parent
LOGIN = Login(Secret("the-refresh-token"), "https://id.example.org", "client", 1.0, 2.0, 3.0, None, "anna@example.org")
KEY = SecretSource.model_validate({"value": "a key of any length"})


def _claim(folder: Path, name: str = "anna") -> None:
    """Use the token as another agent would."""
    with closing(TokenStore(folder, claims=True)) as store, store.file(name).held():
        pass


def _program(text: str, *arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", textwrap.dedent(text), *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("key", [None, KEY])
def test_what_is_written_is_read_again(tmp_path: Path, key: SecretSource | None) -> None:
    TokenStore(tmp_path / "tokens", key=key).file("anna").write(LOGIN)
    assert TokenStore(tmp_path / "tokens", key=key).file("anna").read() == LOGIN


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    file = TokenStore(tmp_path / "state" / "tokens").file("anna")
    with file.held():
        file.write(LOGIN)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state" / "tokens").iterdir()}
    assert modes == {"anna.token": 0o600, "anna.lock": 0o600}
    assert stat.S_IMODE((tmp_path / "state" / "tokens").stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", ".", "ä ö", "x.y"])
def test_any_name_stays_in_the_folder(tmp_path: Path, name: str) -> None:
    file = TokenStore(tmp_path / "tokens").file(name)
    file.write(LOGIN)
    assert [path.parent for path in tmp_path.rglob("*.token")] == [tmp_path / "tokens"]
    assert file.read() == LOGIN


def test_with_a_key_nothing_of_it_can_be_read(tmp_path: Path) -> None:
    file = TokenStore(tmp_path, key=KEY).file("anna")
    file.write(LOGIN)
    content = file.path.read_bytes()
    assert b"refresh" not in content
    assert b"anna" not in content


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (None, "is encrypted: configure agent.token_key"),
        ({"value": "another key"}, "cannot be decrypted with agent.token_key, or is damaged"),
        ({"env": "NOT_SET_ANYWHERE"}, "agent.token_key: variable NOT_SET_ANYWHERE is not set"),
    ],
)
def test_without_the_key_it_is_not_read(tmp_path: Path, key: dict[str, str] | None, reason: str) -> None:
    TokenStore(tmp_path, key=KEY).file("anna").write(LOGIN)
    other = SecretSource.model_validate(key) if key else None
    with pytest.raises(LoginUnusableError) as caught:
        TokenStore(tmp_path, key=other).file("anna").read()
    assert str(caught.value).endswith(reason)


def test_what_encrypts_is_derived_once_for_each_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To derive it takes 50 ms, and an agent writes a thousand tokens an hour."""
    derived: list[bytes] = []
    derive = hashlib.scrypt

    def counted(key: bytes, **parameters: Any) -> bytes:
        derived.append(key)
        return derive(key, **parameters)

    monkeypatch.setattr(hashlib, "scrypt", counted)
    key_file = tmp_path / "key"
    store = TokenStore(tmp_path / "tokens", key=SecretSource(file=key_file))
    for key in ("one", "another"):
        key_file.write_text(key)
        for name in ("anna", "bertha"):
            store.file(name).write(LOGIN)
            assert store.file(name).read() == LOGIN
    assert derived == [b"one", b"another"]


def test_a_plain_file_is_taken_over_and_encrypted_when_it_is_written(tmp_path: Path) -> None:
    TokenStore(tmp_path).file("anna").write(LOGIN)
    file = TokenStore(tmp_path, key=KEY).file("anna")
    assert file.read() == LOGIN
    file.write(LOGIN)
    assert not file.path.read_bytes().startswith(b"{")


_WITHOUT_TIMES = (
    b'{"refresh_token": "x", "issuer": "i", "client_id": "c", "login_at": "", "issued_at": 1, "refreshed_at": []}'
)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\0", b"{", b'{"refresh_token": 5}', b'{"refresh_token": "x", "more": 1}', _WITHOUT_TIMES],
)
def test_a_damaged_file_is_told_without_its_content(tmp_path: Path, content: bytes) -> None:
    file = TokenStore(tmp_path).file("anna")
    file.path.write_bytes(content)
    with pytest.raises(LoginUnusableError, match="is damaged: remove it and log in again"):
        file.read()


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    file = TokenStore(tmp_path / "file" / "tokens").file("anna")
    with pytest.raises(LoginUnusableError, match="cannot be used: not a directory"):
        file.write(LOGIN)


def test_a_kill_at_any_moment_leaves_a_whole_token(tmp_path: Path) -> None:
    """A process that writes without end is killed at different moments."""
    writer = """
        import sys
        from pathlib import Path
        from smtpcheck.oauth.token_store import Login, TokenStore
        from smtpcheck.secrets.secret import Secret
        file = TokenStore(Path(sys.argv[1])).file("anna")
        number = int(sys.argv[2])
        print("begin", flush=True)
        while True:
            number += 1
            with file.held():
                file.write(Login(Secret(f"{number}-" + "x" * 20000), "i", "c", 1.0, 2.0, float(number)))
    """
    found: list[float] = []
    for seconds in moments(random.Random(2026), (0.001, 0.035), 16, lambda: bool(found)):
        process = _program(writer, tmp_path, int(found[-1] if found else 0))
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        login = TokenStore(tmp_path).file("anna").read()
        if login is None:
            assert found == []
            continue
        assert login.refresh_token.reveal() == f"{int(login.refreshed_at)}-" + "x" * 20000
        found.append(login.refreshed_at)
    assert found
    assert found == sorted(found)


def test_a_file_is_on_the_disk_before_it_takes_the_old_ones_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Content first, then the name, then the folder: what a power failure asks for."""
    order: list[str] = []
    fsync, rename = os.fsync, Path.replace

    def note_fsync(number: int) -> None:
        order.append("folder" if stat.S_ISDIR(os.fstat(number).st_mode) else "content")
        fsync(number)

    def note_rename(self: Path, target: Path) -> Path:
        order.append("name")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_rename)
    TokenStore(tmp_path).file("anna").write(LOGIN)
    assert order == ["content", "name", "folder"]


def test_a_second_agent_is_refused_and_a_command_beside_it_is_not(tmp_path: Path) -> None:
    first = TokenStore(tmp_path, claims=True)
    with first.file("anna").held():
        pass
    with pytest.raises(LoginUnusableError) as caught:
        _claim(tmp_path)
    assert str(caught.value).startswith(f"the login of anna is in use by another agent (process {os.getpid()})")
    _claim(tmp_path, "another")
    with TokenStore(tmp_path).file("anna").held():
        pass
    first.close()
    _claim(tmp_path)


def test_an_agent_that_was_killed_leaves_no_claim(tmp_path: Path) -> None:
    agent = """
        import signal, sys
        from pathlib import Path
        from smtpcheck.oauth.token_store import TokenStore
        store = TokenStore(Path(sys.argv[1]), claims=True)
        with store.file("anna").held():
            print("begin", flush=True)
            signal.pause()
    """
    process = _program(agent, tmp_path)
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(LoginUnusableError):
        _claim(tmp_path)
    process.kill()
    process.wait()
    process.stdout.close()
    _claim(tmp_path)


def test_whoever_comes_second_waits_and_reads_what_the_first_has_written(tmp_path: Path) -> None:
    seen: list[Login | None] = []
    first, second = TokenStore(tmp_path).file("anna"), TokenStore(tmp_path).file("anna")

    def read() -> None:
        with second.held():
            seen.append(second.read())

    with first.held():
        thread = threading.Thread(target=read)
        thread.start()
        first.write(LOGIN)
        newer = replace(LOGIN, refresh_token=Secret("a newer one"))
        first.write(newer)
    thread.join()
    assert seen == [newer]


def test_a_lock_that_is_never_let_go_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_store, "LOCK_SECONDS", 0.1)
    with (
        TokenStore(tmp_path).file("anna").held(),
        pytest.raises(LoginUnusableError, match="locked by another process for too long"),
        TokenStore(tmp_path).file("anna").held(),
    ):
        pass


def test_nothing_shows_a_refresh_token() -> None:
    assert "the-refresh-token" not in f"{LOGIN!r} {LOGIN}"


def test_a_login_of_a_newer_version_is_not_called_damaged(tmp_path: Path) -> None:
    """Whoever goes back to an older version is not sent away to remove a good login."""
    file = TokenStore(tmp_path / "tokens").file("anna")
    file.write(LOGIN)
    values = json.loads(file.path.read_text())
    file.path.write_text(json.dumps(values | {"session": "x"}))
    with pytest.raises(LoginUnusableError, match="newer version of smtpcheck \\(session\\)"):
        file.read()


@pytest.mark.parametrize("key", [None, KEY])
def test_a_long_refresh_token_is_read_as_it_was_written(tmp_path: Path, key: SecretSource | None) -> None:
    """An answer may have a megabyte; whatever cannot be read again is not written."""
    file = TokenStore(tmp_path / "tokens", key=key).file("anna")
    long = replace(LOGIN, refresh_token=Secret("r" * 1_000_000))
    file.write(long)
    assert TokenStore(tmp_path / "tokens", key=key).file("anna").read() == long
    with pytest.raises(LoginUnusableError, match="longer than a file"):
        file.write(replace(LOGIN, refresh_token=Secret("r" * 5_000_000)))
    assert TokenStore(tmp_path / "tokens", key=key).file("anna").read() == long
