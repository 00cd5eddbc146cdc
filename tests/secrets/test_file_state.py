"""Whether a file has changed."""

import os
from pathlib import Path

from smtpcheck.secrets.file_state import file_state


def test_a_file_that_is_replaced_has_another_state(tmp_path: Path) -> None:
    """Even by one of the same size and time, as `mv` of a prepared file does."""
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_text("one")
    other.write_text("two")
    os.utime(path, (1, 1))
    os.utime(other, (1, 1))
    before = file_state(path)
    assert file_state(path) == before
    other.replace(path)
    assert file_state(path) != before


def test_a_file_that_is_missing_has_no_state(tmp_path: Path) -> None:
    """Nor one whose name cannot be a file's."""
    assert file_state(tmp_path / "none") is None
    assert file_state(Path("a\0b")) is None
