"""Mistakes that are well formed: what the server or the issuer would refuse, found before any network step.

Rules of this file:
- An error is what cannot work; a warning is what may work, or works only for now.
- What is special to Microsoft's own clouds does not apply to an issuer of one's own (`authority:`).
- Secrets are read to see that they can be, and no command is run.
"""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel

from smtpcheck.config.expect import check_expectation
from smtpcheck.config.fields import is_address, trust_error
from smtpcheck.config.mailboxes import Entry
from smtpcheck.config.problems import KeyPath, Place, Problems
from smtpcheck.config.providers import (
    ACS_SCOPE,
    HVE_HOST,
    OLD_HVE_HOST,
    provider_of_credential,
    provider_of_host,
    takes_tokens_of,
)
from smtpcheck.model.check import Check, Depth, Provider, Security
from smtpcheck.oauth.cloud_credential import CloudCredential
from smtpcheck.oauth.clouds import CLOUDS, Cloud, clouds_of_smtp_host
from smtpcheck.oauth.credential import Credential, issuer_of
from smtpcheck.oauth.microsoft import Microsoft
from smtpcheck.oauth.microsoft_user import MicrosoftUser
from smtpcheck.oauth.oauth2 import OAuth2
from smtpcheck.secrets.source import VARIABLE, SecretSource, SecretUnreadableError, SecretWarning

_Member = TypeVar("_Member")
_GRAPH_HOSTS = frozenset(facts.graph for facts in CLOUDS.values())
_IMPLICIT_TLS_PORT = 465
_PERSONAL_DOMAIN = re.compile(r"(?:outlook|hotmail|live|msn|passport)(?:\.[a-z]{2,3}){1,2}")
_INBOUND_HOST = ".mail.protection.outlook.com"


def lint_credential(credential: Credential, place: Place, problems: Problems) -> None:
    """Report what is wrong with a credential whose form is right."""
    for path, source in _members(credential, SecretSource):
        lint_secret(source, place + path, problems)
    for path, file in _members(credential, Path):
        if not _is_readable(file):
            problems.warning(place + path, f"file {file} cannot be read")
    if isinstance(credential, OAuth2) and credential.issuer and issuer_of(credential.issuer) != credential.issuer:
        hint = f"write {issuer_of(credential.issuer)}"
        problems.warning(place / "issuer", "is the address of the discovery document, not the issuer's", hint=hint)
    if isinstance(credential, Microsoft):
        _check_expiry(credential, place / "client_secret_expires", problems)


def lint_check(check: Check, credential: Credential | None, entry: Entry, problems: Problems) -> None:
    """Report what cannot work about a check whose form is right."""
    if check.server.ca_file and (error := trust_error(check.server.ca_file)):
        problems.error(entry.at(("server", "ca_file")), error, value=check.server.ca_file)
    _check_plaintext(check, entry, problems)
    _check_port(check, entry, problems)
    check_expectation(check, entry.at(("expect",)), problems)
    _check_schedule(check, entry, problems)
    private = isinstance(credential, CloudCredential) and credential.authority is not None
    at_exchange = provider_of_host(check.server.host) is Provider.MICROSOFT or is_address(check.server.host)
    if check.provider is Provider.MICROSOFT and at_exchange and not private:
        _check_exchange(check, credential, entry, problems)
    if check.provider is Provider.HVE:
        _check_high_volume(check, entry, problems)
    if check.provider is Provider.ACS and check.via is None and isinstance(credential, Microsoft):
        _check_communication_services(check, credential, entry, problems)
    if isinstance(credential, CloudCredential) and not private:
        _check_cloud(check, credential, entry, problems)
    if isinstance(credential, MicrosoftUser) and not private:
        _check_personal(check, credential, entry, problems)
        _check_consent(check, credential, entry, problems)
    if credential is not None and not private:
        _check_provider(check, credential, entry, problems)


# -- credentials ------------------------------------------------------------------------------------------------------


def _members(model: BaseModel, kind: type[_Member]) -> Iterator[tuple[KeyPath, _Member]]:
    """Yield every value of that kind in a credential and its parts, with its keys; those of a secret's source apart."""
    for name, field in type(model).model_fields.items():
        value, key = getattr(model, name), field.alias or name
        if isinstance(value, kind):
            yield (key,), value
        elif isinstance(value, BaseModel) and not isinstance(value, SecretSource):
            yield from (((key, *path), member) for path, member in _members(value, kind))


def _is_readable(file: Path) -> bool:
    try:
        return os.access(file, os.R_OK)
    except ValueError:  # a name with a null character
        return False


def lint_secret(source: SecretSource, place: Place, problems: Problems) -> None:
    """Report what is wrong with a secret, or suspicious about it."""
    _check_variables(source, place, problems)
    try:
        warnings = source.warnings()
    except SecretUnreadableError as error:
        problems.warning(place, f"the secret cannot be read: {error}")
        return
    if SecretWarning.GUID in warnings and place.path[-1] == "client_secret":
        problems.error(
            place,
            f"{source} contains a GUID, which is the id of a client secret and not its value",
            hint='copy the column "Value" of the portal; it is shown only once, so make a new secret if it is gone',
        )
    if SecretWarning.VARIABLE in warnings:
        hint = "variables are not replaced in the source of a secret: write {env: NAME}"
        problems.error(place, f"{source} contains nothing but a variable of the environment", hint=hint)
    if SecretWarning.LINE_END in warnings:
        problems.warning(
            place,
            f"{source} ends with a newline; {'it is dropped here' if source.file else 'it is part of the secret'}",
            hint="another application that reads it may send it: write it with printf '%s', not with echo",
        )
    if SecretWarning.BLANK in warnings:
        problems.warning(place, f"{source} starts or ends with a space, which is part of the secret")
    if SecretWarning.BYTE_ORDER_MARK in warnings:
        problems.warning(
            place,
            f"{source} starts with a byte order mark, which is dropped here",
            hint="another application that reads it may send it: save it as UTF-8 without BOM",
        )


def _check_variables(source: SecretSource, place: Place, problems: Problems) -> None:
    """Report a variable of the environment where none is replaced."""
    texts = (str(source.file or ""), *(source.command or ()), getattr(source, "url", None) or "")
    if any(VARIABLE.search(text) for text in texts):
        problems.warning(place, "variables are not replaced in the source of a secret", hint="write it without one")


def _check_expiry(credential: Microsoft, place: Place, problems: Problems) -> None:
    expires = credential.client_secret_expires
    if expires is not None and expires < datetime.now(UTC).date():
        problems.warning(place, "is past: the client secret has expired", value=str(expires), hint="make a new secret")


def lint_scope(credential: Credential, place: Place, *, for_smtp: bool, problems: Problems) -> None:
    """Report a scope that cannot work; one of Microsoft Graph can where no check by SMTP uses the credential."""
    if not isinstance(credential, Microsoft) or credential.authority is not None:
        return
    right = CLOUDS[credential.cloud].scope
    if urlsplit(credential.scope).hostname in _GRAPH_HOSTS and for_smtp:
        problems.error(place, "is for Microsoft Graph, whose tokens SMTP refuses (535 5.7.3)", hint=f"write {right}")
    elif not credential.scope.endswith("/.default"):
        hint = f"write {right}"
        problems.error(place, "client credentials need a scope that ends with /.default (AADSTS1002012)", hint=hint)


# -- checks -----------------------------------------------------------------------------------------------------------


def _check_plaintext(check: Check, entry: Entry, problems: Problems) -> None:
    server = check.server
    if server.security is not Security.NONE or check.depth is Depth.TOKEN or not check.uses_credential:
        return
    if not server.allow_plaintext:
        problems.error(
            entry.at(("server", "security")),
            f"without TLS no {_secret_of(check)} is sent, and depth {check.depth} needs to send one",
            value=str(server.security),
            hint="use starttls or implicit; where nobody can eavesdrop, set allow_plaintext: true",
        )


def _check_port(check: Check, entry: Entry, problems: Problems) -> None:
    server = check.server
    if server.port != _IMPLICIT_TLS_PORT or server.security is Security.IMPLICIT:
        return
    if provider_of_host(server.host) is not Provider.MICROSOFT:
        problems.warning(
            entry.at(("server", "port")),
            f"is the port of implicit TLS (RFC 8314 3.3), and security is {server.security}",
            value=server.port,
            hint="write security: implicit, or port: 587",
        )


def _secret_of(check: Check) -> str:
    return "password" if check.password else "token"


def _check_schedule(check: Check, entry: Entry, problems: Problems) -> None:
    if check.depth is Depth.SEND and not check.scheduled:
        problems.warning(
            entry.at(("depth",)),
            "with schedule: false a message is sent only on a user's request: /probe goes to recipient at most",
            value=str(check.depth),
            hint="let the agent schedule it, or write depth: recipient",
        )


def _check_exchange(check: Check, credential: Credential | None, entry: Entry, problems: Problems) -> None:
    server = check.server
    if is_address(server.host):
        problems.error(
            entry.at(("server", "host")),
            "is an IP address; Exchange Online is reached by name, and its certificate covers names only",
            value=server.host,
            hint=f"write {_host_of(credential)}",
        )
    if server.port == _IMPLICIT_TLS_PORT:
        problems.error(
            entry.at(("server", "port")),
            "Exchange Online does not offer implicit TLS on port 465",
            value=server.port,
            hint="write port: 587, security: starttls",
        )
    elif server.security is Security.IMPLICIT:
        problems.error(
            entry.at(("server", "security")),
            "Exchange Online does not offer implicit TLS",
            value=str(server.security),
            hint="write port: 587, security: starttls",
        )
    if check.password and check.expect is None:
        problems.error(
            entry.at(("credential",)),
            f"credential {check.credential} is a password, which Exchange Online is retiring (basic authentication)",
            hint="use a credential that gets tokens; or check that passwords are refused, with expect: {phase: auth}",
        )
    if server.host.lower().endswith(_INBOUND_HOST) and check.depth > Depth.TOKEN and check.uses_credential:
        problems.warning(
            entry.at(("server", "host")),
            "receives mail from outside; clients cannot log in there",
            value=server.host,
            hint=f"write {_host_of(credential)}",
        )


def _check_personal(check: Check, credential: MicrosoftUser, entry: Entry, problems: Problems) -> None:
    if credential.tenant == "common" and _PERSONAL_DOMAIN.fullmatch(_domain(check.mailbox)):
        problems.warning(
            entry.at(("mailbox",)),
            "is a personal account, whose refresh token from tenant: common expires at its first refresh",
            value=check.mailbox,
            hint=f"write tenant: consumers in credential {check.credential}, then log in again",
        )


def _check_consent(check: Check, credential: MicrosoftUser, entry: Entry, problems: Problems) -> None:
    """Warn where the login of a user asks for the consent of another resource than that which the check needs."""
    needed = check.via.scope if check.via else ""
    if needed and urlsplit(needed).netloc != urlsplit(credential.scope).netloc:
        problems.warning(
            entry.at(("credential",)),
            f"needs {needed}, and a login of credential {check.credential} asks for {credential.scope} only",
            hint=f"write scope: {needed} in the credential and log in again, or have an administrator consent to it",
        )


def _check_high_volume(check: Check, entry: Entry, problems: Problems) -> None:
    if check.server.host.lower() == OLD_HVE_HOST:
        problems.warning(
            entry.at(("server", "host")),
            "is the old name of High Volume Email, which is to go",
            value=check.server.host,
            hint=f"write {HVE_HOST}",
        )
    if check.recipient and _domain(check.recipient) != _domain(check.sender):
        problems.warning(
            entry.at(("recipient",)),
            "is of another domain, and High Volume Email sends to recipients of the own organisation only",
            value=check.recipient,
            hint="name a mailbox of your organisation",
        )


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower()


def _check_communication_services(check: Check, credential: Microsoft, entry: Entry, problems: Problems) -> None:
    if credential.scope != ACS_SCOPE:
        problems.error(
            entry.at(("credential",)),
            f"credential {check.credential} gets tokens for {credential.scope}, which Azure Communication Services "
            "refuses",
            hint=f"write scope: {ACS_SCOPE} in the credential",
        )


def _host_of(credential: Credential | None) -> str:
    return CLOUDS[credential.cloud if isinstance(credential, CloudCredential) else Cloud.GLOBAL].smtp_host


def _check_cloud(check: Check, credential: CloudCredential, entry: Entry, problems: Problems) -> None:
    homes = clouds_of_smtp_host(check.server.host)
    if homes and credential.cloud not in homes:
        problems.error(
            entry.at(("server", "host")),
            f"belongs to cloud {' or '.join(sorted(homes))}, and credential {check.credential} to {credential.cloud}",
            value=check.server.host,
            hint=f"write {CLOUDS[credential.cloud].smtp_host}, or set the right cloud in the credential",
        )


def _check_provider(check: Check, credential: Credential, entry: Entry, problems: Problems) -> None:
    of_host, of_credential = provider_of_host(check.server.host), provider_of_credential(credential.type)
    if of_host and of_credential and takes_tokens_of(of_host) is not of_credential:
        problems.error(
            entry.at(("server", "host")),
            f"belongs to {of_host.title()}, and credential {check.credential} gives tokens of {of_credential.title()}",
            value=check.server.host,
            hint="name the server and the credential of one provider",
        )
