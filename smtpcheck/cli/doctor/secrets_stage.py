"""Stage 11: where the secret is stored, who can read it, and what the token may do beyond sending mail.

Rules of this file:
- A secret is looked at only by its source; a `{command}` is never run for that.
- FullAccess lets an application read the mailbox too; Exchange's RBAC for applications can grant sending alone
  (https://learn.microsoft.com/exchange/permissions-exo/application-rbac).
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from smtpcheck.cli.doctor.api_notes import api_of_check
from smtpcheck.cli.doctor.credential_stages import is_of_entra
from smtpcheck.cli.doctor.evidence import Evidence, words
from smtpcheck.cli.doctor.result import Examined, Note, Stage, examined, hint, ok, skipped, warning
from smtpcheck.http_client.urls import host_of
from smtpcheck.model.check import Provider, Security
from smtpcheck.oauth.credential import Credential
from smtpcheck.oauth.microsoft import Microsoft
from smtpcheck.secrets.source import SecretSource, SecretUnreadableError, SecretWarning

_NEEDED = frozenset({"smtp.send", "smtp.sendasapp", "openid", "profile", "email", "offline_access"})
_OF_SMTP = frozenset({"smtp.send", "smtp.sendasapp"})
_NEEDED_BY = {Provider.HVE: _NEEDED - {"smtp.sendasapp"} | {"mail.send"}}
_EVERY_MAILBOX = {
    "full_access_as_app": "reads and changes every mailbox by EWS, where the tenant still allows it (until April 2027)",
    "exchange.manageasapp": "administers Exchange",
    "mail.readwrite": "reads and changes the mail of every mailbox",
    "mail.read": "reads the mail of every mailbox",
    "mail.send": "sends as every mailbox by Graph",
    "imap.accessasapp": "reads mailboxes by IMAP",
    "pop.accessasapp": "reads mailboxes by POP",
}
_WARNING_TEXTS = {
    SecretWarning.LINE_END: "ends with a newline, which another application may send too",
    SecretWarning.BLANK: "starts or ends with a space",
    SecretWarning.BYTE_ORDER_MARK: "starts with a byte order mark",
    SecretWarning.GUID: "has the form of a GUID: the id of a client secret rather than its value",
}
_WORDS = {"source": "the token", "file": "the client key", "passphrase": "the key's passphrase"}
"""How a field of a credential is called, where its own name does not say it."""
_PUBLIC_FILES = frozenset({"ca_file"})


def secret_storage(evidence: Evidence) -> Examined:
    """Return stage 11. Looks at files; blocks on them."""
    credential = evidence.credential
    notes = [] if credential is None else [*_held(credential), *_kind(credential)]
    return examined(Stage.SECRETS, [*notes, *_transport(evidence), *_excess(evidence)])


def _held(model: BaseModel) -> Iterator[Note]:
    """Yield where each secret of a credential and its parts is stored."""
    for name in type(model).model_fields:
        value, what = getattr(model, name), _WORDS.get(name, f"the {name.replace('_', ' ')}")
        if isinstance(value, SecretSource):
            yield from _source(what, value)
            yield from _warnings(what, value)
        elif isinstance(value, BaseModel):
            yield from _held(value)
        elif isinstance(value, Path) and name not in _PUBLIC_FILES:
            yield from _file(what, value)


def _source(what: str, source: SecretSource) -> Iterator[Note]:
    if source.file is not None:
        yield from _file(what, source.file)
    elif source.env is not None:
        yield hint(f"{what} is in variable {source.env}, which child processes inherit; a file of mode 0400 is safer")
    elif source.command is not None:
        yield ok(f"{what} comes from the command {source.command[0]}")
    else:
        yield warning(f"{what} is in the configuration itself; keep it in a file of mode 0400")


def _file(what: str, path: Path) -> Iterator[Note]:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        yield warning(f"{what} in {path} cannot be inspected: {(error.strerror or 'refused').lower()}")
        return
    if os.name == "nt":
        yield ok(f"{what} is in {path}")
    elif mode & (stat.S_IROTH | stat.S_IWOTH):
        yield warning(f"{what} in {path} can be read by every user of this machine (mode {mode:04o}): chmod o-rwx")
    elif mode & (stat.S_IWGRP | stat.S_IRGRP):
        yield hint(f"{what} in {path} can be read by its group (mode {mode:04o})")
    else:
        yield ok(f"{what} in {path} can be read only by its owner (mode {mode:04o})")


def _warnings(what: str, source: SecretSource) -> Iterator[Note]:
    try:
        found = source.warnings()
    except SecretUnreadableError as error:
        yield warning(f"{what} cannot be read: {error}")
        return
    yield from (warning(f"{what} {text}") for hazard, text in _WARNING_TEXTS.items() if hazard in found)


def _kind(credential: Credential) -> Iterator[Note]:
    if isinstance(credential, Microsoft) and credential.client_secret is not None:
        yield hint("a client certificate could replace the secret: its key never leaves this machine")


def _transport(evidence: Evidence) -> Iterator[Note]:
    server = evidence.check.server
    if server.security is Security.NONE:
        if server.allow_plaintext:
            yield warning("the token is sent without TLS (allow_plaintext: true)")
        return
    trust = f"the CAs in {server.ca_file}" if server.ca_file else "the system's CAs"
    yield ok(f"the server's certificate is verified against {trust}, TLS {server.min_tls} or newer")


def _excess(evidence: Evidence) -> Iterator[Note]:
    claims = evidence.claims
    if not claims or not is_of_entra(evidence):
        if evidence.token is not None:
            yield skipped("what the token grants beyond SMTP cannot be read here")
        return
    roles, scopes = words(claims.get("roles")), words(claims.get("scp"))
    api = api_of_check(evidence.check)
    needed = _NEEDED_BY.get(evidence.check.provider, _NEEDED)
    if api is not None:
        needed = _NEEDED - _OF_SMTP | {each.casefold() for each in api.permissions}
    way = "SMTP" if api is None else f"sending by {api.name}"
    for role in roles:
        if role.casefold() not in needed:
            power = _EVERY_MAILBOX.get(role.casefold(), f"is more than {way} needs")
            yield warning(f"the token also grants {role}, which {power}; remove it from the application")
    for scope in scopes:
        if scope.casefold() not in needed:
            yield hint(f"the token also grants {scope}, which {way} does not need")
    if all(word.casefold() in needed for word in (*roles, *scopes)):
        yield ok(f"the token grants nothing beyond {way}")
    graph = host_of(" ".join(words(claims.get("aud")))).startswith("graph.")
    if api is not None and "Mail.Send" in roles:
        yield hint(
            "consent to Mail.Send in Entra lets the application send as every mailbox; Exchange's RBAC for "
            "applications (role 'Application Mail.Send' with a scope) limits it to some"
        )
    if "SMTP.SendAsApp" in roles and not graph:
        yield hint(
            "FullAccess lets the application read the mailbox too; Exchange's RBAC for applications (role "
            "'Application SMTP.SendAsApp' with a scope, and no API permission) lets it only send"
        )
