"""Options that several commands share, and what every command does with them."""

import os
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smtpcheck.cli.failure import NotUsableError
from smtpcheck.log import LogFormat, LogLevel
from smtpcheck.model.shard import WHOLE, Shard, parse_shard

if TYPE_CHECKING:
    from smtpcheck.config import Loaded, Settings
    from smtpcheck.limits.mailbox_lock import MailboxLocks

DEFAULT_FILES = (Path("checks.yaml"), Path("/etc/smtpcheck/checks.yaml"))
NOT_USABLE = 3
"""The exit code of `check` and `doctor` for a configuration that cannot be used: unknown."""


class Format(StrEnum):
    """How a command shows its results."""

    TEXT = "text"
    JSON = "json"
    NAGIOS = "nagios"


ConfigFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--config.file",
        "-c",
        metavar="PATH",
        help="A configuration file, or a folder of them; may be repeated. [default: checks.yaml, then "
        "/etc/smtpcheck/checks.yaml]",
    ),
]
Level = Annotated[LogLevel, typer.Option("--log.level", help="What is logged.")]
Style = Annotated[
    LogFormat | None, typer.Option("--log.format", help="How it is logged. [default: console on a terminal, else json]")
]
ShardOf = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Divide the checks among N agents; this is number I, from 0. I may be a pod's name, such as mail-0. "
        "[default: all checks]",
    ),
]


def shard_of(given: str | None) -> Shard:
    """Return the shard of `--shard`; anything else is wrong use."""
    if given is None:
        return WHOLE
    try:
        return parse_shard(given)
    except ValueError as error:
        problem, hint = str(error).split("\n")
        raise typer.BadParameter(f"--shard {given!r} {problem}; {hint}") from None


def files_of(given: Sequence[Path] | None) -> list[Path]:
    """Return the files to load: those given, or the first default that exists."""
    if given:
        return list(given)
    return [next((path for path in DEFAULT_FILES if path.exists()), DEFAULT_FILES[0])]


def settings_or_exit(loaded: "Loaded", code: int) -> "Settings":
    """Return the settings. Raises NotUsableError with every problem, which ends the command with `code`."""
    if loaded.settings is not None:
        return loaded.settings
    raise NotUsableError([str(problem) for problem in loaded.problems], code)


MOST_NAMES = 20
"""How many names an error lists."""


def listed(names: Iterable[str]) -> str:
    """Return names in a sentence, the first `MOST_NAMES` of them; `none` where there are none."""
    known = sorted(names)
    more = f" and {len(known) - MOST_NAMES} more" if len(known) > MOST_NAMES else ""
    return (", ".join(known[:MOST_NAMES]) or "none") + more


def no_such(kind: str, name: str, names: Iterable[str]) -> typer.BadParameter:
    """Return the error of a name that is not in the configuration: the most similar one, or else which there are."""
    from smtpcheck.config.problems import closest

    known = sorted(names)
    hint = f"did you mean {close}?" if (close := closest(name, known)) else f"there is: {listed(known)}"
    return typer.BadParameter(f"there is no {kind} {name!r}; {hint}")


def _names(context: typer.Context, section: str) -> list[str]:
    """Return the names in a section of the configuration, for completion in a shell; none where it cannot be used."""
    from smtpcheck.config import load

    settings = load(files_of(context.params.get("config_file"))).settings
    if settings is None:
        return []
    return sorted(settings.credentials) if section == "credentials" else [check.name for check in settings.checks]


def complete_check(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of checks that begin so, for completion in a shell."""
    return [name for name in _names(context, "checks") if name.startswith(incomplete)]


def complete_credential(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of credentials that begin so, for completion in a shell."""
    return [name for name in _names(context, "credentials") if name.startswith(incomplete)]


def show_problems(loaded: "Loaded") -> None:
    """Show every problem of a configuration on standard error."""
    for problem in loaded.problems:
        print(problem, file=sys.stderr)


def locks_of_agent(settings: "Settings") -> "MailboxLocks | None":
    """Return the locks that an agent beside this command holds; None where there is no such agent's folder.

    A mailbox is waited for as long as three of the agent's runs take: one that was stopped holds no command for ever.
    """
    from smtpcheck.limits.mailbox_lock import MailboxLocks

    folder = settings.agent.state / "locks"
    longest_wait = max((3 * check.timeout for check in settings.checks), default=0.0)
    return MailboxLocks(folder, longest_wait) if os.access(folder, os.W_OK) else None
