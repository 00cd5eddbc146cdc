"""A key is parsed again when its file or its passphrase has changed, and only then."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from smtpcheck.oauth.certificate import load_signing_key
from smtpcheck.oauth.kept_key import KeptKey
from smtpcheck.secrets.secret import Secret


@pytest.fixture
def loaded() -> list[str]:
    return []


@pytest.fixture
def load(loaded: list[str]) -> Callable[[Path, Secret | None], str]:
    def load(path: Path, passphrase: Secret | None) -> str:
        if not path.exists():
            raise LookupError(path)
        loaded.append(f"{path.read_text()} {passphrase.reveal() if passphrase else ''}".strip())
        return loaded[-1]

    return load


def test_it_is_read_once(tmp_path: Path, loaded: list[str], load: Callable[[Path, Secret | None], str]) -> None:
    (tmp_path / "key").write_text("one")
    key = KeptKey(tmp_path / "key", load)
    assert [key.read(), key.read()] == ["one", "one"]
    assert loaded == ["one"]


def test_what_has_changed_is_read_again(
    tmp_path: Path, loaded: list[str], load: Callable[[Path, Secret | None], str]
) -> None:
    (tmp_path / "key").write_text("one")
    key = KeptKey(tmp_path / "key", load)
    key.read(Secret("words"))
    key.read(Secret("other words"))
    (tmp_path / "new").write_text("two")
    (tmp_path / "new").replace(tmp_path / "key")
    key.read(Secret("other words"))
    assert loaded == ["one words", "one other words", "two other words"]


def test_a_file_that_is_gone_serves_no_more(tmp_path: Path, load: Callable[[Path, Secret | None], str]) -> None:
    (tmp_path / "key").write_text("one")
    key = KeptKey(tmp_path / "key", load)
    key.read()
    (tmp_path / "key").unlink()
    with pytest.raises(LookupError):
        key.read()
    (tmp_path / "key").write_text("three")
    assert key.read() == "three"


def test_keys_are_parsed_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each parsing holds up the whole process: the event loop must get its turn between two."""
    parsing, most = [0], [0]
    together = threading.Barrier(3)

    def counted(*arguments: object) -> object:
        parsing[0] += 1
        most[0] = max(most[0], parsing[0])
        threading.Event().wait(0.02)  # lets the others go
        parsing[0] -= 1
        return load_pem_private_key(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("smtpcheck.oauth.certificate.load_pem_private_key", counted)
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def read() -> None:
        together.wait()
        load_signing_key(tmp_path / "key", None)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
