"""The parts that scripts are put together from: the files in `scripts/`, and the heads that say what a script is."""

import textwrap
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from smtpcheck import __version__

_WIDTH = 110
_FOLDER = Path(__file__).parent / "scripts"


@cache
def part(name: str) -> str:
    """Return one part, as its file has it."""
    return (_FOLDER / name).read_text(encoding="utf-8")


def joined(parts: Iterable[str]) -> str:
    """Return the parts with an empty line between them, and one line end at the end."""
    return "\n\n".join(each.strip("\n") for each in parts if each) + "\n"


def head(purpose: str, how: Iterable[str], notes: Iterable[str]) -> list[str]:
    """Return the lines at the top of a script: what it is for, how it is run, and what to know of it."""
    lines = [f"{purpose} Made by smtpcheck {__version__}.", "", *how]
    texts = [
        line for note in notes for line in textwrap.wrap(note, _WIDTH, initial_indent="- ", subsequent_indent="  ")
    ]
    return [*lines, "", *texts] if texts else lines
