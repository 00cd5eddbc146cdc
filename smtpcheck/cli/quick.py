"""The options that describe one check without a configuration file, and what they load."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smtpcheck.cli.options import NOT_USABLE, files_of, settings_or_exit

if TYPE_CHECKING:
    from smtpcheck.config import Settings


def _option(name: str, text: str) -> object:
    return typer.Option(name, help=text, rich_help_panel="Without a configuration file")


Host = Annotated[str | None, _option("--host", "The SMTP server.")]
Port = Annotated[int | None, _option("--port", "Its port.")]
SecurityName = Annotated[str | None, _option("--security", "starttls, implicit or none.")]
Mailbox = Annotated[str | None, _option("--mailbox", "The mailbox to log in as.")]
Recipient = Annotated[str | None, _option("--recipient", "The recipient.")]
MechanismName = Annotated[str | None, _option("--mechanism", "xoauth2 or oauthbearer; with a password plain or login.")]
CloudName = Annotated[str | None, _option("--cloud", "global, gcc-high, dod or china.")]
Tenant = Annotated[str | None, _option("--tenant", "The Entra tenant.")]
ClientId = Annotated[str | None, _option("--client-id", "The application (client) id.")]
ClientSecretFile = Annotated[Path | None, _option("--client-secret-file", "A file with the secret.")]
ClientCertificateFile = Annotated[Path | None, _option("--client-certificate-file", "A file with key and certificate.")]
Authority = Annotated[str | None, _option("--authority", "An issuer other than Microsoft's.")]
TokenFile = Annotated[Path | None, _option("--token-file", "A file with an access token.")]
PasswordFile = Annotated[Path | None, _option("--password-file", "A file with the mailbox's password.")]
CaFile = Annotated[Path | None, _option("--ca-file", "PEM certificates to trust.")]


def settings_of(config_file: list[Path] | None, options: Mapping[str, object], depth: str | None = None) -> "Settings":
    """Return the settings of the files, or of the options, at a depth if one is given; both are wrong use."""
    from smtpcheck.config import from_options, load

    given = {name: value for name, value in options.items() if value is not None}
    if config_file and given:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(given))
        raise typer.BadParameter(f"-c and {named} exclude each other: a check comes from a file or from options")
    if given and depth is not None:
        given["depth"] = depth
    return settings_or_exit(from_options(given) if given else load(files_of(config_file)), NOT_USABLE)
