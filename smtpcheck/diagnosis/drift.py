"""What has changed at the provider since the last reading, and what of that will break a check.

Rules of this file:
- Pure. A reading is kept as hashes of what was read, and as the decisions that follow (`Note`). A value itself is kept
  where it is one of few and names nobody: yes, no, a type, permissions by their names, a day of expiry.
- A change is reported by both values and both times for a day, or until the next reading where that comes later; what
  cannot work, until a reading says that it can.
- A fact that was not read has not changed.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from hashlib import sha256

from smtpcheck.diagnosis.inspected.defects import defects, evidence_of
from smtpcheck.diagnosis.inspected.view import PROVEN, View
from smtpcheck.model.cause import Cause
from smtpcheck.model.inspection import Fact, FactName, Inspection, Value
from smtpcheck.model.inspection_reading import KeptFact, KeptReading, Note
from smtpcheck.model.report import Finding
from smtpcheck.model.timestamp import rfc3339, utc_text

CHANGE_SECONDS = 86400.0
_MOST_NOTES = 2000
_MOST_SAID = 6
_LONGEST = 300
"""Characters of a value in a sentence."""
_PLAIN = frozenset(
    {
        *(FactName.MAILBOX_KIND, FactName.MAILBOX_PURPOSE, FactName.USER_LICENCE, FactName.APPLICATION_ROLES),
        *(FactName.DELEGATED_PERMISSIONS, FactName.ROLE_ASSIGNMENTS, FactName.REGISTERED_ID),
        *(FactName.SECRET_EXPIRES, FactName.CERTIFICATE_EXPIRES),
        *(FactName.SERVICE_ACCOUNT_KEY, FactName.SERVICE_ACCOUNT_KEY_EXPIRES, FactName.LOCAL_KEY),
        *(FactName.SERVICE_ACCOUNT_CLIENT_ID, FactName.USER_SUSPENSION_REASON),
    }
)
"""Facts whose values may be kept, besides all that say yes, no or nothing."""
_LISTED = frozenset(
    {
        *(FactName.SECRET_EXPIRES, FactName.CERTIFICATE_EXPIRES, FactName.POLICY, FactName.FEDERATED_CREDENTIAL),
        FactName.SERVICE_ACCOUNT_KEY,
    }
)
"""Facts of which there are several: one more or one less is a change."""
_HARMFUL_VALUES: Mapping[FactName, Value] = {
    FactName.PRINCIPAL_ENABLED: False,
    FactName.ASSIGNMENT_REQUIRED: True,
    FactName.SMTP_AUTH_OFF_MAILBOX: True,
    FactName.SMTP_AUTH_OFF_TENANT: True,
    FactName.SECURITY_DEFAULTS: True,
    FactName.FULL_ACCESS: False,
    FactName.SEND_AS: False,
    FactName.ROLE_IN_SCOPE: False,
    FactName.SEND_FROM_ALIAS: False,
    FactName.MAILBOX_FORWARDS: True,
    FactName.REGISTERED: False,
    FactName.USER_SUSPENDED: True,
    FactName.USER_ARCHIVED: True,
    FactName.USER_MAILBOX_CREATED: False,
    FactName.DELEGATED: False,
    FactName.MAILBOX_IMAP: False,
    FactName.SERVICE_ACCOUNT_ENABLED: False,
}
"""Changes to these values are worth a warning; to another value they are good news."""
_HARMFUL_CHANGES = frozenset(
    {
        *(FactName.MAILBOX_KIND, FactName.MAILBOX_PURPOSE, FactName.REGISTERED_ID, FactName.PRINCIPAL_ID),
        FactName.SERVICE_ACCOUNT_CLIENT_ID,
    }
)
"""Any change of these is worth a warning."""
_EXPIRY: Mapping[FactName, Cause] = {
    FactName.SECRET_EXPIRES: Cause.SECRET_EXPIRING,
    FactName.CERTIFICATE_EXPIRES: Cause.CLIENT_CERTIFICATE_EXPIRING,
    FactName.SERVICE_ACCOUNT_KEY_EXPIRES: Cause.SECRET_EXPIRING,
}
"""What expires, and the warning of that."""
_WITHDRAWABLE = frozenset({FactName.APPLICATION_ROLES, FactName.DELEGATED_PERMISSIONS, FactName.ROLE_ASSIGNMENTS})
"""Lists that a change may take something from."""


def digest(text: str) -> str:
    """Return the hash that an address or a value is kept by."""
    return sha256(text.casefold().encode("utf-8", "replace")).hexdigest()[:16]


def next_reading(
    before: KeptReading | None,
    found: Inspection,
    mailboxes: Collection[str],
    *,
    answered: Collection[FactName],
    app_only: bool,
    now: float,
    every: float,
) -> KeptReading:
    """Return what is kept after a reading that has ended at Unix time `now`.

    `answered` are the facts whose questions were answered, whatever they said.
    """
    read = [(fact, _key(fact), _kept(fact)) for fact in found.facts]
    new = {key: kept for _, key, kept in read}
    until = now + max(CHANGE_SECONDS, every)
    about = found.about_each(mailboxes or ("",)).items()
    views = [View(each, mailbox, now, app_only=app_only) for mailbox, each in about]
    notes = list(_defects(views, now))
    if before is None:
        return KeptReading(now, new, _bounded(notes), frozenset(answered))
    notes += _changes(before, read, now, until)
    notes += _removed(before, new.keys(), answered, now, until)
    notes += (note for note in before.notes if note.until is not None and note.until > now)
    ours = {"", *map(digest, mailboxes)}
    unread = {
        key: each for key, each in before.facts.items() if _name_of(key) not in answered or _about(key) not in ours
    }
    return KeptReading(now, {**unread, **new}, _bounded(notes), frozenset(answered))


class Warnings:
    """What a reading warns of. A look for one mailbox costs the same however many have warnings."""

    def __init__(self, reading: KeptReading) -> None:
        self.reading = reading
        self._places: dict[str, list[int]] = {}
        for place, note in enumerate(reading.notes):
            self._places.setdefault(note.about, []).append(place)

    def of(self, mailbox: str, values: Mapping[str, str], now: float) -> tuple[Finding, ...]:
        """Return the warnings for the check of a mailbox; each cause once, what cannot work first."""
        found: dict[Cause, list[Note]] = {}
        for place in sorted((*self._places.get("", ()), *self._places.get(digest(mailbox), ()))):
            note = self.reading.notes[place]
            if note.until is None or note.until > now:
                found.setdefault(note.cause, []).append(note)
        return tuple(_warning(cause, notes, values) for cause, notes in found.items())


def causes_of(reading: KeptReading, now: float) -> frozenset[Cause]:
    """Return every cause that a reading warns of."""
    return frozenset(note.cause for note in reading.notes if note.until is None or note.until > now)


def expiring(found: Inspection, warn_seconds: float, now: float) -> tuple[Cause, str] | None:
    """Return what expires next of an application's credentials, where none in use lasts longer than `warn_seconds`.

    Where it is known which key is in use, that one counts; else the one that lasts longest.
    """
    listed = [fact for name in _EXPIRY for fact in found.all(name)]
    in_use = _key_in_use(found)
    used = [fact for fact in listed if fact.item == in_use] or ([] if found.find(FactName.LOCAL_KEY) else listed)
    last = max(used, key=lambda fact: str(fact.value), default=None)
    if last is None or not rfc3339(now) < str(last.value) < rfc3339(now + warn_seconds):
        return None
    which = "the key in use" if last.item == in_use else f"the last of {len(listed)}"
    return _EXPIRY[last.name], f"{last.source}: {which} expires on {str(last.value)[:10]} (key {last.item})"


def _key_in_use(found: Inspection) -> str:
    """Return the id of the key in use, by the sign-in log or by the local file; empty where neither says it."""
    if (local := found.find(FactName.LOCAL_KEY)) is not None:
        return local.item
    signed_in = found.find(FactName.SIGN_IN_KEY)
    return str(signed_in.value) if signed_in is not None else ""


def _warning(cause: Cause, notes: list[Note], values: Mapping[str, str]) -> Finding:
    of_application = all(not note.about for note in notes)
    said = tuple(dict.fromkeys(sentence for note in notes for sentence in note.says))[:_MOST_SAID]
    rule = f"inspection.application.{cause}" if of_application else f"inspection.{cause}"
    return Finding(cause, PROVEN, rule, said, values)


def _defects(views: Collection[View], now: float) -> Iterator[Note]:
    for view in views:
        for defect in defects(view):
            about = digest(view.mailbox) if any(fact.subject for fact in defect.facts) else ""
            yield Note(defect.cause, about, (evidence_of(defect),), now)
        if (ends := expiring(view.inspection, 30 * CHANGE_SECONDS, now)) is not None:
            yield Note(ends[0], "", (ends[1],), now)


def _changes(
    before: KeptReading, read: Iterable[tuple[Fact, str, KeptFact]], now: float, until: float
) -> Iterator[Note]:
    """Yield what a reading says otherwise than the last one, where that may harm."""
    for fact, key, kept in read:
        old, said = before.facts.get(key), ""
        if old is not None and old.digest != kept.digest and _is_harmful(fact, old):
            was = _shortened(old.shown) or "another"
            said = f"{_words(fact.name)} was {was} ({utc_text(old.at)}) and is {_now(kept)}"
        elif old is None and fact.name in _LISTED and fact.name in before.answered:
            added = f"a new one was added: {_words(fact.name)} {kept.shown}".rstrip()
            said = f"{added}, not there on {utc_text(before.at)}"
        if said:
            about = digest(fact.subject) if fact.subject else ""
            yield Note(Cause.SETTING_CHANGED, about, (f"{fact.source}: {said} ({utc_text(fact.read_at)})",), now, until)


def _removed(
    before: KeptReading, new: Collection[str], answered: Collection[FactName], now: float, until: float
) -> Iterator[Note]:
    """Yield what is gone of that of which there are several."""
    for key, old in before.facts.items():
        name = _name_of(key)
        if name in _LISTED and name in answered and key not in new:
            said = f"{_words(name)} {old.shown}".rstrip()
            seen = f"one was removed: {said} (there on {utc_text(old.at)}, not on {utc_text(now)})"
            yield Note(Cause.SETTING_CHANGED, "", (seen,), now, until)


def _is_harmful(fact: Fact, before: KeptFact) -> bool:
    if fact.name in _WITHDRAWABLE and isinstance(fact.value, tuple):
        return bool(set(before.shown.split(", ")) - set(fact.value) - {"none"})
    if fact.name is FactName.SERVICE_ACCOUNT_KEY:
        return fact.value != "enabled"
    if fact.name is FactName.USER_LICENCE:
        return fact.value not in {"Enabled", "Warning"}
    if fact.name in _HARMFUL_VALUES:
        return fact.value is _HARMFUL_VALUES[fact.name]
    return fact.name in _HARMFUL_CHANGES


def _bounded(notes: Collection[Note]) -> tuple[Note, ...]:
    return tuple(dict.fromkeys(notes))[:_MOST_NOTES]


def _about(key: str) -> str:
    """Return the hash of the mailbox that a kept fact is about, empty for the application and the tenant."""
    return key.split("|")[1]


def _key(fact: Fact) -> str:
    """Return what a fact is kept under; it names no mailbox."""
    return f"{fact.name.value}|{digest(fact.subject) if fact.subject else ''}|{digest(fact.item) if fact.item else ''}"


def _name_of(key: str) -> FactName | None:
    try:
        return FactName(key.partition("|")[0])
    except ValueError:  # of another version
        return None


def _kept(fact: Fact) -> KeptFact:
    is_plain = not fact.personal and (fact.value is None or isinstance(fact.value, bool) or fact.name in _PLAIN)
    return KeptFact(digest(repr(fact.value)), _in_words(fact.value) if is_plain else "", fact.read_at)


def _now(kept: KeptFact) -> str:
    return _shortened(kept.shown) or "another one now"


def _shortened(shown: str) -> str:
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."


def _in_words(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return "not set" if value is None else value


def _words(name: FactName | None) -> str:
    return name.value.replace(".", " ").replace("_", " ") if name else "a setting"
