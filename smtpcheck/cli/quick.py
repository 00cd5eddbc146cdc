"""The options that describe one check without a configuration file, and what they load."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smtpcheck.cli.failure import NotUsableError
from smtpcheck.cli.options import DEFAULT_FILES, NOT_USABLE, files_of, settings_or_exit

if TYPE_CHECKING:
    from smtpcheck.config import Settings


_WITHOUT_FILE = "name a configuration with -c, or describe one check by options: --mailbox, --host and others"


def _option(name: str, metavar: str, text: str) -> object:
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel="Without a configuration file")


Host = Annotated[str | None, _option("--host", "HOST", "The SMTP server.")]
Port = Annotated[int | None, _option("--port", "PORT", "Its port.")]
SecurityName = Annotated[str | None, _option("--security", "MODE", "starttls, implicit or none.")]
Mailbox = Annotated[str | None, _option("--mailbox", "ADDRESS", "The mailbox to log in as.")]
Recipient = Annotated[str | None, _option("--recipient", "ADDRESS", "The recipient.")]
MechanismName = Annotated[
    str | None, _option("--mechanism", "MECHANISM", "xoauth2 or oauthbearer; with a password plain or login.")
]
CloudName = Annotated[str | None, _option("--cloud", "CLOUD", "global, gcc-high, dod or china.")]
Tenant = Annotated[str | None, _option("--tenant", "TENANT", "The Entra tenant.")]
ClientId = Annotated[str | None, _option("--client-id", "ID", "The application (client) id.")]
ClientSecretFile = Annotated[Path | None, _option("--client-secret-file", "FILE", "A file with the secret.")]
ClientCertificateFile = Annotated[
    Path | None, _option("--client-certificate-file", "FILE", "A file with key and certificate.")
]
Authority = Annotated[str | None, _option("--authority", "URL", "An issuer other than Microsoft's.")]
TokenFile = Annotated[Path | None, _option("--token-file", "FILE", "A file with an access token.")]
PasswordFile = Annotated[Path | None, _option("--password-file", "FILE", "A file with the mailbox's password.")]
CaFile = Annotated[Path | None, _option("--ca-file", "FILE", "PEM certificates to trust.")]
OPTIONS: Mapping[str, object] = {
    "host": Host,
    "port": Port,
    "security": SecurityName,
    "mailbox": Mailbox,
    "recipient": Recipient,
    "mechanism": MechanismName,
    "cloud": CloudName,
    "tenant": Tenant,
    "client_id": ClientId,
    "client_secret_file": ClientSecretFile,
    "client_certificate_file": ClientCertificateFile,
    "authority": Authority,
    "token_file": TokenFile,
    "password_file": PasswordFile,
    "ca_file": CaFile,
}
"""Each option by its parameter's name."""


def with_options(command: Callable[..., int]) -> Callable[..., int]:
    """Return a command for Typer that takes these options too, and hands them over as the mapping `options`."""

    def taking_options(**given: object) -> int:
        options = {name: given.pop(name) for name in OPTIONS}
        return command(**given, options=options)

    own = [each for each in inspect.signature(command).parameters.values() if each.name != "options"]
    further = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in OPTIONS.items()
    ]
    taking_options.__doc__ = command.__doc__
    taking_options.__annotations__ = {each.name: each.annotation for each in (*own, *further)}
    taking_options.__signature__ = inspect.Signature([*own, *further])  # type: ignore[attr-defined]
    return taking_options


def settings_of(config_file: list[Path] | None, options: Mapping[str, object], depth: str | None = None) -> "Settings":
    """Return the settings of the files, or of the options, at a depth if one is given; both are wrong use."""
    from smtpcheck.config import from_options, load

    given = {name: value for name, value in options.items() if value is not None}
    if config_file and given:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(given))
        raise typer.BadParameter(f"-c and {named} exclude each other: a check comes from a file or from options")
    if not config_file and not given and not any(path.exists() for path in DEFAULT_FILES):
        where = " and no ".join(map(str, DEFAULT_FILES))
        raise NotUsableError([f"there is no {where}\n  hint: {_WITHOUT_FILE}"], NOT_USABLE)
    if given and depth is not None:
        given["depth"] = depth
    return settings_or_exit(from_options(given) if given else load(files_of(config_file)), NOT_USABLE)
