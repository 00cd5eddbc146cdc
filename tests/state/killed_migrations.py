"""Processes that are killed while they migrate a state file: `python -m tests.state.killed_migrations FILE`.

One for each statement of the migration, killed when that is about to run, on a copy `FILE.NUMBER` of its own; the last
one, with no statement left, is not killed.
"""

import os
import shutil
import signal
import sqlite3
import sys
from pathlib import Path

from smtpcheck.state.database import _prepare
from smtpcheck.state.schema import migrate


def migrate_until(path: Path, statement: int) -> None:
    """Migrate a file as an agent does at its start; die at the statement of that number."""
    begun = 0

    def count(_: str) -> None:
        nonlocal begun
        if begun == statement:
            os.kill(os.getpid(), signal.SIGKILL)
        begun += 1

    connection = sqlite3.connect(path, isolation_level=None)
    _prepare(connection)
    connection.set_trace_callback(count)
    migrate(connection)
    connection.set_trace_callback(None)
    connection.close()


def main(original: Path) -> None:
    """Begin one process after another, until one comes to its end."""
    statement, status = 0, signal.SIGKILL.value
    while status == signal.SIGKILL:
        path = original.with_name(f"{original.name}.{statement}")
        shutil.copyfile(original, path)
        if (process := os.fork()) == 0:
            migrate_until(path, statement)
            os._exit(0)
        _, status = os.waitpid(process, 0)
        statement += 1
    sys.exit(status)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
