"""From what was seen to the causes, and from a cause to the text of its repair.

Rules of this file:
- The catalogue decides; this file only turns an observation into what its rules ask for.
- Of all rules that match, the telling ones decide and the general ones yield; a cause has the highest certainty that
  any of them gives it. An exclusion takes a cause out again that something seen speaks against, unless a rule is all
  but certain of it; if nothing is left, the cause is unknown.
- No free text is quoted unmasked; a value enters a command only if it is a plain identifier.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from msgspec import structs

from smtpcheck.diagnosis.masking import mask
from smtpcheck.diagnosis.matching import Conditions, Exclusion, Rule, Signals, assumes_provider, holds, signals_of
from smtpcheck.diagnosis.observation import Observation
from smtpcheck.diagnosis.remedy import Step, filled, values_of
from smtpcheck.diagnosis.screening import Screen
from smtpcheck.diagnosis.unknown import lookups, next_steps, recognised
from smtpcheck.model.cause import Cause, FixedBy
from smtpcheck.model.report import Finding

CERTAIN = 0.9
"""From which certainty on a rule is not overruled by an exclusion, and a finding needs no other ones named."""
LIKELY = 0.5
"""From which certainty on a cause is called likely, not only possible."""
_ASSUMED = 0.59
"""How much of its certainty a rule of one provider has where nothing names the provider; a general one has none."""
_NOT_OF_MAIL = 0.45
"""How much of its certainty any rule has on a text that does not show that it is about mail: ordinary logs speak so."""
_YIELDS = 0.6
"""How much of its certainty a general rule has beside a telling one."""

_MOST = 10
_QUOTED = 300
_LOOKALIKES = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one cause."""

    definition: str
    """In one sentence; `{where}` is filled in with the server and the step, where they are known."""
    tell_apart: str
    steps: tuple[Step, ...]
    reference: str
    retry: bool
    """Whether trying again, unchanged, can help."""
    fixed_by: FixedBy
    depends_on: frozenset[Cause]
    """Causes that explain this one: where both are possible they are checked first."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All causes, all rules and all exclusions."""

    entries: Mapping[Cause, Entry]
    rules: tuple[Rule, ...]
    exclusions: tuple[Exclusion, ...]
    screen: Screen[Rule]
    """The rules, by what a text must show for them to match."""


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


def explain(observation: Observation, catalogue: Catalogue) -> tuple[Finding, ...]:
    """Return the possible causes of what was seen, best first; `unknown` alone if no rule matches."""
    signals = signals_of(observation)
    best = _best(
        [rule for rule in catalogue.screen.passing(signals.pieces) if holds(rule.conditions, signals)], signals
    )
    values, quotes = values_of(observation), _quotes(observation)
    values |= _where(signals, values)
    ranked = sorted(_left(best, signals, catalogue).items(), key=lambda item: -item[1][0])[:_MOST]
    rules = {rule.id: rule for _, (_, rule) in ranked}
    evidence = {name: _evidence(quotes, rule, signals) for name, rule in rules.items()}
    findings = tuple(
        Finding(cause, certainty, rule.id, evidence[rule.id], values) for cause, (certainty, rule) in ranked
    )
    stated = tuple(_stated(observation, quotes, values))
    if stated or (findings and findings[0].cause is not Cause.UNKNOWN):
        return _each_once((*stated, *findings))
    said = tuple(f"{name}: {quote[:_QUOTED]}" for name, quote in quotes.items())
    values |= {"lookup": pages} if (pages := " ".join(lookups(signals))) else {}
    return (Finding(Cause.UNKNOWN, 0.0, "none", (*said, *recognised(signals)), values),)


def _stated(seen: Observation, quotes: Mapping[str, str], values: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what a mail API's own table says of its answer: it comes before what rules make of the words."""
    evidence = tuple(f"{name}: {quote[:_QUOTED]}" for name, quote in quotes.items())
    for cause, certainty in seen.stated:
        yield Finding(cause, certainty, "stated", evidence, values)


def _each_once(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings without a second one of a cause, and without `unknown` beside others."""
    best: dict[Cause, Finding] = {}
    for finding in findings:
        best.setdefault(finding.cause, finding)
    return tuple(finding for finding in best.values() if finding.cause is not Cause.UNKNOWN)


def describe(finding: Finding, catalogue: Catalogue) -> Explanation:
    """Return the finding as text; what is not known is in the commands as a placeholder."""
    entry = catalogue.entries[finding.cause]
    rule = next((rule for rule in catalogue.rules if rule.id == finding.rule), None)
    own = rule if rule and rule.cause == finding.cause else None
    return Explanation(
        cause=finding.cause,
        certainty=finding.certainty,
        summary=entry.definition.replace("{where}", finding.values.get("where", "")),
        evidence=finding.evidence,
        remedy=tuple(next_steps(finding.values))
        if finding.cause is Cause.UNKNOWN
        else filled(entry.steps, finding.values),
        tell_apart=_tell_apart(finding, entry, rule, catalogue),
        reference=_reference(finding, own, entry),
        retry=own.retry if own and own.retry is not None else entry.retry,
    )


def of_several(finding: Finding) -> Finding:
    """Return a finding as it holds for all of several checks: the mailbox of one has no place in the commands."""
    return structs.replace(finding, values={name: text for name, text in finding.values.items() if name not in _OF_ONE})


_OF_ONE = frozenset({"mailbox", "sender"})


def _reference(finding: Finding, own: Rule | None, entry: Entry) -> str:
    if finding.cause is Cause.UNKNOWN and finding.values.get("lookup"):
        return finding.values["lookup"].split()[0]
    return own.reference if own and own.reference else entry.reference


def meaning(entry: Entry) -> str:
    """Return what a cause means, wherever it was found."""
    return entry.definition.replace("{where}", "")


def reasons_first(causes: Sequence[Cause], catalogue: Catalogue) -> tuple[Cause, ...]:
    """Return the causes in the order to check them: as they are, but each after those of them that explain it."""
    left, ordered = list(dict.fromkeys(causes)), list[Cause]()
    while left:
        ordered.append(next(cause for cause in left if catalogue.entries[cause].depends_on.isdisjoint(left)))
        left.remove(ordered[-1])
    return tuple(ordered)


def certainty_words(certainty: float) -> str:
    """Return how sure a finding is, for people."""
    return "certain" if certainty >= CERTAIN else "likely" if certainty >= LIKELY else "possible"


def as_json(findings: tuple[Finding, ...], catalogue: Catalogue) -> dict[str, list[dict[str, object]]]:
    """Return the findings as values that `json` can write."""
    return {"findings": [asdict(describe(finding, catalogue)) for finding in findings]}


def _best(matched: Sequence[Rule], signals: Signals) -> dict[Cause, tuple[float, Rule]]:
    """Return for each cause the highest certainty that a rule gives it, as far as the evidence carries it."""
    telling = max((rule.certainty for rule in matched if not rule.general), default=0.0)
    best: dict[Cause, tuple[float, Rule]] = {}
    for rule in matched:
        share = _YIELDS if rule.general and telling >= LIKELY else 1.0
        if not signals.is_of_mail:
            share *= _NOT_OF_MAIL
        if assumes_provider(rule.conditions, signals):
            if rule.general:
                continue
            share *= _ASSUMED
        for cause, certainty in ((rule.cause, rule.certainty), *rule.also):
            if cause not in best or certainty * share > best[cause][0]:
                best[cause] = (round(certainty * share, 3), rule)
    return best


def _left(
    best: Mapping[Cause, tuple[float, Rule]], signals: Signals, catalogue: Catalogue
) -> Mapping[Cause, tuple[float, Rule]]:
    """Return the causes that nothing speaks against; `unknown` only if nothing else is left."""
    against = {
        cause
        for exclusion in catalogue.exclusions
        if holds(exclusion.conditions, signals)
        for cause in exclusion.causes
    }
    left = {cause: item for cause, item in best.items() if cause not in against or item[0] >= CERTAIN}
    return {cause: item for cause, item in left.items() if cause is not Cause.UNKNOWN} or left


def _where(signals: Signals, values: Mapping[str, str]) -> dict[str, str]:
    """Return whose server and issuer it is and at which step, as far as that is known."""
    known = {
        name: next(iter(sorted(signals.sets[name])), "")
        for name in ("provider", "issuer", "flow", "protocol", "server")
    }
    server = f" from {values['host']}:{values['port']}" if {"host", "port"} <= values.keys() else ""
    step = f" in the step {signals.the('phase')}" if signals.the("phase") else ""
    number = str(next(iter(signals.aadsts))) if len(signals.aadsts) == 1 else ""
    return {name: value for name, value in {**known, "where": f"{server}{step}", "aadsts": number}.items() if value}


def _tell_apart(finding: Finding, entry: Entry, rule: Rule | None, catalogue: Catalogue) -> str:
    """Return how to confirm the cause, and where the observation fits several, how to confirm those."""
    if rule is None or finding.certainty >= CERTAIN:
        return entry.tell_apart
    alike = [cause for cause in (rule.cause, *(cause for cause, _ in rule.also)) if cause != finding.cause]
    if not alike:
        return entry.tell_apart
    ordered = reasons_first(alike[:_LOOKALIKES], catalogue)
    others = "; ".join(f"{cause} ({catalogue.entries[cause].tell_apart})" for cause in ordered)
    return f"{entry.tell_apart}. Also possible: {others}"


def _evidence(quotes: Mapping[str, str], rule: Rule, signals: Signals) -> tuple[str, ...]:
    shown = (f"{name}: {_around(rule.conditions, quote)[:_QUOTED]}" for name, quote in quotes.items())
    documented = signals.aadsts and rule.conditions.aadsts.isdisjoint(signals.aadsts)
    numbers = (f"documented at {page}" for page in lookups(signals)) if documented else ()
    return (*(signals.facts[name] for name in sorted(rule.conditions.seen)), *shown, *numbers)


def _quotes(seen: Observation) -> dict[str, str]:
    """Return what may be quoted, masked."""
    codes = " ".join(f"AADSTS{code}" for code in seen.error_codes[:5])
    status = f"HTTP status {seen.http_status}" if seen.http_status and not seen.answer else ""
    quotes = {
        "issuer": f"{seen.endpoint}{f' answered with {status}' if status else ''}" if seen.endpoint else "",
        "status": status if not seen.endpoint else "",
        "answer": seen.answer,
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
