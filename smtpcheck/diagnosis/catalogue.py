"""Loads the catalogue of causes, rules and exclusions from the package's YAML files.

Rules of this file:
- A fault in the data is a fault of ours and raises at load; who needs the catalogue often keeps it.
- A file of rules is a list of groups. What a group says under `when`, `reference` and `retry` holds for each of its
  rules, unless a rule says otherwise; so conditions and sources that belong together are written once.
- `phase` also holds where the phase is not known, `known_phase` does not.
"""

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import yaml

from smtpcheck.diagnosis.explain import Catalogue, Conditions, Entry, Exclusion, Rule
from smtpcheck.diagnosis.facts import FACTS
from smtpcheck.model.cause import Cause, FixedBy

__all__ = ["Catalogue", "load"]

RULE_FILES = ("entra", "exchange", "google", "yahoo", "oauth2", "smtp", "network")

_SETS = ("phase", "known_phase", "provider", "flow", "error", "fault", "kind")
_LISTS = ("code", "aadsts", "enhanced", "seen", "not_seen")
_TEXTS = ("text", "with_text", "without_text")
_CONDITIONS = {*_SETS, *_LISTS, *_TEXTS, "pattern"}
_RULE = {*_CONDITIONS, "id", "cause", "certainty", "also", "reference", "retry"}
_GROUP = {"about", "when", "reference", "retry", "rules"}
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load() -> Catalogue:
    """Return the catalogue, its patterns compiled. ValueError, KeyError or TypeError if the data is broken."""
    remedies = _read("remedies")["remedies"]
    return Catalogue(
        entries={Cause(name): _entry(row, remedies[name]) for name, row in _read("causes")["causes"].items()},
        rules=tuple(rule for name in RULE_FILES for rule in _rules(name)),
        exclusions=tuple(_exclusion(row) for row in _read("exclusions")["exclusions"]),
    )


def _read(name: str) -> Any:
    return yaml.load(files(__package__).joinpath(f"{name}.yaml").read_bytes(), Loader=_Loader)  # noqa: S506


def _entry(row: Mapping[str, Any], remedy: Mapping[str, Any]) -> Entry:
    return Entry(
        definition=row["definition"],
        tell_apart=row["probe"],
        steps=tuple(remedy.get("steps", (row["remedy"],))),
        reference=remedy["reference"],
        retry=bool(remedy.get("retry")),
        fixed_by=FixedBy(row["fixed_by"]),
        depends_on=frozenset(Cause(name) for name in row.get("depends_on", ())),
        shown_after=int(row.get("shown_after", 1)),
    )


def _rules(file: str) -> Iterator[Rule]:
    for group in _read(file)["groups"]:
        _only(group, _GROUP, str(group.get("about")))
        for row in group["rules"]:
            _only(row, _RULE, row["id"])
            yield Rule(
                id=f"{file}.{row['id']}",
                conditions=_conditions({**group.get("when", {}), **row}),
                cause=Cause(row["cause"]),
                certainty=float(row["certainty"]),
                also=tuple((Cause(name), float(value)) for name, value in row.get("also", {}).items()),
                reference=row.get("reference", group["reference"]),
                retry=row.get("retry", group.get("retry")),
            )


def _exclusion(row: Mapping[str, Any]) -> Exclusion:
    _only(row, {*_CONDITIONS, "id", "causes"}, row["id"])
    return Exclusion(row["id"], _conditions(row), frozenset(Cause(name) for name in row["causes"]))


def _conditions(row: Mapping[str, Any]) -> Conditions:
    if unknown := {*row.get("seen", ()), *row.get("not_seen", ())} - FACTS:
        raise ValueError(f"{row['id']}: unknown facts {sorted(unknown)}")
    listed: dict[str, Any] = {key: frozenset(row.get(key, ())) for key in _LISTS}
    texts: dict[str, Any] = {key: tuple(row.get(key, ())) for key in _TEXTS}
    return Conditions(
        sets=tuple((key, frozenset(row[key])) for key in _SETS if key in row),
        pattern=re.compile(row["pattern"]) if "pattern" in row else None,
        **listed,
        **texts,
    )


def _only(row: Mapping[str, Any], known: set[str], name: str) -> None:
    if unknown := row.keys() - known:
        raise ValueError(f"{name}: unknown keys {sorted(unknown)}")
