"""The commands in the documents: how they are read, and which are not run as they are.

Rules of this file:
- A command is run unless a row of a table below says why not. A row that no command needs is a failure.
- Commands of smtpcheck that are not run are still parsed by its own parser.
- Pipes and lists are taken apart: each command runs alone, with what it reads from a file or from a pipe.
"""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.docs.documents import Block, blocks

PARSED: dict[tuple[str, ...], str] = {
    ("smtpcheck", "run"): "it stays; tests/cli/test_cli.py and tests/agent/ run it",
    (
        "smtpcheck",
        "demo",
        "--once",
    ): "it takes long; tests/test_packaging.py runs it, and test_outputs.py compares the table",
    ("smtpcheck", "login", "gmail"): "it waits for a browser; tests/oauth/test_google.py plays one",
    ("smtpcheck", "check", "--mailbox"): "it asks Microsoft itself",
}
"""By first words: commands of smtpcheck of which only the words are examined."""
ENDS: dict[tuple[str, ...], tuple[int, str]] = {
    ("smtpcheck", "check", "invoices"): (2, "it shows what a failure looks like"),
    ("smtpcheck", "doctor", "payroll"): (2, "it shows what a failure looks like"),
    ("smtpcheck", "doctor"): (1, "it warns: no agent runs beside it, and the application may read mail too"),
}
"""By first words: exit codes other than 0."""
NOT_RUN: dict[tuple[str, ...], str] = {
    ("bash", "setup.sh"): "it needs a project of Google Cloud; tests/setup/ plays the scripts with a stand-in",
    ("docker",): "it needs a daemon and a registry; tests/dashboards/test_compose.py examines what it is given",
    ("curl",): "tests/docs/test_requests.py makes the request",
    ("git", "config"): "it changes the working copy",
    ("kubectl",): "it needs a cluster; tests/dashboards/test_kubernetes.py examines what it is given",
    ("ln",): "it installs for the whole machine",
    **dict.fromkeys((("gunzip",), ("gzip",), ("tar",)), "it packs what the command beside it makes or takes"),
    **dict.fromkeys(
        (("cd",), ("install",), ("runuser",), ("systemctl",), ("systemd-sysusers",)),
        "it installs a service; tests/dashboards/test_systemd.py examines what is installed",
    ),
    ("python3", "-m", "pip", "wheel"): "it needs a package index; tests/test_packaging.py builds the wheel",
    ("pwsh",): "it needs a tenant; tests/setup/ reads and plays the scripts",
    ("python3", "-m", "venv"): "tests/test_packaging.py installs the wheel into an environment",
    ("/opt/smtpcheck/bin/python", "keys.py"): "tests/real/test_own_identity_provider.py runs it",
    ("/opt/smtpcheck/bin/pip",): "tests/test_packaging.py installs the wheel into an environment",
}
"""By first words: other commands."""


@dataclass(frozen=True)
class Command:
    """One command with its words, and what surrounds it."""

    block: Block
    words: tuple[str, ...]
    reads: str | None = None
    """The file that it reads as its standard input; `-` where a pipe comes before it."""
    writes: str | None = None
    """The file that its output goes to; `-` where a pipe comes after it."""

    def __str__(self) -> str:
        return f"{self.block} {shlex.join(self.words)}"

    def row(self, table: Iterable[tuple[str, ...]]) -> tuple[str, ...] | None:
        """Return the row of a table that this command begins with."""
        return next((row for row in table if self.words[: len(row)] == row), None)


def commands() -> list[Command]:
    """Return every command of every block."""
    return [command for block in blocks("sh", "console") for command in commands_of(block)]


def commands_of(block: Block) -> list[Command]:
    """Return the commands of one block, in order."""
    return [command for text in _lines(block) for command in _parts(block, _words(text))]


def _lines(block: Block) -> Iterator[str]:
    """Yield each line with those that continue it."""
    lines = block.text.splitlines()
    if block.language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    whole = ""
    for line in lines:
        whole += line.removesuffix("\\")
        if not line.endswith("\\"):
            yield whole
            whole = ""


def _words(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    return list(lexer)


def _parts(block: Block, words: Sequence[str]) -> Iterator[Command]:
    """Yield the simple commands of one line."""
    part: list[str] = []
    reads = writes = None
    rest = iter([*words, ";"])
    for word in rest:
        if word == "<":
            reads = next(rest)
        elif word in {">", ">>"}:
            writes = next(rest)
        elif word in {"|", "||", "&&", ";"}:
            if part:
                yield Command(block, _without_variables(part), reads, "-" if word == "|" else writes)
            part, reads, writes = [], "-" if word == "|" else None, None
        else:
            part.append(word)


def _without_variables(words: list[str]) -> tuple[str, ...]:
    """Leave out `sudo` and the variables that a command is given."""
    while len(words) > 1 and (words[0] == "sudo" or "=" in words[0].partition("/")[0]):
        words = words[1:]
    return tuple(words)
