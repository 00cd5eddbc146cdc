"""The key of the correlation ids: made once, for its owner alone, wherever the folder is."""

import errno
import os
import stat
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from smtpcheck.state.signing_key import FILE_NAME, load_signing_key


def refuse_links(*_: object, **__: object) -> None:
    """Answer as SMB does."""
    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))


@pytest.fixture(params=["links", "no links"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "no links":
        monkeypatch.setattr(os, "link", refuse_links)
    return tmp_path


def test_the_key_is_the_same_after_a_restart(folder: Path) -> None:
    """Else the messages of before would be left in the mailboxes."""
    with capture_logs() as logs:
        key = load_signing_key(folder)
        assert load_signing_key(folder) == key
    assert (len(key), logs) == (32, [])
    assert [path.name for path in folder.iterdir()] == [FILE_NAME]


def test_it_is_for_its_owner_alone(folder: Path) -> None:
    before = os.umask(0)
    try:
        load_signing_key(folder)
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / FILE_NAME).stat().st_mode) == 0o600


def test_of_two_processes_that_make_it_at_once_both_have_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one comes in between: it has seen no key either."""
    fsync = os.fsync
    others: list[bytes] = []

    def interrupted(descriptor: int) -> None:
        fsync(descriptor)
        if not others:
            others.append(b"")
            (folder / FILE_NAME).write_bytes(bytes(range(32)))

    monkeypatch.setattr(os, "fsync", interrupted)
    assert load_signing_key(folder) == bytes(range(32))


def test_a_damaged_key_is_replaced_and_said(folder: Path) -> None:
    (folder / FILE_NAME).write_bytes(b"short")
    with capture_logs() as logs:
        key = load_signing_key(folder)
    assert [line["log_level"] for line in logs] == ["error"]
    assert load_signing_key(folder) == key


def test_where_nothing_can_be_written_there_is_a_key_for_this_time(tmp_path: Path) -> None:
    with capture_logs() as logs:
        assert len(load_signing_key(tmp_path / "missing")) == 32
    assert [line["log_level"] for line in logs] == ["error"]
