"""Loads the catalogue of causes and rules from the package's YAML files.

Rule of this file: a fault in the data is a fault of ours and raises at load; who needs the catalogue often keeps it.
"""

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import yaml

from smtpcheck.cause import Cause
from smtpcheck.diagnosis.explain import Catalogue, Entry, Rule

__all__ = ["Catalogue", "load"]

_FILES = ("microsoft", "google", "yahoo", "oauth2", "smtp")
_SETS = ("phase", "provider", "flow", "error", "fault", "kind")
_MATCHES = {*_SETS, "enhanced", "text", "aadsts", "seen", "not_seen"}
_KEYS = {*_MATCHES, "id", "cause", "certainty", "also", "reference", "retry"}
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load() -> Catalogue:
    """Return the catalogue, its patterns compiled. ValueError, KeyError or TypeError if the data is broken."""
    remedies = _read("remedies")["remedies"]
    entries = {Cause(name): _entry(row, remedies.get(name, {})) for name, row in _read("causes")["causes"].items()}
    return Catalogue(entries, tuple(_rule(row, name) for name in _FILES for row in _read(name)["rules"]))


def _read(name: str) -> Any:
    return yaml.load(files(__package__).joinpath(f"{name}.yaml").read_bytes(), Loader=_Loader)  # noqa: S506


def _entry(row: Mapping[str, str], remedy: Mapping[str, Any]) -> Entry:
    return Entry(
        definition=row["definition"],
        tell_apart=row["probe"],
        steps=tuple(remedy.get("steps", (row["remedy"],))),
        reference=remedy.get("reference", "RFC 5321"),
        retry=bool(remedy.get("retry")),
    )


def _rule(row: Mapping[str, Any], file: str) -> Rule:
    if unknown := row.keys() - _KEYS:
        raise ValueError(f"{row['id']}: unknown keys {sorted(unknown)}")
    return Rule(
        id=f"{file}.{row['id']}",
        sets=tuple((key, frozenset(row[key])) for key in _SETS if key in row),
        enhanced=frozenset(row.get("enhanced", ())),
        aadsts=frozenset(row.get("aadsts", ())),
        text=re.compile("|".join(row["text"])) if "text" in row else None,
        seen=frozenset(row.get("seen", ())),
        not_seen=frozenset(row.get("not_seen", ())),
        cause=Cause(row["cause"]),
        certainty=float(row["certainty"]),
        also=tuple((Cause(name), float(value)) for name, value in row.get("also", {}).items()),
        reference=row.get("reference", ""),
        retry=row.get("retry"),
    )
