"""From what was seen to the causes, and from a cause to the text of its repair.

Rules of this file:
- The catalogue's rules decide; this file only turns an observation into the facts that they ask for.
- All rules that match are heard; a cause has the highest certainty that any of them gives it.
- Claims are read unverified, as hints. Missing roles are a hint too: Exchange RBAC for applications needs none.
- No free text is quoted unmasked; a value enters a command only if it is a plain identifier.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from smtpcheck.cause import Cause
from smtpcheck.diagnosis.masking import mask
from smtpcheck.diagnosis.observation import Observation
from smtpcheck.model import Finding

_MOST = 10
_QUOTED = 300
_ENHANCED = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d]|\.\d)")
_AADSTS = re.compile(r"aadsts(\d{4,8})")
_PLAIN = re.compile(r"[\w.@+-]{1,254}")
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
_EXCHANGE = (
    "outlook.office.com",
    "outlook.office365.com",
    "00000002-0000-0ff1-ce00-000000000000",
    "outlook.office365.us",
    "outlook-dod.office365.us",
    "partner.outlook.cn",
)
_CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"
_PROVIDERS = (
    ("microsoft", ("aadsts", "outlook.com", "office365", "outlook.office")),
    ("google", ("gsmtp", "google", "gmail")),
    ("yahoo", ("yahoo",)),
)
_NETWORK = ("refused", "unreachable", "timeout", "reset")


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


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the catalogue: every condition that it has must hold."""

    id: str
    sets: tuple[tuple[str, frozenset[str]], ...]
    """Fields of the observation with the values they may have; phase and provider also match when not known."""
    enhanced: frozenset[str]
    aadsts: frozenset[int]
    text: re.Pattern[str] | None
    """Searched in the lower-case text of all that was said."""
    seen: frozenset[str]
    not_seen: frozenset[str]
    cause: Cause
    certainty: float
    also: tuple[tuple[Cause, float], ...]
    """Other causes of the same observation, by how common they are."""
    reference: str
    retry: bool | None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All causes and all rules."""

    entries: Mapping[Cause, Entry]
    rules: tuple[Rule, ...]


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
class _Said:
    """The observation as the rules see it."""

    fields: Mapping[str, str]
    text: str
    enhanced: frozenset[str]
    aadsts: frozenset[int]
    facts: Mapping[str, str]
    """Each fact with the sentence that shows it."""


def explain(observation: Observation, catalogue: Catalogue) -> tuple[Finding, ...]:
    """Return the possible causes of what was seen, best first; `unknown` alone if no rule matches."""
    said = _said(observation)
    best: dict[Cause, tuple[float, Rule]] = {}
    for rule in catalogue.rules:
        if _matches(rule, said):
            for cause, certainty in ((rule.cause, rule.certainty), *rule.also):
                if cause not in best or certainty > best[cause][0]:
                    best[cause] = (certainty, rule)
    values = _values(observation)
    ranked = sorted(best.items(), key=lambda item: -item[1][0])[:_MOST]
    findings = tuple(
        Finding(cause, certainty, rule.id, _evidence(observation, rule, said), values)
        for cause, (certainty, rule) in ranked
    )
    return findings or (Finding(Cause.UNKNOWN, 0.0, "none", tuple(_quotes(observation)), values),)


def describe(finding: Finding, catalogue: Catalogue) -> Explanation:
    """Return the finding as text; what is not known stands in the commands as a placeholder."""
    entry = catalogue.entries[finding.cause]
    rule = next((rule for rule in catalogue.rules if rule.id == finding.rule), None)
    return Explanation(
        cause=finding.cause,
        certainty=finding.certainty,
        summary=entry.definition,
        evidence=finding.evidence,
        remedy=tuple(_BLANK.sub(lambda blank: _fill(blank[1], finding.values), step) for step in entry.steps),
        tell_apart=entry.tell_apart,
        reference=rule.reference if rule and rule.reference and rule.cause == finding.cause else entry.reference,
        retry=rule.retry if rule and rule.retry is not None and rule.cause == finding.cause else entry.retry,
    )


def as_json(findings: tuple[Finding, ...], catalogue: Catalogue) -> dict[str, list[dict[str, object]]]:
    """Return the findings as values that `json` can write."""
    return {"findings": [asdict(describe(finding, catalogue)) for finding in findings]}


def _matches(rule: Rule, said: _Said) -> bool:
    for name, allowed in rule.sets:
        value = said.fields[name]
        if value not in allowed and not (not value and name in {"phase", "provider"}):
            return False
    return (
        (not rule.aadsts or not rule.aadsts.isdisjoint(said.aadsts))
        and (not rule.enhanced or not rule.enhanced.isdisjoint(said.enhanced))
        and rule.seen <= said.facts.keys()
        and rule.not_seen.isdisjoint(said.facts)
        and (rule.text is None or rule.text.search(said.text) is not None)
    )


def _said(seen: Observation) -> _Said:
    parts = (*seen.replies, seen.challenge, seen.description, seen.detail, seen.exception)
    text = " ".join(part for part in parts if part).lower()
    codes = frozenset(seen.error_codes) | {int(code) for code in _AADSTS.findall(text)}
    provider = seen.provider if seen.provider != "generic" else ""
    known = (name for name, words in _PROVIDERS if any(word in text for word in words))
    fields = {
        "phase": seen.phase,
        "provider": provider or next(known, seen.provider),
        "flow": seen.flow,
        "error": seen.error,
        "fault": seen.fault,
        "kind": seen.token_kind,
    }
    return _Said(fields, text, frozenset(_ENHANCED.findall(text)), codes, dict(_facts(seen)))


def _facts(seen: Observation) -> Iterator[tuple[str, str]]:
    if seen.phase == "auth" or not seen.phase:
        yield from _claim_facts(seen)
    yield from _scope_facts(seen)
    yield from _network_facts(seen)
    offered = [line.upper().split() for line in seen.ehlo]
    auth = next((words for words in offered if words and words[0].startswith("AUTH")), None)
    if seen.ehlo and seen.phase == "auth" and (auth is None or not {"XOAUTH2", "OAUTHBEARER"} & set(auth)):
        yield "mechanism_missing", "EHLO offers neither XOAUTH2 nor OAUTHBEARER"
    if seen.auth_line_length > 12288:
        yield "long_line", f"the AUTH line has {seen.auth_line_length} octets; RFC 4954 allows 12288"
    if seen.clock_offset is not None and abs(seen.clock_offset) > 120:
        yield "clock_off", f"the issuer's clock differs from ours by {seen.clock_offset:.0f} seconds"
    if seen.granted_at is not None and seen.now is not None and 0 <= seen.now - seen.granted_at < 7200:
        yield "granted_lately", "a right was granted less than two hours ago"
    certificate = seen.tls.certificate if seen.tls else None
    if certificate and not certificate.verified and re.search("office365|outlook|gmail|google|yahoo", seen.host):
        yield "intercepted", "a private issuer signed the certificate of a big provider"


def _claim_facts(seen: Observation) -> Iterator[tuple[str, str]]:
    claims = seen.claims
    audience = claims.get("aud")
    if isinstance(audience, str) and audience:
        if not any(name in audience.lower() for name in _EXCHANGE):
            yield "audience_other", "the token's audience (aud) is not Exchange Online"
        elif not isinstance(claims.get("scp"), str) and "roles" not in claims and _app_only(claims):
            yield "roles_missing", "the app-only token has no roles claim; only RBAC for applications needs none"
        elif "smtp.send" not in f"{claims.get('scp')} {claims.get('roles')}".lower():
            yield "permission_missing", "neither scp nor roles names an SMTP permission"
    if _app_only(claims):
        yield "app_only", "the token is an application's own"
    if claims.get("tid") == _CONSUMERS:
        yield "personal", "the token's tenant (tid) is that of personal accounts"
    expiry = claims.get("exp", seen.token_expires_at)
    if isinstance(expiry, int | float) and seen.now is not None and expiry < seen.now:
        yield "expired", "the token's end (exp) has passed"
    names = [
        str(claims[key]).lower() for key in ("upn", "preferred_username", "unique_name", "email") if claims.get(key)
    ]
    if names and seen.sasl_user and seen.sasl_user.lower() not in names:
        yield "user_differs", "the token belongs to another user than the SASL user"
        if re.match(r"(?i)(shared|info|support|sales|office|contact|noreply|team|billing)\b", seen.sasl_user):
            yield "shared_name", "the SASL user is named like a shared mailbox"


def _app_only(claims: Mapping[str, object]) -> bool:
    return claims.get("idtyp") == "app" or ("appid" in claims and not claims.keys() & {"scp", "upn", "unique_name"})


def _scope_facts(seen: Observation) -> Iterator[tuple[str, str]]:
    scopes = seen.scope.lower().split()
    known = [scope for scope in scopes if scope not in {"openid", "profile", "email", "offline_access"}]
    if any("graph.microsoft" in scope or scope.startswith(("user.", "mail.", "directory.")) for scope in known):
        yield "scope_graph", "a Microsoft Graph scope was requested"
    if known and not any(scope.startswith("https://mail.google.com") for scope in known):
        yield "scope_without_gmail", "the requested scope lacks https://mail.google.com/"
    if {"openid", "profile"} & set(scopes):
        yield (
            "scope_openid",
            "OpenID scopes were requested too, so an id token may have been taken for the access token",
        )


def _network_facts(seen: Observation) -> Iterator[tuple[str, str]]:
    failed = {attempt.family for attempt in seen.attempts if attempt.fault}
    if failed == {6} or (
        seen.phase == "connect" and re.search(r"\[?[0-9a-f]{1,4}:[0-9a-f:]{2,40}\]?:\d", seen.exception)
    ):
        yield "only_ipv6", "only IPv6 addresses were tried and failed"
    elif seen.phase == "connect" and seen.fault in _NETWORK and seen.port in {25, 465, 587, 2525}:
        yield "mail_port", f"connecting to port {seen.port} failed for every address"
    if seen.port in {465, 587, 25} and (seen.security, seen.port) in {
        ("implicit", 587),
        ("implicit", 25),
        ("starttls", 465),
    }:
        yield "odd_port", f"port {seen.port} is not usual with {seen.security}"


def _evidence(seen: Observation, rule: Rule, said: _Said) -> tuple[str, ...]:
    return (*(said.facts[name] for name in sorted(rule.seen)), *_quotes(seen, rule.text))


def _quotes(seen: Observation, pattern: re.Pattern[str] | None = None) -> Iterator[str]:
    codes = " ".join(f"AADSTS{code}" for code in seen.error_codes[:5])
    quotes = {
        "reply": next((reply for reply in reversed(seen.replies) if reply), ""),
        "challenge": seen.challenge,
        "token error": " ".join(part for part in (seen.error, codes, seen.description) if part),
        "system": seen.detail,
        "text": _around(pattern, seen.exception),
    }
    for name, quote in quotes.items():
        if quote:
            yield f"{name}: {mask(quote[: _MOST * _QUOTED])[:_QUOTED]}"


def _around(pattern: re.Pattern[str] | None, text: str) -> str:
    text = mask(text)
    found = pattern.search(text.lower()) if pattern else None
    return text[max(0, found.start() - _QUOTED // 3) :] if found else text


def _values(seen: Observation) -> dict[str, str]:
    hints, claims = seen.hints, seen.claims
    found = {
        "tenant": claims.get("tid") or (hints.tenant if hints else ""),
        "client_id": claims.get("appid") or (hints.client_id if hints else ""),
        "object_id": claims.get("oid") if _app_only(claims) else "",
        "mailbox": seen.sasl_user,
        "sender": seen.sender,
        "host": seen.host,
        "port": str(seen.port or ""),
    }
    return {
        key: value
        for key, value in found.items()
        if isinstance(value, str) and _PLAIN.fullmatch(value) and mask(value) == value
    }


def _fill(name: str, values: Mapping[str, str]) -> str:
    return values.get(name) or _PLACEHOLDERS.get(name, f"<{name}>")
