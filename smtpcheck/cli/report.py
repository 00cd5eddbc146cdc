"""`smtpcheck report`: availability, outages and what was silenced, from the state of an agent."""

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from smtpcheck.cli.failure import NotUsableError
from smtpcheck.cli.options import NOT_USABLE, ConfigFiles, files_of, settings_or_exit
from smtpcheck.log import LogLevel, configure


class ReportFormat(StrEnum):
    """How the report is written."""

    TEXT = "text"
    CSV = "csv"
    HTML = "html"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="report")(report)


def report(
    config_file: ConfigFiles = None,
    days: Annotated[int, typer.Option(metavar="N", min=1, max=90, help="How many days, up to now.")] = 30,
    output: Annotated[ReportFormat, typer.Option("--format", help="How it is written.")] = ReportFormat.TEXT,
    file: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write it here. [default: standard output]")
    ] = None,
) -> int:
    """Report availability, outages and what was silenced.

    By check, label and credential, with MTTR. Reads the state folder of the configuration, also while an agent runs.
    Exit codes: 0 written, 3 nothing could be read.
    """
    from smtpcheck.config import load
    from smtpcheck.output.availability_csv import as_csv
    from smtpcheck.state.availability_report import availability_report
    from smtpcheck.state.past import PastUnreadableError, read_past

    configure(LogLevel.ERROR)
    settings = settings_or_exit(load(files_of(config_file)), NOT_USABLE)
    now = time.time()
    names = [check.name for check in settings.checks]
    try:
        past = read_past(settings.agent.state, names, last_days=days + 1, now=now)
    except PastUnreadableError as error:
        raise NotUsableError([f"smtpcheck: {error}"], NOT_USABLE) from None
    silences = settings.alerts.silences if settings.alerts else ()
    made = availability_report(settings.checks, past, silences, days=days, now=now)
    if output is ReportFormat.TEXT and file is None:
        from smtpcheck.output.availability_text import availability_text
        from smtpcheck.output.finding import show

        show(availability_text(made))
        return 0
    if output is ReportFormat.TEXT:
        raise typer.BadParameter("--output needs --format csv or html")
    if output is ReportFormat.CSV:
        text = as_csv(made)
    else:
        from smtpcheck.web.availability import html_file

        text = html_file(made)
    return _written(text, file)


def _written(text: str, file: Path | None) -> int:
    if file is None:
        print(text, end="")
        return 0
    try:
        file.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise NotUsableError([f"smtpcheck: {file} cannot be written: {error.strerror}"], NOT_USABLE) from None
    print(f"written to {file}")
    return 0
