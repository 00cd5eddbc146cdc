"""What kind of text this is and whose, read before any rule: what cannot be shown here, no rule may assume.

Rules of this file:
- Evidence is positive: a word that also occurs in ordinary text proves nothing by itself.
- A text may be of several kinds and of several servers; a rule asks for the one it needs.
- The words are data, in `evidence.yaml`. They are matched in lower case on one line, as `reading.plain_text` makes it.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml

from smtpcheck.diagnosis.screening import Screen, pieces_of, words_of

SMTP, IMAP, POP, HTTP = "smtp", "imap", "pop", "http"


@dataclass(frozen=True, slots=True)
class Word:
    """One expression, and what it shows."""

    table: str
    """`kinds`, `servers` or `issuers`."""
    value: str
    pattern: re.Pattern[str]


def _words() -> Iterator[Word]:
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    data = yaml.load(files(__package__).joinpath("evidence.yaml").read_bytes(), Loader=loader)  # noqa: S506
    for table in ("kinds", "servers", "issuers"):
        for value, patterns in data[table].items():
            yield from (Word(table, value, re.compile(pattern)) for pattern in patterns)


WORDS = tuple(_words())
_SCREEN = Screen((word, words_of(word.pattern.pattern)) for word in WORDS)
_TOKEN_ADDRESS = re.compile(r"https?://[\w.:-]{3,200}/[\w/.~-]{0,200}(?:token|oauth2?|openid)")

_ALERT_NUMBERS = {
    10: "unexpected_message",
    20: "bad_record_mac",
    22: "record_overflow",
    40: "handshake_failure",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    109: "missing_extension",
    110: "unsupported_extension",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    115: "unknown_psk_identity",
    116: "certificate_required",
    120: "no_application_protocol",
}
"""RFC 8446 6."""
ALERTS = frozenset(_ALERT_NUMBERS.values())
_ALERT_NUMBER = re.compile(r"alert number (\d{1,3})\b")
_ALERT_NAME = re.compile(
    r"(?:alert|remote error: tls|received fatal alert|alert received)[: _]{1,3}(?:fatal[: _-]{1,3})?"
    r"([a-z][a-z_ ]{3,40})"
)
_ALERT_ALIASES = {
    "unknown_certificate_authority": "unknown_ca",
    "expired_certificate": "certificate_expired",
    "revoked_certificate": "certificate_revoked",
    "unknown_certificate": "certificate_unknown",
    "protocol_version_not_supported": "protocol_version",
    "insufficient_security_level": "insufficient_security",
    "user_canceled": "user_canceled",
}
_LONGEST_ALERT = max(map(len, ALERTS | _ALERT_ALIASES.keys()))

KINDS = frozenset(word.value for word in WORDS if word.table == "kinds")
SERVERS = frozenset(word.value for word in WORDS if word.table == "servers")
ISSUERS = frozenset(word.value for word in WORDS if word.table == "issuers") | {"other"}
PROTOCOLS = frozenset({SMTP, IMAP, POP, HTTP})
MAIL = frozenset({"smtp", "imap", "pop", "issuer", "graph", "ews", "api", "bounce", "headers"})
"""The kinds that show that a text is about mail or about the way to a token."""

_HTTP_KINDS = frozenset({"issuer", "graph", "ews", "api"})


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a text shows of itself."""

    kinds: frozenset[str]
    servers: frozenset[str]
    issuers: frozenset[str]
    alerts: frozenset[str]
    """The TLS alerts it names (RFC 8446 6), by number or by name."""
    pieces: frozenset[str] = frozenset()
    """The pieces of the text, for `screening`."""

    @property
    def protocols(self) -> frozenset[str]:
        """Return the protocols that the text speaks of."""
        return (self.kinds & {SMTP, IMAP, POP}) | ({HTTP} if self.kinds & _HTTP_KINDS else frozenset())

    @property
    def is_of_mail(self) -> bool:
        """Return whether anything shows that the text is about mail or about the way to a token."""
        return bool(self.kinds & MAIL)


def evidence_of(text: str, known: Iterable[str] = ()) -> Evidence:
    """Return what a plain text shows; `known` are kinds that are known without it."""
    pieces = pieces_of(text)
    found: dict[str, set[str]] = {"kinds": set(known), "servers": set(), "issuers": set()}
    for word in _SCREEN.passing(pieces):
        if word.value not in found[word.table] and word.pattern.search(text):
            found[word.table].add(word.value)
    if not found["issuers"] and _TOKEN_ADDRESS.search(text):
        found["issuers"].add("other")
    return Evidence(**{name: frozenset(values) for name, values in found.items()}, alerts=_alerts(text), pieces=pieces)


def _alerts(text: str) -> frozenset[str]:
    if "alert" not in text and "remote error: tls" not in text:
        return frozenset()
    numbers = (_ALERT_NUMBERS.get(int(found[1]), "") for found in _ALERT_NUMBER.finditer(text))
    names = (_alert(found[1]) for found in _ALERT_NAME.finditer(text))
    return frozenset(filter(None, (*numbers, *names)))


def _alert(words: str) -> str:
    """Return the alert's name at the beginning of the words, or nothing."""
    words = words.strip().replace(" ", "_")[:_LONGEST_ALERT]
    while words:
        name = _ALERT_ALIASES.get(words, words)
        if name in ALERTS:
            return name
        words = words.rpartition("_")[0]
    return ""
