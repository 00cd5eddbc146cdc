"""`smtpcheck check --loopback`: a message of each check is sent at once, and searched for until its fate is known."""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from smtpcheck.cli.options import Format, listed, locks_of_agent
from smtpcheck.cli.run import run_loop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from smtpcheck.agent.loopback_once import LoopbackResult
    from smtpcheck.config import Settings
    from smtpcheck.loopback.message_state import Message
    from smtpcheck.model.check import Check


def run_loopbacks(
    settings: "Settings", checks: "list[Check]", output: Format, *, named: bool, depth: str | None
) -> int:
    """Send and find the messages of these checks, show what came out, and return the exit code."""
    if not named:
        raise typer.BadParameter(
            f"--loopback sends messages: name the checks; with a loopback there is: {listed(settings.loopbacks)}"
        )
    if depth is not None:
        raise typer.BadParameter("--loopback includes sending; remove --depth")
    for check in checks:
        if check.name not in settings.loopbacks:
            raise typer.BadParameter(f"the check {check.name} has no loopback")
    return run_loop(_run(settings, checks, output))


async def _run(settings: "Settings", checks: "list[Check]", output: Format) -> int:
    from smtpcheck.agent.loopback_once import run_loopback
    from smtpcheck.check.kit import build_kit
    from smtpcheck.model.report import Outcome

    kit = await build_kit(settings, locks_of_agent(settings))
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(run_loopback(settings, check, kit, news=_announcer(check, output)))
                for check in checks
            ]
    finally:
        await kit.close()
    results = [task.result() for task in tasks]
    _show(checks, results, output)
    return Outcome.worst([result.report.outcome for result in results]).exit_code


def _announcer(check: "Check", output: Format) -> "Callable[[Message], None]":
    """Return what shows the progress of a message on a terminal."""
    shown: set[str] = set()

    def show_progress(message: "Message") -> None:
        if output is Format.TEXT and sys.stderr.isatty() and message.stage not in shown:
            shown.add(message.stage)
            print(f"{check.name}: message {message.message_id} is {message.stage}", file=sys.stderr)

    return show_progress


def _show(checks: "list[Check]", results: "list[LoopbackResult]", output: Format) -> None:
    from smtpcheck.diagnosis import catalogue
    from smtpcheck.model.printable import printable
    from smtpcheck.output import terminal
    from smtpcheck.output.finding import show
    from smtpcheck.output.loopback_json import loopback_as_json
    from smtpcheck.output.report_json import report_as_json

    reports = [result.report for result in results]
    rules = catalogue.load()
    if output is Format.NAGIOS:
        print(terminal.nagios(reports, rules))
        return
    if output is Format.JSON:
        shown = [
            report_as_json(result.report, rules) | {"loopback": loopback_as_json(result.loopback_status, rules)}
            for result in results
        ]
        print(json.dumps(shown, indent=2, default=str))
        return
    show(terminal.report_table(reports))
    for check, result in zip(checks, results, strict=True):
        for message in result.loopback_status.record.messages:
            show(printable(f"\n{check.name}  {message.message_id}", keep="\n"))
            show(_timeline(message))
        if result.report.outcome is not result.report.outcome.OK:
            show(terminal.details(result.report, check, rules))
    show(terminal.summary(reports))


def _timeline(message: "Message") -> "Table":
    """Return the way of a message as a table."""
    from rich.table import Table
    from rich.text import Text

    from smtpcheck.loopback.timeline import timeline
    from smtpcheck.model.printable import printable
    from smtpcheck.model.timestamp import clock_text

    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for event in timeline(message):
        at = "" if event.at is None else clock_text(event.at)
        after = (
            "" if event.seconds is None else f"{event.seconds if event.clocks_differ else abs(event.seconds):+.1f} s"
        )
        more = " (the clocks differ)" if event.clocks_differ else ""
        said = f"\n{event.detail}" if event.detail else ""
        table.add_row(at, after, Text(printable(f"{event.text}{more}{said}", keep="\n")))
    for line in _receiver_says(message):
        table.add_row("", "", Text(printable(line)))
    return table


def _receiver_says(message: "Message") -> "Iterator[str]":
    for method, result in message.authentication:
        yield f"{method}={result}"
    yield from message.contradictions
    if message.receiver_id is not None:
        yield f'to believe the results of this receiver, set authserv_id: "{message.receiver_id}"'
