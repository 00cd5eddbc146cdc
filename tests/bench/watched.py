"""`python -m tests.bench.watched FILE COMMAND...`: smtpcheck, with the pauses of its garbage collector in a file.

A line is a pause of a millisecond or more, in seconds of the thread's CPU: another process that takes its core makes no
pause longer.
"""

import gc
import sys
import time
from pathlib import Path
from typing import Any

from smtpcheck.cli import main

_SHORT = 0.001


def watch(file: Path) -> None:
    """Write each pause to the file, from now on."""
    began = 0.0
    out = file.open("w", buffering=1)

    def note(phase: str, _: dict[str, Any]) -> None:
        nonlocal began
        if phase == "start":
            began = time.thread_time()
        elif (seconds := time.thread_time() - began) >= _SHORT:
            out.write(f"{seconds:.6f}\n")

    gc.callbacks.append(note)


if __name__ == "__main__":
    watch(Path(sys.argv.pop(1)))
    sys.exit(main())
