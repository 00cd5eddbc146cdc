"""The key that `--make-key` makes: for its owner alone, never over another file, and fit for the credential."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from smtpcheck.oauth.certificate import load_client_key
from smtpcheck.setup.key import make_key
from smtpcheck.setup.plan import SetupError

NOW = datetime(2026, 11, 27, tzinfo=UTC)


def test_the_credential_can_use_it_for_a_year(tmp_path: Path) -> None:
    made = make_key(tmp_path / "app.pem", NOW)
    key = load_client_key(tmp_path / "app.pem", None)
    assert made.is_new
    assert key.not_after == (NOW + timedelta(days=365)).timestamp()
    assert made.proof.fingerprint == key.fingerprint.upper()
    assert made.proof.expires == "2027-11-27T00:00:00Z"


def test_it_is_readable_by_its_owner_alone_and_only_its_public_part_is_returned(tmp_path: Path) -> None:
    file = tmp_path / "app.pem"
    made = make_key(file, NOW)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    private = file.read_text().partition("-----END PRIVATE KEY-----")[0].splitlines()[1:]
    assert not any(line in str(made) for line in private)


def test_an_existing_key_is_used_and_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "app.pem"
    first = make_key(file, NOW)
    content = file.read_bytes()
    again = make_key(file, NOW + timedelta(days=1))
    assert (again.proof, again.is_new) == (first.proof, False)
    assert file.read_bytes() == content


@pytest.mark.parametrize("content", ["", "not a key", "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n"])
def test_another_file_is_refused_and_left_as_it_is(tmp_path: Path, content: str) -> None:
    file = tmp_path / "app.pem"
    file.write_text(content)
    with pytest.raises(SetupError, match=r"app\.pem"):
        make_key(file, NOW)
    assert file.read_text() == content


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"nowhere/app\.pem cannot be written \(no such file or directory\)"):
        make_key(tmp_path / "nowhere" / "app.pem", NOW)
