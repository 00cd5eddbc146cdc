"""From what was seen to the causes, and from a cause to the text of its repair.

Rules of this file:
- The catalogue decides; this file only turns an observation into what its rules ask for.
- All rules that match are heard; a cause has the highest certainty that any of them gives it. An exclusion takes a
  cause out again that something seen speaks against, unless a rule is all but certain of it.
- No free text is quoted unmasked; a value enters a command only if it is a plain identifier.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from smtpcheck.diagnosis.facts import app_only, facts
from smtpcheck.diagnosis.masking import mask
from smtpcheck.diagnosis.observation import Observation
from smtpcheck.diagnosis.phase import phase_of, provider_of
from smtpcheck.diagnosis.reading import aadsts_of, codes_of, enhanced_of, plain_text
from smtpcheck.model.cause import Cause, FixedBy
from smtpcheck.model.report import Finding

CERTAIN = 0.9
"""From which certainty on a rule is not overruled by an exclusion, and a finding needs no other ones named."""

_MOST = 10
_QUOTED = 300
_LOOKALIKES = 4
_PLAIN = re.compile(r"\w[\w.@+-]{0,253}")
_BLANK = re.compile(r"\{(\w{1,20})\}")
_PLACEHOLDERS = {
    "tenant": "<tenant id>",
    "client_id": "<client id>",
    "object_id": "<object id of the enterprise application>",
    "mailbox": "<mailbox>",
    "sender": "<sender>",
    "host": "<host>",
    "port": "<port>",
}
_CLOUD_HOSTS = {"gcc-high": "outlook.office365.us", "dod": "outlook-dod.office365.us", "china": "partner.outlook.cn"}


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one cause."""

    definition: str
    tell_apart: str
    steps: tuple[str, ...]
    """The repair, with `{tenant}` and the like to be filled in."""
    reference: str
    retry: bool
    """Whether trying again, unchanged, can help."""
    fixed_by: FixedBy
    depends_on: frozenset[Cause]
    """Causes that explain this one where both are seen."""
    shown_after: int
    """After how many runs in a row it is shown."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What must have been seen; a condition that is empty always holds."""

    sets: tuple[tuple[str, frozenset[str]], ...] = ()
    """Fields of the observation with the values they may have; phase and provider also match when not known."""
    code: frozenset[int] = frozenset()
    enhanced: frozenset[str] = frozenset()
    aadsts: frozenset[int] = frozenset()
    seen: frozenset[str] = frozenset()
    not_seen: frozenset[str] = frozenset()
    text: tuple[str, ...] = ()
    """One of them is in the text of all that was said, in lower case."""
    with_text: tuple[str, ...] = ()
    """One of these too."""
    without_text: tuple[str, ...] = ()
    """None of these."""
    pattern: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the catalogue."""

    id: str
    conditions: Conditions
    cause: Cause
    certainty: float
    also: tuple[tuple[Cause, float], ...]
    """Other causes of the same observation, by how common they are."""
    reference: str
    retry: bool | None
    """None: as the cause says."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """What speaks against causes."""

    id: str
    conditions: Conditions
    causes: frozenset[Cause]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All causes, all rules and all exclusions."""

    entries: Mapping[Cause, Entry]
    rules: tuple[Rule, ...]
    exclusions: tuple[Exclusion, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A finding as text."""

    cause: Cause
    certainty: float
    summary: str
    evidence: tuple[str, ...]
    remedy: tuple[str, ...]
    tell_apart: str
    reference: str
    retry: bool


@dataclass(frozen=True, slots=True)
class _Signals:
    """What the rules see of an observation."""

    fields: Mapping[str, str]
    text: str
    codes: frozenset[int]
    enhanced: frozenset[str]
    aadsts: frozenset[int]
    facts: Mapping[str, str]
    """Each fact with the sentence that shows it."""


def explain(observation: Observation, catalogue: Catalogue) -> tuple[Finding, ...]:
    """Return the possible causes of what was seen, best first; `unknown` alone if no rule matches."""
    signals = _signals(observation)
    best: dict[Cause, tuple[float, Rule]] = {}
    for rule in catalogue.rules:
        if _holds(rule.conditions, signals):
            for cause, certainty in ((rule.cause, rule.certainty), *rule.also):
                if cause not in best or certainty > best[cause][0]:
                    best[cause] = (certainty, rule)
    values, quotes = values_of(observation), _quotes(observation)
    ranked = sorted(_left(best, signals, catalogue).items(), key=lambda item: -item[1][0])[:_MOST]
    findings = tuple(
        Finding(cause, certainty, rule.id, _evidence(quotes, rule, signals), values)
        for cause, (certainty, rule) in ranked
    )
    nothing = tuple(f"{name}: {quote[:_QUOTED]}" for name, quote in quotes.items())
    return findings or (Finding(Cause.UNKNOWN, 0.0, "none", nothing, values),)


def describe(finding: Finding, catalogue: Catalogue) -> Explanation:
    """Return the finding as text; what is not known is in the commands as a placeholder."""
    entry = catalogue.entries[finding.cause]
    rule = next((rule for rule in catalogue.rules if rule.id == finding.rule), None)
    own = rule if rule and rule.cause == finding.cause else None
    return Explanation(
        cause=finding.cause,
        certainty=finding.certainty,
        summary=entry.definition,
        evidence=finding.evidence,
        remedy=tuple(_BLANK.sub(lambda blank: _fill(blank[1], finding.values), step) for step in entry.steps),
        tell_apart=_tell_apart(finding, entry, rule, catalogue),
        reference=own.reference if own and own.reference else entry.reference,
        retry=own.retry if own and own.retry is not None else entry.retry,
    )


def as_json(findings: tuple[Finding, ...], catalogue: Catalogue) -> dict[str, list[dict[str, object]]]:
    """Return the findings as values that `json` can write."""
    return {"findings": [asdict(describe(finding, catalogue)) for finding in findings]}


def _left(
    best: Mapping[Cause, tuple[float, Rule]], signals: _Signals, catalogue: Catalogue
) -> Mapping[Cause, tuple[float, Rule]]:
    """Return the causes that nothing speaks against; all of them if nothing else were left."""
    against = {
        cause
        for exclusion in catalogue.exclusions
        if _holds(exclusion.conditions, signals)
        for cause in exclusion.causes
    }
    left = {cause: item for cause, item in best.items() if cause not in against or item[0] >= CERTAIN}
    return left or best


def _holds(asked: Conditions, signals: _Signals) -> bool:
    for name, allowed in asked.sets:
        value = signals.fields[name]
        if value not in allowed and not (not value and name in {"phase", "provider"}):
            return False
    return (
        (not asked.aadsts or not asked.aadsts.isdisjoint(signals.aadsts))
        and (not asked.code or not asked.code.isdisjoint(signals.codes))
        and (not asked.enhanced or not asked.enhanced.isdisjoint(signals.enhanced))
        and asked.seen <= signals.facts.keys()
        and asked.not_seen.isdisjoint(signals.facts)
        and (not asked.text or any(part in signals.text for part in asked.text))
        and (not asked.with_text or any(part in signals.text for part in asked.with_text))
        and not any(part in signals.text for part in asked.without_text)
        and (asked.pattern is None or asked.pattern.search(signals.text) is not None)
    )


def _signals(seen: Observation) -> _Signals:
    replies = "\n".join(seen.replies)
    rest = "\n".join(part for part in (seen.challenge, seen.description, seen.detail, seen.exception) if part)
    text = plain_text(f"{replies}\n{rest}")
    provider = provider_of(text, seen.host) if seen.provider in {"", "generic"} else seen.provider
    phase = seen.phase or phase_of(text)
    fields = {
        "phase": phase,
        "known_phase": phase,
        "provider": provider or seen.provider,
        "flow": seen.flow,
        "error": seen.error.lower(),
        "fault": seen.fault,
        "kind": seen.token_kind,
    }
    return _Signals(
        fields,
        text,
        codes_of(f"{replies}\n{rest}"),
        enhanced_of(replies, prose=False) | enhanced_of(rest, prose=True),
        frozenset(seen.error_codes) | aadsts_of(text),
        facts(seen),
    )


def _tell_apart(finding: Finding, entry: Entry, rule: Rule | None, catalogue: Catalogue) -> str:
    """Return how to confirm the cause, and where the observation fits several, how to confirm those."""
    if rule is None or finding.certainty >= CERTAIN:
        return entry.tell_apart
    alike = [cause for cause in (rule.cause, *(cause for cause, _ in rule.also)) if cause != finding.cause]
    if not alike:
        return entry.tell_apart
    others = "; ".join(f"{cause} ({catalogue.entries[cause].tell_apart})" for cause in alike[:_LOOKALIKES])
    return f"{entry.tell_apart}. Also possible: {others}"


def _evidence(quotes: Mapping[str, str], rule: Rule, signals: _Signals) -> tuple[str, ...]:
    shown = (f"{name}: {_around(rule.conditions, quote)[:_QUOTED]}" for name, quote in quotes.items())
    return (*(signals.facts[name] for name in sorted(rule.conditions.seen)), *shown)


def _quotes(seen: Observation) -> dict[str, str]:
    """Return what may be quoted, masked."""
    codes = " ".join(f"AADSTS{code}" for code in seen.error_codes[:5])
    quotes = {
        "reply": next((reply for reply in reversed(seen.replies) if reply), ""),
        "challenge": seen.challenge,
        "token error": " ".join(part for part in (seen.error, codes, seen.description) if part),
        "system": seen.detail,
        "text": seen.exception,
    }
    return {name: " ".join(mask(quote).split()) for name, quote in quotes.items() if quote}


def _around(asked: Conditions, text: str) -> str:
    """Return the text from a little before what the rule found in it, if it is long."""
    if len(text) <= _QUOTED:
        return text
    lower = text.lower()
    places = [at for part in asked.text if (at := lower.find(part)) >= 0]
    if asked.pattern and (found := asked.pattern.search(lower)):
        places.append(found.start())
    if not places:
        codes = (*(str(code) for code in asked.aadsts), *asked.enhanced, *(str(code) for code in asked.code))
        places = [at for code in codes if (at := lower.find(code)) >= 0]
    begin = max(0, min(places, default=0) - _QUOTED // 3)
    return text[text.rfind(" ", 0, begin) + 1 if begin else 0 :]


def values_of(seen: Observation) -> dict[str, str]:
    """Return what the commands of a remedy are filled with, as far as it was seen."""
    hints, claims = seen.hints, seen.claims
    found = {
        "tenant": claims.get("tid") or (hints.tenant if hints else ""),
        "client_id": claims.get("appid") or claims.get("azp") or (hints.client_id if hints else ""),
        "object_id": claims.get("oid") if app_only(claims) else "",
        "mailbox": seen.sasl_user,
        "sender": seen.sender,
        "host": seen.host,
        "port": str(seen.port or ""),
    }
    plain = {
        key: value
        for key, value in found.items()
        if isinstance(value, str) and _PLAIN.fullmatch(value) and mask(value) == value
    }
    return {**plain, "exchange": _CLOUD_HOSTS.get(hints.cloud if hints else "", "outlook.office365.com")}


def _fill(name: str, values: Mapping[str, str]) -> str:
    return values.get(name) or _PLACEHOLDERS.get(name, "outlook.office365.com" if name == "exchange" else f"<{name}>")
