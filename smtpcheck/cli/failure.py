"""How a command ends that has no result: wrong use, a configuration that cannot be used, a fault of smtpcheck itself.

Rules of this file:
- One line on standard error for a person, and never a traceback: it may hold what nobody should see.
- What a program asked for by `--format` it gets on standard output, whatever went wrong: JSON, or a plug-in's line with
  exit code 3, the only one that is no statement about the server.
- A reader that has gone ends a command like any other Unix command, with 141.
"""

import json
import os
import sys
import threading
import traceback
from collections.abc import Collection, Sequence
from pathlib import PurePath

from smtpcheck.model.printable import printable

EX_USAGE = 64
UNKNOWN = 3
CLOSED_PIPE = 141
"""128 + SIGPIPE."""


class NotUsableError(Exception):
    """The configuration cannot be used."""

    def __init__(self, problems: Sequence[str], code: int) -> None:
        """Say what is wrong with it, and the exit code of the command."""
        super().__init__("the configuration cannot be used")
        self.problems = tuple(problems)
        self.code = code


def wrong_use(arguments: Sequence[str], message: str, commands: Collection[str]) -> int:
    """Show what is wrong with the arguments, and return the exit code; `commands` are those that there are."""
    command = f" {arguments[0]}" if arguments and arguments[0] in commands else ""
    print(f"smtpcheck: {message}\nTry 'smtpcheck{command} --help'.", file=sys.stderr)
    return _answered(arguments, message, EX_USAGE)


def not_usable(arguments: Sequence[str], error: NotUsableError) -> int:
    """Show every problem of a configuration, and return the exit code."""
    for problem in error.problems:
        print(problem, file=sys.stderr)
    first = error.problems[0].partition("\n")[0] if error.problems else str(error)
    return _answered(arguments, first, error.code, error.problems)


def internal_error(arguments: Sequence[str], error: BaseException) -> int:
    """Show where smtpcheck itself failed, and return the exit code."""
    message = f"internal error: {_place_of(error)}"
    print(f"smtpcheck: {message}", file=sys.stderr)
    return _answered(arguments, message, UNKNOWN)


def closed_pipe() -> int:
    """Write nothing more, and return the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return CLOSED_PIPE


def leave(code: int) -> int:
    """Return the exit code; where a thread still waits for an answer, end the process with it."""
    waiting = [each for each in threading.enumerate() if not each.daemon and each is not threading.main_thread()]
    if waiting:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _answered(arguments: Sequence[str], message: str, code: int, problems: Sequence[str] = ()) -> int:
    match _format_of(arguments):
        case "json":
            print(json.dumps({"error": message, "problems": list(problems)}, indent=2))
        case "nagios" if "check" in arguments[:1]:  # the only command with this format
            print(f"UNKNOWN - {printable(message).replace('|', '/')}")
            return UNKNOWN
    return code


def _format_of(arguments: Sequence[str]) -> str:
    """Return what the arguments say of `--format`, though they may not be understood as a whole."""
    for argument, following in zip(arguments, (*arguments[1:], ""), strict=True):
        if argument == "--format":
            return following
        if argument.startswith("--format="):
            return argument.partition("=")[2]
    return ""


def _place_of(error: BaseException) -> str:
    """Return the kind of an error, and the innermost place in smtpcheck that it passed; of a group the first one."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    package = PurePath(__file__).parent.parent
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if PurePath(frame.filename).is_relative_to(package)]
    if not ours:
        return type(error).__name__
    return f"{type(error).__name__} in {PurePath(ours[-1].filename).relative_to(package)}:{ours[-1].lineno}"
