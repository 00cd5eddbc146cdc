"""`smtpcheck doctor`: one check examined in twelve steps."""

import json
import sys
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smtpcheck.cli import quick
from smtpcheck.cli.options import NOT_USABLE, ConfigFiles, complete_check, listed, locks_of_agent, no_such
from smtpcheck.cli.run import run_loop
from smtpcheck.log import LogLevel, configure

if TYPE_CHECKING:
    from smtpcheck.check.kit import Kit
    from smtpcheck.cli.doctor.examination import Examination
    from smtpcheck.config import Settings
    from smtpcheck.model.check import Check


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="doctor")(quick.with_options(doctor))


Name = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="The check; not needed if there is only one.", autocompletion=complete_check),
]
Send = Annotated[bool, typer.Option("--send", help="Send a real message to the check's recipient.")]
ProbeRefusal = Annotated[
    bool,
    typer.Option(
        "--probe-refusal", help="Log in once more with a wrong token, to see it refused: this is a failed sign-in."
    ),
]
Output = Annotated[str, typer.Option("--format", metavar="FORMAT", help="text or json.")]
Bundle = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write a report without names, ids and addresses, to share.")
]


def doctor(
    name: Name = None,
    config_file: ConfigFiles = None,
    send: Send = False,
    probe_refusal: ProbeRefusal = False,
    output: Output = "text",
    bundle: Bundle = None,
    *,
    options: Mapping[str, object],
) -> int:
    """Examine one check in twelve steps.

    Asks for a fresh token and goes as deep as the check does, up to the recipient. Exit codes: 0 ok, 1 warning,
    2 critical, 3 unknown.
    """
    configure(LogLevel.ERROR)
    _refuse_wrong_use(output, bundle)
    settings = quick.settings_of(config_file, options)
    check = _chosen(settings, name, send=send)
    return run_loop(_run(settings, check, send=send, probe_refusal=probe_refusal, output=output, bundle=bundle))


def _refuse_wrong_use(output: str, bundle: Path | None) -> None:
    if output not in {"text", "json"}:
        raise typer.BadParameter(f"--format is text or json, not {output!r}")
    if bundle is not None and not bundle.absolute().parent.is_dir():
        raise typer.BadParameter(f"--bundle: {bundle.absolute().parent} is not a folder")


def _chosen(settings: "Settings", name: str | None, *, send: bool) -> "Check":
    if name is None and len(settings.checks) > 1:
        names = listed(check.name for check in settings.checks)
        raise typer.BadParameter(f"name the check to examine; there is: {names}")
    check = next((check for check in settings.checks if name in {None, check.name}), None)
    if check is None:
        raise no_such("check", name or "", (check.name for check in settings.checks))
    if send and check.recipient is None:
        raise typer.BadParameter(f"--send needs a recipient, and the check {check.name} names none")
    if send and check.credential is None and check.expect is None:
        raise typer.BadParameter(f"--send needs a credential, and the check {check.name} names none")
    return check


async def _run(
    settings: "Settings", check: "Check", *, send: bool, probe_refusal: bool, output: str, bundle: Path | None
) -> int:
    from smtpcheck.check.kit import build_kit
    from smtpcheck.cli.doctor.examination import Examination
    from smtpcheck.cli.doctor.result import outcome_of

    kit = await build_kit(settings, locks_of_agent(settings))
    try:
        examination = Examination(check, settings, kit, send=send, probe_refusal=probe_refusal)
        await _show(examination, kit, as_json=output == "json")
    finally:
        await kit.close()
    if bundle is not None and not _write(bundle, examination, kit):
        return NOT_USABLE
    return outcome_of(examination.stages).exit_code


async def _show(examination: "Examination", kit: "Kit", *, as_json: bool) -> None:
    from smtpcheck.cli.doctor.document import as_json as document
    from smtpcheck.cli.doctor.view import View

    if as_json:
        async with aclosing(examination.run()) as stages:
            async for _ in stages:
                pass
        print(json.dumps(document(examination.evidence, examination.stages, kit.catalogue), indent=2))
        return
    with View(examination.evidence.check, kit.catalogue) as view:
        async with aclosing(examination.run()) as stages:
            async for stage in stages:
                view.show(stage)
        view.sum_up(examination.stages)


def _write(bundle: Path, examination: "Examination", kit: "Kit") -> bool:
    from smtpcheck.cli.doctor.document import as_json
    from smtpcheck.cli.doctor.redacted_bundle import redacted

    whole = as_json(examination.evidence, examination.stages, kit.catalogue)
    text = json.dumps(redacted(whole, examination.evidence), indent=2)
    try:
        bundle.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        print(f"smtpcheck: {bundle} cannot be written: {(error.strerror or 'refused').lower()}", file=sys.stderr)
        return False
    print(f"{bundle} has the report without names, ids and addresses; read it before you share it", file=sys.stderr)
    return True
