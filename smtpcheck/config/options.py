"""One check from the options of the command line, by the same validation as a file.

Rule of this file: options become the mapping that a file would hold; a problem names the option in place of a line.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smtpcheck.config.fields import NAME
from smtpcheck.config.loading import Loading
from smtpcheck.config.problems import KeyPath, Place, Problems
from smtpcheck.config.settings import Loaded

NIL = "00000000-0000-0000-0000-000000000000"
"""A client id that stands for an application that does not exist yet (RFC 9562 5.9)."""
OPTIONS = "options"
"""The name of the credential that options describe."""
_SETUP = "smtpcheck"
_CHECK: dict[str, KeyPath] = {
    "mailbox": ("mailbox",),
    "depth": ("depth",),
    "sender": ("sender",),
    "recipient": ("recipient",),
    "mechanism": ("mechanism",),
    "timeout": ("timeout",),
    "token_timeout": ("token_timeout",),
    "host": ("server", "host"),
    "port": ("server", "port"),
    "security": ("server", "security"),
    "ca_file": ("server", "ca_file"),
    "server_name": ("server", "server_name"),
    "ehlo": ("server", "ehlo"),
}
_MICROSOFT: dict[str, KeyPath] = {
    "cloud": ("cloud",),
    "tenant": ("tenant",),
    "client_id": ("client_id",),
    "client_secret_file": ("client_secret", "file"),
    "client_certificate_file": ("client_certificate", "file"),
    "authority": ("authority",),
    "scope": ("scope",),
}
_KINDS: dict[str, dict[str, KeyPath]] = {
    "token": {"token_file": ("from", "file")},
    "password": {"password_file": ("password", "file")},
    "microsoft": _MICROSOFT,
}
"""The options of each type of credential. The first type of which one is given is meant."""


class _Options:
    """The options as a source of problems."""

    name = ""

    def __init__(self, options: dict[KeyPath, str]) -> None:
        self._options = options

    def line(self, path: KeyPath) -> int | None:  # noqa: ARG002
        return None

    def shown(self, path: KeyPath) -> str:
        """Return the option that gave the value or a part of it, else the one that would."""
        if path[-1:] == ("credential",):
            return "one of --token-file, --password-file, or --tenant with --client-id and --client-secret-file"
        within = (option for at, option in self._options.items() if at[: len(path)] == path)
        around = (option for at, option in self._options.items() if path[: len(at)] == at)
        key = _option(str(path[-1])) if path else ""
        return next(around, None) or next(within, None) or key


def from_options(options: Mapping[str, object], *, strict: bool = False) -> Loaded:
    """Return the settings of one check that options describe, or every problem with them.

    Options are named as the command line has them, with `_` for `-`: mailbox, depth, sender, recipient, mechanism,
    timeout, token_timeout, host, port, security, ca_file (for server and issuer), server_name, ehlo; and tenant,
    client_id, client_secret_file, client_certificate_file, cloud, authority, scope; or token_file; or password_file.
    Paths are relative to the working directory. The check is called by the mailbox's local part.
    """
    problems = Problems(strict=strict)
    kind = next((kind for kind, keys in _KINDS.items() if not keys.keys().isdisjoint(options)), "microsoft")
    keys = _KINDS[kind]
    places = {("checks", 0, *path): _option(name) for name, path in _CHECK.items() if name in options}
    places |= {("credentials", OPTIONS, *path): _option(name) for name, path in keys.items() if name in options}
    source = _Options(places)
    check: dict[str, Any] = {"name": _name(options.get("mailbox")), "interval": "1h", **_mapping(options, _CHECK)}
    credential = _mapping(options, keys)
    value: dict[str, Any] = {"checks": [check]}
    if credential:
        check["credential"] = OPTIONS
        trust = {"ca_file": str(options["ca_file"])} if "ca_file" in options else {}
        value["credentials"] = {OPTIONS: {"type": kind, **trust, **credential}}
    for name in (name for others in _KINDS.values() for name in others if name in options and name not in keys):
        given = next(_option(name) for name in keys if name in options)
        problems.error(Place(source, (name,)), f"cannot be combined with {given}", hint="give one of the two")
    loading = Loading(problems)
    loading.add(source, value, None)
    settings = loading.settings()
    return Loaded(None if problems.any_error else settings, problems.in_order(()))


def for_mailboxes(options: Mapping[str, object], key: Path | None) -> Loaded:
    """Return the settings of mailboxes that options describe and that one application is to log in to.

    Options are mailbox (a list), provider (microsoft or google), tenant, client_id (none: there is no application yet)
    and cloud; `key` is the file of the application's key and certificate, which need not exist yet.
    """
    problems = Problems(strict=False)
    mailboxes = options.get("mailbox")
    addresses = [str(each) for each in mailboxes] if isinstance(mailboxes, list) else []
    given = {name: str(options[name]) for name in ("tenant", "client_id", "cloud") if name in options}
    places: dict[KeyPath, str] = {("credentials", _SETUP, name): _option(name) for name in given}
    places |= {("checks", number, "mailbox"): "--mailbox" for number in range(len(addresses))}
    places[("credentials", _SETUP, "tenant")] = "--tenant"
    value = {
        "credentials": {_SETUP: (_GOOGLE if options.get("provider") == "google" else _microsoft(key)) | given},
        "checks": [{"name": _name(each), "mailbox": each, "credential": _SETUP} for each in addresses],
    }
    source = _Options({**places, ("checks",): "--mailbox"})
    loading = Loading(problems)
    loading.add(source, value, None)
    settings = loading.settings()
    errors = tuple(problem for problem in problems.in_order(()) if problem.severity == "error")
    return Loaded(None if errors else settings, errors)


_GOOGLE: dict[str, Any] = {"type": "google-service-account", "key_file": "service-account.json"}


def _microsoft(key: Path | None) -> dict[str, Any]:
    certificate = {"file": str(key or "smtpcheck.pem")}
    return {"type": "microsoft", "client_id": NIL, "client_certificate": certificate}


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _name(mailbox: object) -> str:
    local = str(mailbox or "").partition("@")[0]
    return "".join(character if NAME.fullmatch(character) else "_" for character in local) or "check"


def _mapping(options: Mapping[str, object], keys: Mapping[str, KeyPath]) -> dict[str, Any]:
    """Return the options as the mapping that a file would hold."""
    mapping: dict[str, Any] = {}
    for name, path in keys.items():
        if name in options:
            inner = mapping
            for key in path[:-1]:
                inner = inner.setdefault(str(key), {})
            value = options[name]
            inner[str(path[-1])] = str(value) if isinstance(value, Path) else value
    return mapping
