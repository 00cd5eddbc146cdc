"""The record of a script: what it changed, and what was there before, as JSON, a line for each step.

Rules of this file:
- The record comes from another machine: whatever is in it is checked against the form that a script gives it, and
  bounded. A line that is not of that form is an error, never ignored: half an undo is no undo.
- A step has a line 'before', and where only its result has an id, a line 'done' with it. Of several lines about one
  thing the first counts, for it has the value from before all of them.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smtpcheck.model.printable import printable
from smtpcheck.setup.plan import SetupError

LARGEST = 64 * 1024 * 1024
"""Octets of a record; one of 100,000 steps has a quarter of that."""

_FORMS = {
    "guid": re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    "hex": re.compile(r"[0-9A-F]{40}"),
    "id": re.compile(r"[A-Za-z0-9_-]{1,100}"),
    "text": re.compile(r"[^\x00-\x1f\x7f]{1,600}"),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of step."""

    fields: Mapping[str, str]
    """The form of each value: a name of `_FORMS`, or `switch` for true, false or null."""
    state: str = "before"
    """The state whose line has them."""
    identity: tuple[str, ...] = ()
    """The fields that say what it is about; empty: all of them."""


KINDS: Mapping[str, Kind] = {
    "smtp_auth": Kind({"mailbox": "text", "disabled": "switch"}, identity=("mailbox",)),
    "imap": Kind({"mailbox": "text", "enabled": "switch"}, identity=("mailbox",)),
    "send_as": Kind({"recipient": "text", "object_id": "guid"}),
    "full_access": Kind({"mailbox": "text", "object_id": "guid"}),
    "role_assignment": Kind({"name": "text", "object_id": "guid"}),
    "role_group_member": Kind({"role_group": "text", "object_id": "guid"}),
    "group_member": Kind({"group": "text", "mailbox": "text"}),
    "group": Kind({"group": "text", "guid": "guid"}, "done"),
    "registration": Kind({"client_id": "guid", "object_id": "guid"}),
    "registration_removed": Kind({"client_id": "guid", "object_id": "guid"}),
    "organization_customization": Kind({}),
    "consent": Kind({"principal_id": "guid", "name": "text", "assignment_id": "id"}, "done"),
    "consent_removed": Kind({"principal_id": "guid", "api_id": "guid", "role_id": "guid", "name": "text"}),
    "listed_permission": Kind({"object_id": "guid", "api": "guid", "role_id": "guid"}),
    "federated_credential": Kind({"object_id": "guid", "subject": "text", "credential_id": "guid"}, "done"),
    "secret": Kind({"object_id": "guid", "key_id": "guid"}, "done"),
    "certificate": Kind({"object_id": "guid", "thumbprint": "hex"}),
    "enterprise_application": Kind({"client_id": "guid", "object_id": "guid"}, "done"),
    "application": Kind({"object_id": "guid", "client_id": "guid"}, "done"),
}
"""Every kind, in the order in which they are taken back."""
_SCRIPT = Kind({"tenant": "text", "tenant_id": "guid", "graph": "id", "exchange": "id"})


@dataclass(frozen=True, slots=True)
class Change:
    """One step."""

    kind: str
    values: Mapping[str, str | bool | None]


@dataclass(frozen=True, slots=True)
class Record:
    """All that scripts changed in one tenant."""

    tenant: str
    tenant_id: str
    graph: str
    exchange: str
    changes: tuple[Change, ...]
    """In the order in which they are taken back."""
    unfinished: tuple[str, ...] = ()
    """Kinds of a step that began, and of which it is not known how it ended."""


def read_text(path: Path) -> str:
    """Read a record's file.

    Raises:
        SetupError: It cannot be read, is too large or is not text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise SetupError(f"{path} cannot be read ({(error.strerror or '').lower()})") from None
    if len(content) > LARGEST:
        raise SetupError(f"{path} is larger than {LARGEST // 1024 // 1024} MiB, too large for a record")
    try:
        return content.decode("utf-8-sig")
    except ValueError:
        raise SetupError(f"{path} is not UTF-8 text") from None


def read_record(path: Path) -> Record:
    """Read a record of a script for Microsoft.

    Raises:
        SetupError: It cannot be read, or is not a record.
    """
    text = read_text(path)
    try:
        return parse_record(text)
    except (ValueError, RecursionError) as error:
        raise SetupError(f"{path}: {printable(str(error), limit=400)}") from None


def parse_record(text: str) -> Record:
    """Return what a record says. Raises ValueError with the line that is none of a record."""
    scripts: list[Mapping[str, Any]] = []
    found: dict[str, dict[tuple[object, ...], Change]] = {kind: {} for kind in KINDS}
    begun: dict[str, int] = dict.fromkeys(KINDS, 0)
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            name, state, values = _line(json.loads(line))
        except ValueError as error:
            raise ValueError(f"line {number} is not a line of a record: {error}") from None
        if name == "script":
            scripts.append(values)
            continue
        kind = KINDS[name]
        if kind.state != state:
            begun[name] += 1
            continue
        begun[name] -= kind.state == "done"
        key = tuple(str(values[field]).casefold() for field in kind.identity or kind.fields)
        found[name].setdefault(key, Change(name, values))
    if not scripts:
        raise ValueError("it does not begin with the line of a script: is it a record?")
    if len({script["tenant_id"] for script in scripts}) > 1:
        raise ValueError("it has the changes of several tenants")
    first = scripts[0]
    changes = (change for kind in KINDS for change in reversed(found[kind].values()))
    return Record(
        tenant=first["tenant"],
        tenant_id=first["tenant_id"],
        graph=first["graph"],
        exchange=first["exchange"],
        changes=tuple(changes),
        unfinished=tuple(kind for kind, count in begun.items() if count > 0),
    )


def _line(value: Any) -> tuple[str, str, Mapping[str, str | bool | None]]:
    """Return kind, state and values of a line."""
    if not isinstance(value, dict):
        raise ValueError("it is not an object")  # noqa: TRY004 - the caller knows one kind of error
    name, state = value.get("change"), value.get("state")
    if state not in {"before", "done"} or not isinstance(name, str):
        raise ValueError("it has no change and state")
    kind = _SCRIPT if name == "script" else KINDS.get(name)
    if kind is None:
        raise ValueError(f"{name!r} is not a known change: was it written by a newer version?")
    if kind.state != state:
        return name, state, {}
    return name, state, dict(_values(value, kind))


def _values(value: Mapping[str, Any], kind: Kind) -> Iterator[tuple[str, str | bool | None]]:
    for field, form in kind.fields.items():
        given = value.get(field)
        if form == "switch":
            if given is not None and not isinstance(given, bool):
                raise ValueError(f"{field} is {given!r}")
        elif not isinstance(given, str) or not _FORMS[form].fullmatch(given):
            raise ValueError(f"{field} is {given!r}")
        yield field, given
