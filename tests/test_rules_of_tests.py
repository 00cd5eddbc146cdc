"""What `conftest.py` promises: in the mode in which everything must be there no test is skipped."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TOGETHER

ROOT = Path(__file__).parent.parent
SKIPPING = """
import pytest

@pytest.fixture
def server():
    pytest.skip("no server is installed")

def test_a_missing_server(server): ...
@pytest.mark.skipif(True, reason="no root")
def test_a_mark(): ...
@pytest.mark.xfail
def test_an_expected_failure(): assert False
"""


def test_what_runs_together_is_there() -> None:
    """A file that was moved would lose its company, and each process would start its servers again."""
    assert [name for name in TOGETHER if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize(("required", "outcome"), [("1", "1 xfailed, 2 errors"), ("0", "2 skipped, 1 xfailed")])
def test_nothing_is_skipped_where_everything_must_be_there(tmp_path: Path, required: str, outcome: str) -> None:
    (tmp_path / "test_skipping.py").write_text(SKIPPING)
    command = [sys.executable, "-m", "pytest", "-q", "-c", "pyproject.toml", "-p", "tests.conftest", str(tmp_path)]
    environment = {**os.environ, "SMTPCHECK_REQUIRE_REAL": required, "NO_COLOR": "1"}
    said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False).stdout
    assert outcome in said
    assert "no server is installed" in said
    assert "no root" in said
