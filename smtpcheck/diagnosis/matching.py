"""What rules may ask for, and whether an observation shows it.

Rules of this file:
- What a rule asks for must be shown: a phase, a server or an issuer that is not known matches nothing.
- Only the provider may be assumed where nothing names one; what rests on that is never more than possible.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from smtpcheck.diagnosis.evidence import SERVERS, evidence_of
from smtpcheck.diagnosis.facts import facts
from smtpcheck.diagnosis.mail_reading import BOUNCE_FACTS, HEADER_FACTS
from smtpcheck.diagnosis.observation import Observation
from smtpcheck.diagnosis.phase import phase_of, provider_of
from smtpcheck.diagnosis.reading import aadsts_of, codes_of, enhanced_of, plain_text
from smtpcheck.diagnosis.screening import Property, usable, words_of
from smtpcheck.model.cause import Cause


@dataclass(frozen=True, slots=True)
class Conditions:
    """What must have been seen; a condition that is empty always holds."""

    sets: tuple[tuple[str, frozenset[str]], ...] = ()
    """Properties of the observation with the values they may have; one of them must be shown."""
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

    @property
    def is_general(self) -> bool:
        """Return whether they ask for no more than a step and a class of answer, as bare codes and errors are."""
        telling = (self.enhanced, self.aadsts, self.seen, self.text, self.with_text, self.pattern)
        names = {name for name, values in self.sets if values != {"reply"}}
        return not any(telling) and not names & {"fault", "token_error", "alert", "status"}

    @property
    def condition(self) -> Collection[str | Property]:
        """Return words and properties of which what fits shows at least one; none if nothing can be said."""
        for name in _TELLING_LISTS:
            if values := getattr(self, name):
                return {(name, str(value)) for value in values}
        if self.seen:
            return {("seen", min(self.seen))}
        for words in (self.text, self.with_text, words_of(self.pattern.pattern) if self.pattern else ()):
            if usable(words):
                return words
        sets = [{(name, value) for value in values} for name, values in self.sets if "" not in values]
        return next((some for some in sets if next(iter(some))[0] != "provider"), ())


_TELLING_LISTS = ("aadsts", "enhanced", "code")


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
    general: bool = False
    """Whether it yields to any rule that is not general."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """What speaks against causes."""

    id: str
    conditions: Conditions
    causes: frozenset[Cause]


@dataclass(frozen=True, slots=True)
class Signals:
    """What the rules see of an observation."""

    sets: Mapping[str, frozenset[str]]
    text: str
    codes: frozenset[int]
    enhanced: frozenset[str]
    aadsts: frozenset[int]
    facts: Mapping[str, str]
    """Each fact with the sentence that shows it."""
    is_of_mail: bool
    """Whether anything shows that this is about mail or about the way to a token."""
    pieces: frozenset[str | Property]
    """The pieces of the text and what else is known, for `screening`."""

    def the(self, name: str) -> str:
        """Return the value of a property that has but one; empty if it is not known."""
        return next(iter(self.sets[name]), "")


def holds(asked: Conditions, signals: Signals) -> bool:
    """Return whether all that is asked for is shown."""
    for name, allowed in asked.sets:
        values = signals.sets[name]
        if allowed.isdisjoint(values) and not (name == "provider" and values == {""}):
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


def assumes_provider(asked: Conditions, signals: Signals) -> bool:
    """Return whether a rule that holds is one of a provider that nothing names."""
    return signals.sets["provider"] == {""} and any(
        name == "provider" and "" not in allowed for name, allowed in asked.sets
    )


def signals_of(seen: Observation) -> Signals:
    """Return what the rules may see of an observation."""
    replies = "\n".join(seen.replies)
    rest = "\n".join(
        part for part in (seen.answer, seen.challenge, seen.description, seen.detail, seen.exception) if part
    )
    text = plain_text(f"{replies}\n{rest}")
    evidence = evidence_of(f"{seen.host.lower()} {seen.endpoint.lower()} {text}", _known_kinds(seen))
    provider = provider_of(text, seen.host, evidence.servers) if seen.provider in {"", "generic"} else seen.provider
    numbers = frozenset(seen.error_codes) | aadsts_of(text)
    issuers = evidence.issuers or _issuer(seen, numbers)
    sets = {
        "phase": {seen.phase or phase_of(text) or ("token" if "issuer" in evidence.kinds else "")},
        "provider": {provider or seen.provider},
        "flow": {seen.flow},
        "error": {seen.error.lower()},
        "fault": {seen.fault},
        "token_error": {seen.token_kind},
        "security": {seen.security},
        "status": {str(seen.http_status or "")},
        "kind": evidence.kinds,
        "protocol": evidence.protocols,
        "server": evidence.servers | ({seen.api} & SERVERS),
        "issuer": issuers,
        "alert": evidence.alerts,
    }
    enhanced = enhanced_of(replies, prose=False) | enhanced_of(rest, prose=True)
    codes, shown = codes_of(f"{replies}\n{rest}"), facts(seen)
    known: Mapping[str, Collection[object]] = {
        **sets,
        "aadsts": numbers,
        "enhanced": enhanced,
        "code": codes,
        "seen": shown,
    }
    return Signals(
        sets={name: frozenset(values) for name, values in sets.items()},
        text=text,
        codes=codes,
        enhanced=enhanced,
        aadsts=numbers,
        facts=shown,
        is_of_mail=bool(seen.phase or seen.host or evidence.is_of_mail),
        pieces=evidence.pieces.union((name, str(value)) for name, values in known.items() for value in values),
    )


def _known_kinds(seen: Observation) -> frozenset[str]:
    """Return the kinds that the structure of an observation shows without any word."""
    kinds = {
        "smtp": bool(seen.replies or seen.ehlo or seen.challenge or seen.sasl_fault),
        "bounce": not BOUNCE_FACTS.isdisjoint(seen.message_facts),
        "headers": not HEADER_FACTS.isdisjoint(seen.message_facts),
        "api": seen.phase == "request",
        "graph": seen.phase == "request" and seen.api == "graph",
        "issuer": bool(seen.error or seen.error_codes or seen.token_kind or seen.phase == "token"),
    }
    return frozenset(kind for kind, shown in kinds.items() if shown)


def _issuer(seen: Observation, numbers: frozenset[int]) -> frozenset[str]:
    """Return whose token endpoint it is by its numbers, the provider or the configuration, where no text says."""
    if numbers:
        return frozenset({"microsoft"})
    if seen.hints and seen.hints.type == "oauth2":
        return frozenset({"other"})
    return frozenset({seen.provider} & {"microsoft", "google", "yahoo"})
