"""The command line: one file per command, gathered here.

Rules of this package:
- A command only reads its options, calls the rooms below and shows what they return; it decides nothing of its own.
- Exit codes: `check` 0 ok, 1 warning, 2 critical, 3 unknown or configuration not usable; wrong use 64 (EX_USAGE), since
  the usual 2 would read as critical; an interrupt 130, a closed pipe 141; a fault of smtpcheck itself 3.
- What is heavy is imported inside the command, so that `--help` and `explain` start at once.
"""

import sys
from typing import Annotated

import typer

from smtpcheck.cli import backup, check, config, demo, explain, failure, inspect, login, notify_test, report, run, setup
from smtpcheck.cli.doctor import command as doctor
from smtpcheck.cli.signals import exit_on_sigterm

_INTERRUPTED = 130

app = typer.Typer(
    name="smtpcheck",
    help="Watches SMTP with OAuth2: gets tokens, does the handshake, names the cause and the fix.",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (run, check, doctor, inspect, explain, login, setup, report, backup, notify_test, config, demo):
    command.register(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        from smtpcheck.cli.version import describe

        typer.echo(describe())
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and what it runs on, and exit."
        ),
    ] = False,
) -> None:
    del version  # its own callback has answered it
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(failure.EX_USAGE)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line with `arguments` (those of the process if None) and return its exit code."""
    exit_on_sigterm()
    given = sys.argv[1:] if arguments is None else arguments
    try:
        code = _invoke(given)
        sys.stdout.flush()
    except BrokenPipeError:
        code = failure.closed_pipe()
    except SystemExit as error:  # how Typer and Rich end at a closed pipe
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        code = failure.closed_pipe()
    return code if arguments is not None else failure.leave(code)


def _sentence(error: typer.TyperException) -> str:
    """Return what is wrong with the arguments; what a command itself says of them is a sentence already."""
    own = isinstance(error, typer.BadParameter) and error.param is None
    return error.message if own else error.format_message()


def _invoke(arguments: list[str]) -> int:
    try:
        code = app(args=arguments, prog_name="smtpcheck", standalone_mode=False)
    except typer.TyperException as error:
        names = {each.name for each in app.registered_commands if each.name}
        return failure.wrong_use(arguments, _sentence(error), names)
    except failure.NotUsableError as error:
        return failure.not_usable(arguments, error)
    except (typer.Abort, KeyboardInterrupt):
        print("smtpcheck: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001
        return failure.internal_error(arguments, error)
    return code if isinstance(code, int) else 0
