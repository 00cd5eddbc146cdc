"""The schemas that others publish for their files, as check-jsonschema ships them: nothing is fetched."""

import subprocess
import sys
from pathlib import Path


def problems(schema: str, path: Path) -> list[str]:
    """Return what a schema finds wrong in a file; its name is one of `check-jsonschema --help`."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return [done.stdout + done.stderr] if done.returncode else []
