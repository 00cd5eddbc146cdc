"""The record of a script for Google, and the script that takes it back.

Rule of this file: as in `record.py`, a line that is not of the form that a script gives it is an error.
"""

import json
import re
from collections.abc import Mapping
from shlex import quote
from typing import Any

from smtpcheck.setup.parts import head, joined, part
from smtpcheck.setup.powershell import comment

_TEXT = re.compile(r"[^\x00-\x1f\x7f]{1,600}")
_PROJECT = re.compile(r"[a-z0-9.:-]{1,100}")
_ACCOUNT = re.compile(r"[a-z0-9-]+@[a-z0-9.-]{1,200}")
_FIELDS: Mapping[str, Mapping[str, re.Pattern[str]]] = {
    "google_key": {"project": _PROJECT, "account": _ACCOUNT, "key_id": re.compile(r"[0-9a-f]{1,64}")},
    "google_binding": {
        "project": _PROJECT,
        "account": _ACCOUNT,
        "role": re.compile(r"roles/[A-Za-z.]{1,100}"),
        "member": _TEXT,
    },
    "google_pool": {"project": _PROJECT, "pool": re.compile(r"[a-z0-9-]{1,40}")},
    "google_service_account": {"project": _PROJECT, "account": _ACCOUNT},
    "google_service": {"project": _PROJECT, "service": re.compile(r"[a-z.]{1,100}")},
    "google_script": {"project": _PROJECT},
}
"""The values of each kind, in the order in which they are taken back."""
_STEPS = {
    "google_key": "remove_key",
    "google_binding": "remove_binding",
    "google_pool": "remove_pool",
    "google_service_account": "remove_account",
}
_HOW = (
    "Read it, and run it with bash as an administrator of the Google Cloud project:",
    "  bash undo.sh            says what it would do",
    "  bash undo.sh --apply    does it, and asks before it deletes a service account or a pool",
)


def is_google(text: str) -> bool:
    """Return whether a record is of a script for Google."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return '"change":"google_' in first.replace(" ", "")


def google_undo_script(text: str) -> str:
    """Return the script that takes a record back.

    Raises:
        ValueError: A line is not of a record.
    """
    found: dict[str, dict[tuple[str, ...], None]] = {kind: {} for kind in _FIELDS}
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                kind, values = _line(json.loads(line))
            except ValueError as error:
                raise ValueError(f"line {number} is not a line of a record: {error}") from None
            found[kind].setdefault(values)
    notes = [f"{values[1]} stays enabled: others may use it." for values in found["google_service"]]
    calls = [" ".join((step, *map(quote, values))) for kind, step in _STEPS.items() for values in reversed(found[kind])]
    lines = head("Takes back what a script of smtpcheck changed in Google Cloud.", _HOW, notes)
    return joined(
        [
            "\n".join(["#!/usr/bin/env bash", *(comment(line) for line in lines)]),
            part("gcloud-undo.sh"),
            "\n".join(calls),
        ]
    )


def _line(value: Any) -> tuple[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise ValueError("it is not an object")  # noqa: TRY004 - the caller knows one kind of error
    kind = value.get("change")
    fields = _FIELDS.get(kind) if isinstance(kind, str) else None
    if fields is None:
        raise ValueError(f"{kind!r} is not a known change")
    values = tuple(value.get(name) for name in fields)
    for name, given, form in zip(fields, values, fields.values(), strict=True):
        if not isinstance(given, str) or not form.fullmatch(given):
            raise ValueError(f"{name} is {given!r}")
    return str(kind), tuple(map(str, values))
