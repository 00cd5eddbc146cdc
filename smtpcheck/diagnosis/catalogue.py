"""Loads the catalogue of causes, rules and exclusions from the package's YAML files.

Rules of this file:
- A fault in the data is a fault of ours and raises at load; who needs the catalogue often keeps it.
- Every YAML file here is a file of rules, but for those in `_OTHER_FILES`. It is a list of groups; what a group says
  under `when`, `reference`, `retry` and `general` holds for each of its rules, unless a rule says otherwise. Its
  `manifest` says what it is about, what each of its rules asks for (`of`, such as the provider, so that none fires at
  another), and where its references are,
  and under `scenarios` which scenarios of the sandbox, cases or replies of the tests' corpora show it.
- A rule states the evidence that it needs; without it, it does not fire. What it may ask for, each a list:
  - `phase`: the step, stated or read from the text; a phase that nothing shows matches no rule.
  - `kind`: what kind of text it is (`evidence.KINDS`): smtp, imap, pop, issuer, graph, ews, api, bounce, headers, dns,
    tls, socket; a text may be of several. `protocol`: smtp, imap, pop, http.
  - `server`: whose server answers, by host, banner or wording (`evidence.SERVERS`); `issuer`: whose token endpoint
    (`evidence.ISSUERS`, `other` for an address that is none of them). Neither is ever assumed.
  - `provider`: microsoft, hve, acs, google, yahoo, generic; where nothing names one the rule fires, but below 0.6.
  - `flow`, `error` (RFC 6749 5.2), `fault` (`FaultKind`), `token_error` (`TokenErrorKind`), `status` (HTTP, of the
    issuer or an API), `alert` (RFC 8446 6, such as unknown_ca), `security` (starttls, implicit, none).
  - `code`, `enhanced`, `aadsts`: numbers; `seen`, `not_seen`: facts of `facts.FACTS`; `text`, `with_text`,
    `without_text`, `pattern`: words, in lower case on one line.
- `general: true` marks a rule of words or numbers that stand beside a more telling one (AADSTS70002, "tlsv1 alert"):
  it yields to any rule of 0.5 and more that is not general. Rules that ask only for code, error, phase, provider,
  flow, kind, protocol, server or issuer are general without saying so.
- A step of a remedy is a text, or a mapping of `do` to the text with any of `provider`, `issuer`, `flow`, `protocol`,
  `server`, `aadsts`: it is shown where that is in the list; `other` stands for any that no step of the cause names, or
  for an unknown one.
"""

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import yaml

from smtpcheck.diagnosis.evidence import ALERTS, ISSUERS, KINDS, PROTOCOLS, SERVERS
from smtpcheck.diagnosis.explain import Catalogue, Entry
from smtpcheck.diagnosis.facts import FACTS
from smtpcheck.diagnosis.matching import Conditions, Exclusion, Rule
from smtpcheck.diagnosis.remedy import Step
from smtpcheck.diagnosis.screening import Screen
from smtpcheck.model.cause import Cause, FixedBy
from smtpcheck.model.check import Phase, Provider
from smtpcheck.model.report import FaultKind, TokenErrorKind

__all__ = ["Catalogue", "load"]

_OTHER_FILES = frozenset({"causes", "remedies", "exclusions", "evidence", "wrappers"})
RULE_FILES = tuple(
    sorted(
        name.removesuffix(".yaml")
        for item in files(__package__).iterdir()
        if (name := item.name).endswith(".yaml") and name.removesuffix(".yaml") not in _OTHER_FILES
    )
)

_VALUES: dict[str, frozenset[str]] = {
    "kind": KINDS,
    "protocol": PROTOCOLS,
    "server": SERVERS,
    "issuer": ISSUERS,
    "alert": ALERTS,
    "phase": frozenset(Phase),
    "provider": frozenset(Provider),
    "fault": frozenset(FaultKind),
    "token_error": frozenset(TokenErrorKind),
}
"""The values that a property may have; a rule that asks for another could never fire."""
_SETS = (*_VALUES, "flow", "error", "status", "security")
_LISTS = ("code", "aadsts", "enhanced", "seen", "not_seen")
_TEXTS = ("text", "with_text", "without_text")
_CONDITIONS = {*_SETS, *_LISTS, *_TEXTS, "pattern"}
_RULE = {*_CONDITIONS, "id", "cause", "certainty", "also", "reference", "retry", "general"}
_GROUP = {"about", "when", "reference", "retry", "general", "rules"}
_STEP = ("provider", "issuer", "flow", "protocol", "server", "aadsts", "why")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load() -> Catalogue:
    """Return the catalogue, its patterns compiled. ValueError, KeyError or TypeError if the data is broken."""
    remedies = _read("remedies")["remedies"]
    rules = tuple(rule for name in RULE_FILES for rule in _rules(name))
    return Catalogue(
        entries={Cause(name): _entry(row, remedies[name]) for name, row in _read("causes")["causes"].items()},
        rules=rules,
        exclusions=tuple(_exclusion(row) for row in _read("exclusions")["exclusions"]),
        screen=Screen((rule, rule.conditions.condition) for rule in rules),
    )


def _read(name: str) -> Any:
    return yaml.load(files(__package__).joinpath(f"{name}.yaml").read_bytes(), Loader=_Loader)  # noqa: S506


def _entry(row: Mapping[str, Any], remedy: Mapping[str, Any]) -> Entry:
    return Entry(
        definition=row["definition"],
        tell_apart=row["probe"],
        steps=tuple(_step(step) for step in remedy.get("steps", (row["remedy"],))),
        reference=remedy["reference"],
        retry=bool(remedy.get("retry")),
        fixed_by=FixedBy(row["fixed_by"]),
        depends_on=frozenset(Cause(name) for name in row.get("depends_on", ())),
    )


def _step(row: str | Mapping[str, Any]) -> Step:
    if isinstance(row, str):
        return Step(row)
    _only(row, {"do", *_STEP}, row["do"])
    return Step(row["do"], tuple((key, frozenset(row[key])) for key in _STEP if key in row))


def _rules(file: str) -> Iterator[Rule]:
    content = _read(file)
    everywhere = content["manifest"]["of"]
    for group in content["groups"]:
        _only(group, _GROUP, str(group.get("about")))
        for row in group["rules"]:
            _only(row, _RULE, row["id"])
            conditions = _conditions({**everywhere, **group.get("when", {}), **row})
            yield Rule(
                id=f"{file}.{row['id']}",
                conditions=conditions,
                cause=Cause(row["cause"]),
                certainty=float(row["certainty"]),
                also=tuple((Cause(name), float(value)) for name, value in row.get("also", {}).items()),
                reference=row.get("reference", group["reference"]),
                retry=row.get("retry", group.get("retry")),
                general=row.get("general", group.get("general", conditions.is_general)),
            )


def _exclusion(row: Mapping[str, Any]) -> Exclusion:
    _only(row, {*_CONDITIONS, "id", "causes"}, row["id"])
    return Exclusion(row["id"], _conditions(row), frozenset(Cause(name) for name in row["causes"]))


def _conditions(row: Mapping[str, Any]) -> Conditions:
    if unknown := {*row.get("seen", ()), *row.get("not_seen", ())} - FACTS:
        raise ValueError(f"{row['id']}: unknown facts {sorted(unknown)}")
    for key, known in _VALUES.items():
        if others := frozenset(row.get(key, ())) - known - {""}:
            raise ValueError(f"{row['id']}: unknown {key} {sorted(others)}")
    listed: dict[str, Any] = {key: frozenset(row.get(key, ())) for key in _LISTS}
    texts: dict[str, Any] = {key: tuple(row.get(key, ())) for key in _TEXTS}
    return Conditions(
        sets=tuple((key, frozenset(map(str, row[key]))) for key in _SETS if key in row),
        pattern=re.compile(row["pattern"]) if "pattern" in row else None,
        **listed,
        **texts,
    )


def _only(row: Mapping[str, Any], known: set[str], name: str) -> None:
    if unknown := row.keys() - known:
        raise ValueError(f"{name}: unknown keys {sorted(unknown)}")
