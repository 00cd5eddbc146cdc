"""`smtpcheck inspect`: everything that the provider says of a credential's application and of its mailboxes."""

import json
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from smtpcheck.cli.options import NOT_USABLE, ConfigFiles, complete_credential, files_of, no_such, settings_or_exit
from smtpcheck.cli.run import run_loop
from smtpcheck.log import LogLevel, configure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smtpcheck.config import Settings
    from smtpcheck.diagnosis.inspected.view import Defect
    from smtpcheck.inspection.inspector import Inspector
    from smtpcheck.model.inspection import Inspection

_MANY_REQUESTS = 30
"""From so many requests on, at one a second, it is said how long it takes."""


class Format(StrEnum):
    """How the table is shown."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="inspect")(inspect)


def inspect(
    credential: Annotated[
        str,
        typer.Argument(
            metavar="CREDENTIAL",
            help="A credential that has inspect: in the configuration.",
            autocompletion=complete_credential,
        ),
    ],
    config_file: ConfigFiles = None,
    basic_auth: Annotated[
        bool,
        typer.Option(
            "--basic-auth", help="Show instead who logged in to the tenant's SMTP with a password in the last 30 days."
        ),
    ] = False,
    output: Annotated[Format, typer.Option("--format", help="How it is shown.")] = Format.TEXT,
) -> int:
    """Show what the provider itself says of a credential.

    That is of its application and of the mailboxes of its checks.

    What is wrong comes first. It only reads, one request a second. Exit codes: 0 nothing is wrong, 1 something is,
    3 nothing could be read.
    """
    from smtpcheck.config import load

    configure(LogLevel.ERROR)
    settings = settings_or_exit(load(files_of(config_file)), NOT_USABLE)
    if credential not in settings.credentials:
        raise no_such("credential", credential, settings.credentials)
    if credential not in settings.inspections:
        raise typer.BadParameter(
            f"the credential {credential} has no inspector: add inspect: {{by: CREDENTIAL}} to it (docs/inspection.md)"
        )
    return run_loop(_run(settings, credential, output, basic_auth=basic_auth))


async def _run(settings: "Settings", credential: str, output: Format, *, basic_auth: bool) -> int:
    import time

    from smtpcheck.check.kit import build_kit
    from smtpcheck.inspection.inspectors import Inspectors

    kit = await build_kit(settings)
    inspectors = Inspectors(settings.inspections, settings.credentials, kit.tokens)
    try:
        inspector = inspectors.get(credential)
        if inspector is None:
            raise RuntimeError(f"the credential {credential} has a plan and no inspector")
        if basic_auth:
            return await _password_logins(inspector, output)
        found = await _read(inspector)
    finally:
        await inspectors.close()
        await kit.close()
    defects = _defects(found, settings, credential, time.time())
    _show(credential, found, defects, output)
    if not found.facts:
        return NOT_USABLE
    return 1 if defects else 0


async def _password_logins(inspector: "Inspector", output: Format) -> int:
    """Show who logs in with a password; exit code 1 where somebody does."""
    from smtpcheck.inspection.not_readable import NotReadableError
    from smtpcheck.output.finding import show
    from smtpcheck.output.password_logins import logins_csv, logins_json, logins_text

    try:
        found = await inspector.password_logins()
    except NotReadableError as error:
        print(f"smtpcheck: the sign-in log is not readable: {error.detail}", file=sys.stderr)
        return NOT_USABLE
    rows = [(each.account, each.succeeded, each.failed, each.addresses, each.last_at) for each in found.accounts]
    match output:
        case Format.JSON:
            print(json.dumps(logins_json(rows, is_whole=found.is_whole), indent=2))
        case Format.CSV:
            print(logins_csv(rows), end="")
        case Format.TEXT:
            show(logins_text(rows, is_whole=found.is_whole))
    return 1 if rows else 0


async def _read(inspector: "Inspector") -> "Inspection":
    from smtpcheck.inspection.questions import QUESTIONS

    mailboxes = inspector.plan.mailboxes
    requests = sum(step.question.needs.requests for step in inspector.steps(QUESTIONS, mailboxes))
    if requests > _MANY_REQUESTS and sys.stderr.isatty():
        print(f"up to {requests} requests, one a second: about {requests / 60:.0f} minutes", file=sys.stderr)
    return await inspector.read(QUESTIONS, mailboxes)


def _defects(found: "Inspection", settings: "Settings", credential: str, now: float) -> "tuple[Defect, ...]":
    from smtpcheck.diagnosis.inspected.defects import defects_of

    plan, hints = settings.inspections[credential], settings.credentials[credential].hints(credential)
    return defects_of(found, plan.mailboxes, hints, now)


def _show(credential: str, found: "Inspection", defects: "Sequence[Defect]", output: Format) -> None:
    from smtpcheck.diagnosis import catalogue
    from smtpcheck.output.finding import show
    from smtpcheck.output.inspection import inspection_csv, inspection_json, inspection_text

    match output:
        case Format.JSON:
            print(json.dumps(inspection_json(credential, found, defects), indent=2))
        case Format.CSV:
            print(inspection_csv(found, defects), end="")
        case Format.TEXT:
            show(inspection_text(found, defects, catalogue.load()))
