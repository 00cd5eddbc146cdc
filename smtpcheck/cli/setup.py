"""`smtpcheck setup`: the script that sets a tenant up for a configuration, or takes that back.

Rules of this file:
- The script goes to standard output or to `--output`; what is said about it, to standard error.
- Nothing is connected to: an administrator reads the script and runs it.
"""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smtpcheck.cli.failure import NotUsableError
from smtpcheck.cli.options import NOT_USABLE, ConfigFiles, files_of, settings_or_exit
from smtpcheck.log import LogLevel, configure
from smtpcheck.setup.choices import Grant, SetupProvider, Target

if TYPE_CHECKING:
    from smtpcheck.config import Settings
    from smtpcheck.setup.plan import Proof

REFUSED = 1
_WITHOUT_FILE = "Without a configuration file"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="setup")(setup)


Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="CREDENTIAL", help="Credentials of one tenant. [default: all that a check uses]"),
]
To = Annotated[
    Target | None,
    typer.Option("--to", help="What the script is written for. [default: graph-powershell; for Google gcloud]"),
]
HowGranted = Annotated[Grant, typer.Option(help="How mailboxes are granted: FullAccess to each, or Exchange's RBAC.")]
Group = Annotated[str, typer.Option(metavar="NAME", help="The group of RBAC; it is created.")]
Unit = Annotated[str, typer.Option(metavar="ID", help="With --grant rbac-au.")]
MakeKey = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Make a key with its certificate here; the script has the public part alone."),
]
Identity = Annotated[
    str, typer.Option(metavar="OBJECT_ID", help="A managed identity that proves the application instead.")
]
Issuer = Annotated[
    str, typer.Option(metavar="URL", help="The issuer (iss) of a client_assertion whose file is not here.")
]
Subject = Annotated[str, typer.Option(metavar="TEXT", help="Its subject (sub).")]
Undo = Annotated[
    bool,
    typer.Option(
        "--undo",
        help="Print the script that undoes what a record file says, which is named instead of a CREDENTIAL; without "
        "one, a script that lists what is there.",
    ),
]
Output = Annotated[Path | None, typer.Option(metavar="FILE", help="Write the script here.")]
Provided = Annotated[
    SetupProvider | None, typer.Option(help="Whose tenant it is. [default: microsoft]", rich_help_panel=_WITHOUT_FILE)
]
Tenant = Annotated[str | None, typer.Option(metavar="TENANT", help="The Entra tenant.", rich_help_panel=_WITHOUT_FILE)]
Mailboxes = Annotated[
    list[str] | None, typer.Option(metavar="ADDRESS", help="A mailbox; may be repeated.", rich_help_panel=_WITHOUT_FILE)
]
ClientId = Annotated[
    str | None, typer.Option(metavar="ID", help="An application that exists.", rich_help_panel=_WITHOUT_FILE)
]
CloudName = Annotated[
    str | None, typer.Option(metavar="CLOUD", help="global, gcc-high, dod or china.", rich_help_panel=_WITHOUT_FILE)
]


def setup(
    names: Names = None,
    config_file: ConfigFiles = None,
    to: To = None,
    grant: HowGranted = Grant.MAILBOX,
    group: Group = "smtpcheck",
    administrative_unit: Unit = "",
    make_key: MakeKey = None,
    managed_identity: Identity = "",
    federated_issuer: Issuer = "",
    federated_subject: Subject = "",
    undo: Undo = False,
    output: Output = None,
    tenant: Tenant = None,
    mailbox: Mailboxes = None,
    provider: Provided = None,
    client_id: ClientId = None,
    cloud: CloudName = None,
) -> int:
    """Print the script that grants what the checks need.

    It grants nothing more. Exit codes: 0 printed, 1 no correct script is possible, 3 invalid
    configuration.
    """
    from smtpcheck.setup.plan import SetupError
    from smtpcheck.setup.planning import Wishes
    from smtpcheck.setup.proofs import ProofWishes
    from smtpcheck.setup.targets import listing_for, script_for, undo_of

    configure(LogLevel.ERROR)
    options = {"mailbox": mailbox, "provider": provider, "client_id": client_id, "cloud": cloud}
    is_proven = bool(make_key or managed_identity or (federated_issuer and federated_subject))
    if mailbox and not (is_proven or client_id or undo or provider is SetupProvider.GOOGLE):
        raise typer.BadParameter("say how the new application proves itself: --make-key FILE, or --managed-identity ID")
    try:
        if undo and (record := _record_of(names or [])) is not None:
            return _written(undo_of(record), output)
        settings = _settings(config_file, tenant, options, make_key)
        wishes = Wishes(
            names=tuple(names or ()),
            grant=grant,
            group=group,
            administrative_unit=administrative_unit,
            tenant=tenant or "",
            proof=ProofWishes(
                None if undo else _made(make_key),
                managed_identity,
                federated_issuer,
                federated_subject,
                keep=undo or (bool(client_id) and not is_proven),
            ),
        )
        return _written(listing_for(settings, wishes) if undo else script_for(settings, wishes, to), output)
    except SetupError as error:
        raise NotUsableError([f"smtpcheck: {problem}" for problem in error.problems], REFUSED) from None


def _record_of(names: list[str]) -> Path | None:
    """Return the record that is named in place of a credential."""
    files = [Path(name) for name in names if name.endswith(".jsonl") or Path(name).is_file()]
    if files and len(names) > 1:
        raise typer.BadParameter(f"--undo takes one record, and nothing besides: {', '.join(names)}")
    return files[0] if files else None


def _settings(
    config_file: list[Path] | None, tenant: str | None, options: Mapping[str, object], make_key: Path | None
) -> "Settings":
    from smtpcheck.config import for_mailboxes, load

    given = {name: value for name, value in options.items() if value}
    if given and config_file:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(given))
        raise typer.BadParameter(f"-c and {named} exclude each other: mailboxes come from a file or from options")
    if not given:
        return settings_or_exit(load(files_of(config_file)), NOT_USABLE)
    tenant_given = {"tenant": tenant} if tenant else {}
    return settings_or_exit(for_mailboxes({**given, **tenant_given}, make_key), NOT_USABLE)


def _made(path: Path | None) -> "Proof | None":
    """Return the public part of the key that is to be made, and say what was done."""
    if path is None:
        return None
    from smtpcheck.setup.key import make_key

    made = make_key(path, datetime.now(UTC))
    verb = (
        "has a new private key, readable by its owner alone" if made.is_new else "exists, and its certificate is used"
    )
    print(f"{path} {verb}; the certificate expires {made.proof.expires}", file=sys.stderr)
    return made.proof


def _written(script: str, output: Path | None) -> int:
    if output is None:
        sys.stdout.write(script)
        return 0
    try:
        output.write_text(script, encoding="utf-8", newline="\n")
    except OSError as error:
        problem = f"smtpcheck: {output} cannot be written: {(error.strerror or 'refused').lower()}"
        raise NotUsableError([problem], REFUSED) from None
    print(f"{output} has the script: read it, then run it as its first lines say", file=sys.stderr)
    return 0
