"""What commands print, as the documents show it.

Rules of this file:
- A document shows what a command prints to the end, line for line, on a terminal of 80 columns without colours.
- `…` within a line stands for what changes, and a line of `…` alone for any number of lines.
- At each prompt of a `console` block is one command, on one line.
- Blanks at the ends of lines, and empty lines at the end, do not count.
"""

import re

from tests.docs.commands import Command, commands_of
from tests.docs.documents import blocks


def shown_in(command: Command) -> str | None:
    """Return what the document says that a command prints; None where it says nothing."""
    if command.block.language == "console":
        return _after_the_prompt(command)
    if commands_of(command.block)[-1] != command:
        return None
    return next((block.text for block in blocks("text") if block.shows == command.block), None)


def _after_the_prompt(command: Command) -> str:
    """Return the lines from the command's prompt to the next one."""
    number = commands_of(command.block).index(command)
    return command.block.text.split("\n$ ")[number].partition("\n")[2]


def matches(shown: str, printed: str) -> bool:
    """Return whether a command printed what is shown."""
    pattern = ""
    for line in shown.rstrip().splitlines():
        if line.strip() == "…":
            pattern += r"(?:[^\n]*\n)*?"
        else:
            pattern += r"[^\n]+".join(re.escape(part) for part in line.rstrip().split("…")) + r"\n"
    said = "".join(f"{line.rstrip()}\n" for line in printed.rstrip().splitlines())
    return re.fullmatch(pattern, said) is not None
