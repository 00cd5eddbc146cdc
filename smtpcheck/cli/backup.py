"""`smtpcheck backup`: the state folder as one tar file, also while an agent runs."""

import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from smtpcheck.cli.failure import NotUsableError
from smtpcheck.cli.options import NOT_USABLE, ConfigFiles, files_of, settings_or_exit

if TYPE_CHECKING:
    from smtpcheck.config import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="backup")(backup)


def backup(
    config_file: ConfigFiles = None,
    file: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write it here. [default: standard output]")
    ] = None,
) -> int:
    """Back up the state folder to a tar file.

    Works while an agent runs. The file has history, alerts, messages under way and refresh tokens. To restore it,
    extract it into an empty state folder while no agent runs. Exit codes: 0 written, 3 there is no backup.
    """
    from smtpcheck.config import load
    from smtpcheck.state.backup import BackupError

    if file is None and sys.stdout.isatty():
        raise typer.BadParameter("a backup cannot be shown on a terminal: name a file with --output")
    settings = settings_or_exit(load(files_of(config_file)), NOT_USABLE)
    try:
        names = _write(settings, file)
    except BackupError as error:
        raise NotUsableError([f"smtpcheck: {error}"], NOT_USABLE) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        raise NotUsableError([f"smtpcheck: there is no backup: {error}"], NOT_USABLE) from None
    print(f"backed up: {', '.join(names)}", file=sys.stderr)
    if any(name.startswith("tokens/") for name in names) and settings.agent.token_key is None:
        print(
            "It holds refresh tokens that are not encrypted (agent.token_key): store it like a password.",
            file=sys.stderr,
        )
    return 0


def _write(settings: "Settings", file: Path | None) -> tuple[str, ...]:
    from smtpcheck.state.backup import write_backup

    if file is None:
        return write_backup(settings.agent.state, sys.stdout.buffer)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with _private(draft) as opened:
            names = write_backup(settings.agent.state, opened)
            opened.flush()
            os.fsync(opened.fileno())
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    return names


def _private(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
