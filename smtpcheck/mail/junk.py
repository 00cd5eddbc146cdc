"""Why a message is in Junk: the verdict of the receiver's spam filter, as the headers give it.

Rules of this file:
- Pure, and the headers are untrusted input: nothing in them raises, and what is taken from them is bounded.
- Anybody can write such a field. A verdict is believed only where the receiver itself wrote the field: of Exchange
  Online the fields without a suffix in a mailbox that it serves, for it renames those that come from outside; of other
  filters those in the part of the header that only the receiver can have written. Any other verdict is a hint.
- What Microsoft thought of the message when it left the sender is no verdict of the receiver, wherever it lands.
- A filter in front of the sender (Proofpoint, Mimecast) writes the same fields; `outbound` in them says so.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from smtpcheck.mail.authentication_results import read_authentication, receiver_part

Fields = Sequence[tuple[str, str]]

VERDICT_HEADERS = (
    "X-Forefront-Antispam-Report",
    "X-Forefront-Antispam-Report-Untrusted",
    "X-Microsoft-Antispam",
    "X-Microsoft-Antispam-Mailbox-Delivery",
    "X-Spam-Status",
    "X-Spam",
    "X-Spam-Flag",
    "X-Spamd-Result",
    "X-Rspamd-Action",
    "X-Proofpoint-Spam-Details",
    "X-Barracuda-Spam-Status",
    "X-Mimecast-Spam-Score",
)
"""The fields in which filters say what they found."""

_MAX_VALUE = 4000
_MAX_SHOWN = 200
_MAX_VERDICTS = 10
_KEY = re.compile(r"(?:^|;)\s{0,40}([A-Za-z]{2,8})\s{0,40}:\s{0,40}([^;]{0,200})")
_NUMBER = r"(-?\d{1,6}(?:\.\d{1,6})?)"
_SPAMASSASSIN = re.compile(
    rf"\s{{0,40}}(Yes|No)\b,?\s{{0,40}}(?:(?:score|hits)={_NUMBER})?[\s,]{{0,40}}(?:(?:required|tag2?)={_NUMBER})?",
    re.IGNORECASE,
)
_TESTS = re.compile(r"\btests=\[?([^\]]{1,2000}?)(?:\]|\bautolearn=|\bversion=|$)", re.IGNORECASE)
_RSPAMD = re.compile(
    rf"\s{{0,40}}\w{{1,40}}:\s{{0,40}}(True|False)\s{{0,40}}\[{_NUMBER}\s{{0,40}}/\s{{0,40}}{_NUMBER}\]", re.IGNORECASE
)
_RSPAMD_JUNK = frozenset({"add header", "rewrite subject", "quarantine", "reject", "discard"})
_RSPAMD_MARKED = 0.4
"""`True` is what rspamd rejects, at 15; by default it marks from 6 on (actions.conf), and there it writes `False`."""
_PROOFPOINT = re.compile(r"\b(rule|policy|score|spamscore|reason)=(\S{1,60})")
_BARRACUDA = re.compile(rf"\s{{0,40}}(Yes|No)\b(?:,?\s{{0,40}}SCORE={_NUMBER})?", re.IGNORECASE)
_ANY_FILTER = "a spam filter"
"""Whose name its field does not tell."""
_LEADING_NUMBER = re.compile(rf"\s{{0,40}}{_NUMBER}")


class Why(StrEnum):
    """Who or what decided."""

    FILTER = "filter"
    BULK = "bulk"
    PHISHING = "phishing"
    SPOOFING = "spoofing"
    IMPERSONATION = "impersonation"
    MALWARE = "malware"
    MAIL_FLOW_RULE = "mail_flow_rule"
    INBOX_RULE = "inbox_rule"
    BLOCKED_BY_USER = "blocked_by_user"
    BLOCKED_BY_POLICY = "blocked_by_policy"
    OUTBOUND = "outbound"
    NOTHING = "nothing"


MEANINGS: Mapping[Why, str] = {
    Why.FILTER: "the filter rated it as spam",
    Why.BULK: "the filter rated it as bulk mail",
    Why.PHISHING: "the filter rated it as phishing",
    Why.SPOOFING: "the filter rated its sender as spoofed",
    Why.IMPERSONATION: "the filter rated its sender as an impersonation",
    Why.MALWARE: "the filter found malware",
    Why.MAIL_FLOW_RULE: "a mail flow rule marked it as spam",
    Why.INBOX_RULE: "a rule of the mailbox moved it",
    Why.BLOCKED_BY_USER: "the sender is in the user's Blocked Senders",
    Why.BLOCKED_BY_POLICY: "the sender is blocked in the tenant's policy",
    Why.OUTBOUND: "Microsoft rated it as spam when it left",
    Why.NOTHING: "the filter found nothing",
}
_CATEGORIES = {
    **dict.fromkeys(("PHSH", "HPHSH", "HPHISH"), Why.PHISHING),
    **dict.fromkeys(("SPOOF", "INTOS"), Why.SPOOFING),
    **dict.fromkeys(("GIMP", "DIMP", "UIMP", "BIMP"), Why.IMPERSONATION),
    **dict.fromkeys(("MALW", "AMP", "SAP", "FTBP"), Why.MALWARE),
    "BULK": Why.BULK,
    "OSPM": Why.OUTBOUND,
}
_VERDICTS = {
    "BLK": Why.BLOCKED_BY_USER,
    "SKB": Why.BLOCKED_BY_POLICY,
    "SKS": Why.MAIL_FLOW_RULE,
}
_SAFETY = {
    **dict.fromkeys(("9.19", "9.20"), Why.IMPERSONATION),
    **dict.fromkeys(("9.11", "9.21", "9.22"), Why.SPOOFING),
}
_EXCHANGE_KEYS = ("SCL", "SFV", "CAT", "SFTY", "DIR")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one filter says of a message."""

    filter: str
    """Its name, for instance `SpamAssassin`."""
    junk: bool
    """Whether the message belongs in Junk, or was moved out of the inbox."""
    why: Why
    believed: bool
    """Whether the receiver itself wrote it."""
    said: str
    """The fields that say it, cited in short."""

    def __str__(self) -> str:
        return f"{self.filter}: {MEANINGS[self.why]} ({self.said})"


def verdicts(fields: Fields, *, authserv_id: str | None, exchange_online: bool) -> tuple[Verdict, ...]:
    """Return what filters say of a message, the most telling first: believed before hints, junk before clean.

    A flag that several filters set says nothing where one of them says the same by its own field.

    `authserv_id` is the receiver's name, None where it is not known; `exchange_online` says whether Exchange Online
    serves the mailbox.
    """
    end = len(fields) if exchange_online else receiver_part(fields, authserv_id)
    found = [*_exchange(fields, believed=exchange_online), *_outbound(fields)]
    for at, (name, value) in enumerate(fields):
        reader = _READERS.get(name.lower())
        if reader and (verdict := reader(value[:_MAX_VALUE], at < end and not exchange_online)):
            found.append(verdict)
    named = {(verdict.junk, verdict.believed) for verdict in found if verdict.filter != _ANY_FILTER}
    found = [each for each in found if each.filter != _ANY_FILTER or (each.junk, each.believed) not in named]
    return tuple(sorted(found, key=lambda verdict: (not verdict.believed, not verdict.junk)))[:_MAX_VERDICTS]


def _exchange(fields: Fields, *, believed: bool) -> Iterator[Verdict]:
    """Yield the verdict of Exchange Online as a receiver: its report, and what the mailbox server did with it."""
    report = _keys(fields, "x-forefront-antispam-report")
    delivery = _keys(fields, "x-microsoft-antispam-mailbox-delivery")
    if report.get("DIR") == "OUT" or not (report.keys() & {"SCL", "SFV", "CAT"} or delivery.get("DEST")):
        return
    why = _why(report, delivery)
    cited = [f"{key}:{report[key]}" for key in _EXCHANGE_KEYS if report.get(key)]
    if bulk := _keys(fields, "x-microsoft-antispam").get("BCL"):
        cited.append(f"BCL:{bulk}")
    cited += [
        f"{key.lower() if key == 'DEST' else key}:{delivery[key]}" for key in ("DEST", "OFR") if delivery.get(key)
    ]
    authentication = read_authentication(fields, "")
    if composite := authentication.result("compauth"):
        cited.append(f"compauth={composite} {authentication.detail('compauth')}".rstrip())
    yield Verdict("Exchange Online", why is not Why.NOTHING, why, believed, " ".join(cited)[:_MAX_SHOWN])


def _why(report: Mapping[str, str], delivery: Mapping[str, str]) -> Why:
    where, by = delivery.get("DEST", ""), delivery.get("OFR", "").lower()
    if where == "I":
        return Why.NOTHING
    if where == "C" or by.startswith("customrules"):
        return Why.INBOX_RULE
    verdict, category, level = report.get("SFV", ""), report.get("CAT", ""), report.get("SCL", "")
    if why := _VERDICTS.get(verdict):
        return why
    if where == "J" or verdict == "SPM" or (level.isdecimal() and int(level) >= 5):
        bulk = Why.BULK if report.get("SRV") == "BULK" else Why.FILTER
        return _CATEGORIES.get(category) or _SAFETY.get(report.get("SFTY", "")) or bulk
    return Why.NOTHING


def _outbound(fields: Fields) -> Iterator[Verdict]:
    """Yield what Microsoft thought of the message when it left the sender's tenant."""
    for name in ("x-forefront-antispam-report", "x-forefront-antispam-report-untrusted"):
        report = _keys(fields, name)
        if report.get("CAT") == "OSPM" or (report.get("DIR") == "OUT" and report.get("SFV") == "SPM"):
            cited = " ".join(f"{key}:{report[key]}" for key in _EXCHANGE_KEYS if report.get(key))
            yield Verdict("Microsoft, outbound", junk=False, why=Why.OUTBOUND, believed=False, said=cited[:_MAX_SHOWN])
            return


def _keys(fields: Fields, name: str) -> dict[str, str]:
    """Return keys and values of the topmost field of that name: `KEY:VALUE;`, in any order and old or new style."""
    value = next((value for key, value in fields if key.lower() == name), "")
    found = _KEY.findall(value[:_MAX_VALUE])
    keys = {key.upper(): text.strip() for key, text in reversed(found)}
    return {key: text if key == "OFR" else text.upper() for key, text in keys.items()}


def _spamassassin(value: str, believed: bool) -> Verdict | None:
    found = _SPAMASSASSIN.match(value)
    if found is None:
        return None
    tests = _TESTS.search(value)
    rules = f" tests={''.join(tests[1].split())}" if tests and tests[1].strip() != "none" else ""
    score = f" score={found[2]} required={found[3]}" if found[2] and found[3] else ""
    return _verdict("SpamAssassin", found[1].lower() == "yes", believed, f"X-Spam-Status: {found[1]}{score}{rules}")


def _rspamd_result(value: str, believed: bool) -> Verdict | None:
    found = _RSPAMD.match(value)
    if found is None:
        return None
    score, rejected_at = float(found[2]), float(found[3])
    junk = found[1].lower() == "true" or (rejected_at > 0 and score >= _RSPAMD_MARKED * rejected_at)
    return _verdict("rspamd", junk, believed, f"X-Spamd-Result: {found[1]} {found[2]} / {found[3]}")


def _rspamd_action(value: str, believed: bool) -> Verdict | None:
    action = " ".join(value.lower().split())
    return _verdict("rspamd", action in _RSPAMD_JUNK, believed, f"X-Rspamd-Action: {action}") if action else None


def _spam_flag(value: str, believed: bool) -> Verdict | None:
    word = value.strip().lower()
    known = word in {"yes", "no", "true", "false"}
    return _verdict(_ANY_FILTER, word in {"yes", "true"}, believed, f"the flag of spam is {word}") if known else None


def _proofpoint(value: str, believed: bool) -> Verdict | None:
    keys = dict(_PROOFPOINT.findall(value))
    rule = keys.get("rule", "")
    if not rule or "outbound" in f"{rule} {keys.get('policy', '')}":
        return None
    cited = " ".join(f"{key}={text}" for key, text in keys.items())
    return _verdict("Proofpoint", "notspam" not in rule and "spam" in rule, believed, cited)


def _barracuda(value: str, believed: bool) -> Verdict | None:
    found = _BARRACUDA.match(value)
    if found is None:
        return None
    cited = f"X-Barracuda-Spam-Status: {found[1]}{f' score={found[2]}' if found[2] else ''}"
    return _verdict("Barracuda", found[1].lower() == "yes", believed, cited)


def _mimecast(value: str, _believed: bool) -> Verdict | None:
    """Return the score, which says nothing by itself: its scale is not published."""
    found = _LEADING_NUMBER.match(value)
    return _verdict("Mimecast", False, False, f"X-Mimecast-Spam-Score: {found[1]}") if found else None


def _verdict(name: str, junk: bool, believed: bool, said: str) -> Verdict:
    return Verdict(name, junk, Why.FILTER if junk else Why.NOTHING, believed, " ".join(said.split())[:_MAX_SHOWN])


_READERS = {
    "x-spam-status": _spamassassin,
    "x-spamd-result": _rspamd_result,
    "x-rspamd-action": _rspamd_action,
    "x-spam": _spam_flag,
    "x-spam-flag": _spam_flag,
    "x-proofpoint-spam-details": _proofpoint,
    "x-barracuda-spam-status": _barracuda,
    "x-mimecast-spam-score": _mimecast,
}
