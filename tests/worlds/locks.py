"""A process that holds the lock of a mailbox, as a check beside an agent does."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HOLD = """
import asyncio, sys
from pathlib import Path
from smtpcheck.limits.connection_limit import ConnectionLimit
from smtpcheck.limits.mailbox_lock import MailboxLocks

async def main():
    async with ConnectionLimit(1, MailboxLocks(Path(sys.argv[1]))).slot(sys.argv[2]):
        print("held", flush=True)
        sys.stdin.readline()

asyncio.run(main())
"""


@contextmanager
def holding(folder: Path, mailbox: str) -> Iterator["subprocess.Popen[str]"]:
    """Have another process hold the lock of a mailbox until it is killed, or the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(folder), mailbox], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()
