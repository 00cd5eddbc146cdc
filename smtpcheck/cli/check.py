"""`smtpcheck check`: some or all checks, each once."""

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated

import typer

from smtpcheck.cli import quick
from smtpcheck.cli.options import ConfigFiles, Format, complete_check, locks_of_agent, no_such
from smtpcheck.cli.run import run_loop
from smtpcheck.log import LogLevel, configure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from smtpcheck.config import Settings
    from smtpcheck.model.check import Check, Depth
    from smtpcheck.model.report import Report


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="check")(quick.with_options(check))


def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME", help="Checks by name or pattern (bill*). [default: all]", autocompletion=complete_check
        ),
    ] = None,
    config_file: ConfigFiles = None,
    depth: Annotated[
        str | None,
        typer.Option(metavar="DEPTH", help="How far to go: connect, token, auth, sender, recipient or send."),
    ] = None,
    loopback: Annotated[
        bool, typer.Option("--loopback", help="Send the loopback's message of each NAME, and wait until it is found.")
    ] = False,
    output: Annotated[Format, typer.Option("--format", help="How to show the result.")] = Format.TEXT,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show each check, also those that failed alike.")
    ] = False,
    *,
    options: Mapping[str, object],
) -> int:
    """Run checks once and show the results.

    Never sends a message without --depth send or --loopback. Without a configuration file, --mailbox, --host and the
    options after it describe one check.

    Exit codes: 0 ok, 1 warning, 2 critical, 3 unknown.
    """
    configure(LogLevel.ERROR)
    settings = quick.settings_of(config_file, options, depth)
    checks = _chosen(settings, names or [])
    if loopback:
        from smtpcheck.cli.loopback import run_loopbacks

        return run_loopbacks(settings, checks, output, named=bool(names), depth=depth)
    return _run_once(settings, checks, depth, output, verbose=verbose)


def _run_once(settings: "Settings", checks: "list[Check]", depth: str | None, output: Format, *, verbose: bool) -> int:
    if output is Format.TEXT and depth is None:
        _note_unsent(checks, settings)
    return run_loop(_run(settings, [_at_depth(each, depth) for each in checks], output, verbose=verbose))


def _chosen(settings: "Settings", names: "list[str]") -> "list[Check]":
    """Return the checks whose name is, or matches, one of `names`; all without any."""
    for name in names:
        if not any(fnmatchcase(check.name, name) for check in settings.checks):
            raise no_such("check", name, (check.name for check in settings.checks))
    return [check for check in settings.checks if not names or any(fnmatchcase(check.name, name) for name in names)]


def _at_depth(check: "Check", depth: str | None) -> "Check":
    """Return the check at the depth that was asked for; without one it goes no deeper than the recipient."""
    from smtpcheck.model.check import Depth

    if depth is not None:
        wanted = next((each for each in Depth if str(each) == depth.lower()), None)
        if wanted is None:
            raise typer.BadParameter(f"{depth!r} is not a valid depth; use one of {', '.join(map(str, Depth))}")
        return replace(check, depth=_allowed(check, wanted))
    return check.silent


def _allowed(check: "Check", depth: "Depth") -> "Depth":
    from smtpcheck.model.check import Depth

    if check.via is not None and depth not in {Depth.TOKEN, Depth.AUTH, Depth.SEND}:
        raise typer.BadParameter(f"depth {depth} is one of SMTP; the check {check.name} goes by {check.via.api}")
    if depth >= Depth.RECIPIENT and check.recipient is None:
        raise typer.BadParameter(f"depth {depth} needs a recipient, and the check {check.name} names none")
    without_login = check.expect is not None and depth >= Depth.SENDER
    if depth.needs_token and check.credential is None and not without_login:
        raise typer.BadParameter(f"depth {depth} needs a credential, and the check {check.name} names none")
    return depth


def _note_unsent(checks: "list[Check]", settings: "Settings") -> None:
    from smtpcheck.model.check import Depth

    if names := [check.name for check in checks if check.depth is Depth.SEND]:
        print(f"No message was sent for {', '.join(names)}: --depth send sends one.")
    if names := [check.name for check in checks if check.name in settings.loopbacks]:
        print(f"Delivery was not checked for {', '.join(names)}: --loopback NAME sends a message and finds it.")


async def _run(settings: "Settings", checks: "list[Check]", output: Format, *, verbose: bool) -> int:
    from smtpcheck.agent.run_once import run_once
    from smtpcheck.model.report import Outcome

    with _progress(len(checks), output) as seen:
        reports = list((await run_once(settings, checks, locks=locks_of_agent(settings), seen=seen)).values())
    _show(checks, reports, output, verbose=verbose)
    return Outcome.worst([report.outcome for report in reports]).exit_code


@contextmanager
def _progress(total: int, output: Format) -> "Iterator[Callable[[Report], None]]":
    """Show on a terminal how many checks have run."""
    if output is not Format.TEXT or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda report: progress.update(task, advance=1, description=f"{report.check} {report.outcome.value}")


def _show(checks: "list[Check]", reports: "list[Report]", output: Format, *, verbose: bool) -> None:
    from smtpcheck.cli.results import results
    from smtpcheck.diagnosis import catalogue
    from smtpcheck.output import terminal
    from smtpcheck.output.finding import show
    from smtpcheck.output.report_json import report_as_json

    rules = catalogue.load()
    if output is Format.NAGIOS:
        print(terminal.nagios(reports, rules))
        return
    if output is Format.JSON:
        print(json.dumps([report_as_json(report, rules) for report in reports], indent=2, default=str))
        return
    for part in results(checks, reports, rules, verbose=verbose):
        show(part)
