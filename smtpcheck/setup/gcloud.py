"""The script for Google Workspace: the service account, its key or its federation, and the link for the delegation.

Rules of this file:
- Whatever comes from a configuration is quoted by `shlex.quote`.
- Of a key's file only its public part is read: which account, in which project.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from shlex import quote
from typing import Any
from urllib.parse import quote as in_url

from smtpcheck.config.settings import Settings
from smtpcheck.oauth.google_service_account import GoogleServiceAccount
from smtpcheck.setup.parts import head, joined, part
from smtpcheck.setup.plan import SetupError
from smtpcheck.setup.planning import Wishes
from smtpcheck.setup.powershell import comment

_ACCOUNT = re.compile(r"([a-z][a-z0-9-]{4,28}[a-z0-9])@([a-z][a-z0-9-]{4,28}[a-z0-9])\.iam\.gserviceaccount\.com")
_LARGEST_KEY = 64 * 1024
_HOW = (
    "Read it, and run it with bash as an administrator of the Google Cloud project, after gcloud auth login:",
    "  bash setup.sh --check    checks what can be checked, and changes nothing",
    "  bash setup.sh            adds what is missing; what is there is kept, so it may be run again",
    "Such scripts are tested by parsers and against a stand-in of gcloud, not in a project.",
)


def gcloud_script(settings: Settings, wishes: Wishes) -> str:
    """Return the whole script for the one service account of the configuration, or the one that is named.

    Raises:
        SetupError: There is none, or several; or what its configuration names is no service account.
    """
    name, credential = _chosen(settings, wishes)
    known = _known(credential)
    address = str(credential.service_account or known.get("client_email") or "")
    found = _ACCOUNT.fullmatch(address)
    if address and not found:
        raise SetupError(f"credential {name}: {address!r} is not the address of a service account")
    federated = bool(wishes.proof.issuer and wishes.proof.subject)
    checks = list(_checks(settings, name))
    by_gmail = any(check.via is not None and check.via.api == "gmail" for check in checks)
    data = {
        "project": found[2] if found else "",
        "account": address,
        "account_id": found[1] if found else "smtpcheck",
        "is_named": "yes" if found else "",
        **({"key_file": str(credential.key_file)} if federated or not known else {}),
        "scopes": ",".join(in_url(scope, safe=":/") for scope in _scopes(settings, name, credential)),
        **({"issuer": wishes.proof.issuer, "subject": wishes.proof.subject} if federated else {}),
        **({"subject_json": json.dumps(wishes.proof.subject)[1:-1]} if federated else {}),
    }
    lines = head("Sets Google Workspace up for smtpcheck.", _HOW, _notes(check.mailbox for check in checks))
    return joined(
        [
            "\n".join(["#!/usr/bin/env bash", *(comment(line) for line in lines)]),
            part("gcloud-begin.sh"),
            "\n".join(
                [
                    comment(f"What is to be set up, for credential {name}"),
                    *(f"{key}={quote(value)}" for key, value in data.items()),
                    f"checks=({' '.join(quote(check.name) for check in checks[:20])})",
                ]
            ),
            part("gcloud-project.sh"),
            part("gcloud-account.sh"),
            *(["enable gmail.googleapis.com"] if by_gmail else []),
            part("gcloud-federation.sh") if federated else "" if known else part("gcloud-key.sh"),
            part("gcloud-end.sh"),
        ]
    )


def google_credentials(settings: Settings) -> list[str]:
    """Return the service accounts that checks of the configuration use."""
    return [
        name
        for name, credential in settings.credentials.items()
        if isinstance(credential, GoogleServiceAccount) and any(_checks(settings, name))
    ]


def _chosen(settings: Settings, wishes: Wishes) -> tuple[str, GoogleServiceAccount]:
    names = list(wishes.names) or google_credentials(settings)
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise SetupError(f"a script for Google sets one service account up; name one that a check uses: {found}")
    credential = settings.credentials.get(names[0])
    if not isinstance(credential, GoogleServiceAccount):
        raise SetupError(f"there is no credential {names[0]!r} of type google-service-account")
    if not any(_checks(settings, names[0])):
        raise SetupError(f"no check logs in with credential {names[0]}: add its checks first")
    return names[0], credential


def _checks(settings: Settings, name: str) -> Iterator[Any]:
    for check in settings.checks:
        loopback = settings.loopbacks.get(check.name)
        finds = loopback is not None and loopback.find is not None and loopback.find.credential == name
        if check.credential == name or finds:
            yield check


def _scopes(settings: Settings, name: str, credential: GoogleServiceAccount) -> list[str]:
    """Return the scopes that tokens are requested for, and no further ones."""
    scopes = {check.scope or credential.scope for check in settings.checks if check.credential == name}
    for loopback in settings.loopbacks.values():
        if loopback.find is not None and loopback.find.credential == name:
            scopes.add(loopback.find.scope or credential.scope)
    return sorted(scopes)


def _known(credential: GoogleServiceAccount) -> Mapping[str, Any]:
    """Return what the key's file says of its account; nothing where it does not exist yet."""
    path: Path = credential.key_file
    if not path.exists():
        return {}
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(_LARGEST_KEY))
    except (OSError, ValueError, RecursionError):
        raise SetupError(f"{path} cannot be read as the JSON of a service account") from None
    if not isinstance(value, dict):
        raise SetupError(f"{path} cannot be read as the JSON of a service account")
    impersonated = re.search(r"/serviceAccounts/([^/:]+):", str(value.get("service_account_impersonation_url", "")))
    return {"client_email": value.get("client_email") or (impersonated[1] if impersonated else "")}


def _notes(mailboxes: Iterable[str]) -> Iterator[str]:
    domains = sorted({mailbox.rpartition("@")[2] for mailbox in mailboxes})
    yield f"The delegation has to be granted in the Workspace of each of these domains: {', '.join(domains[:20])}."
    yield "Google has no smaller grant: domain-wide delegation reaches every mailbox of the Workspace."
