"""What is wrong with a configuration, reported so that it can be fixed at once.

Rules of this file:
- A problem names file, line, key, the offending value and what to do. Every problem is reported at once, each one once.
- A value is shown only where it can be no secret; the place decides (`Place.shows`). What a variable of the environment
  holds is never shown, but its name.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, Protocol, TypeVar

from smtpcheck.model.printable import printable

Severity = Literal["error", "warning"]
KeyPath = tuple[str | int, ...]
"""Keys and indices from the top of a document down to a value."""

_LONGEST_VALUE = 80
_SHORTEST_IN_WORDS = 4
"""Letters of what a variable holds that is concealed in sentences; what is shorter is a part of any word."""
_SHORTEST_PART = 8
"""Letters of a part of what a variable holds that is concealed by itself."""
_SEPARATORS = re.compile(r"[\s,;:@/<>]+")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong (`error`) or will probably go wrong (`warning`)."""

    severity: Severity
    message: str
    file: str = ""
    """As it was given; empty for an option of the command line."""
    line: int | None = None
    """Counted from 1."""
    path: str = ""
    """Where in the file, as `checks[3].mailbox`, or the name of the option."""
    value: str | None = None
    """The offending value, text in quotes; None where it is missing or may be a secret."""
    hint: str = ""
    """What to do about it, if there is something to say."""

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line) if part)
        severity = "warning" if self.severity == "warning" else ""
        parts = (where, severity, self.path, self.value, self.message)
        hint = f"\n  hint: {self.hint}" if self.hint else ""
        return ": ".join(part for part in parts if part) + hint


class Source(Protocol):
    """What values come from: a YAML file, a table of mailboxes, or options."""

    @property
    def name(self) -> str:
        """The file as it was given, empty for options."""

    def line(self, path: KeyPath) -> int | None:
        """Return the line of the value at `path`, or of the nearest thing around it."""

    def shown(self, path: KeyPath) -> str:
        """Return `path` as the user knows it."""


@dataclass(frozen=True, slots=True)
class Place:
    """One value in a source."""

    source: Source
    path: KeyPath = ()

    def __truediv__(self, key: str | int) -> "Place":
        return Place(self.source, (*self.path, key))

    def __add__(self, path: KeyPath) -> "Place":
        return Place(self.source, self.path + path)

    @property
    def shows(self) -> bool:
        """Whether a value here can be no secret: of a credential's and a notifier's keys only those of a short list."""
        if self.path[:2] in {("agent", "external_url"), ("agent", "otlp")}:
            return False
        if self.path[:1] == ("basic_auth_users",):  # of the page's own file
            return False
        if self.path[:1] == ("alerts",):
            return not _SECRET_OF_ALERTS & set(self.path) or bool(_SHOWN_OF_ALERTS & set(self.path[3:4]))
        in_credential = len(self.path) > 2 and self.path[0] == "credentials"
        return not in_credential or (len(self.path) == 3 and self.path[2] in _SHOWN_OF_A_CREDENTIAL)


_SECRET_OF_ALERTS = frozenset({"notify", "heartbeat"})
_SHOWN_OF_ALERTS = frozenset({"type", "name", "match"})
_SHOWN_OF_A_CREDENTIAL = frozenset({"type", "cloud", "tenant", "client_secret_expires"})


class Problems:
    """Collects what is found; the order of files and lines is made at the end."""

    def __init__(self, *, strict: bool = False) -> None:
        """With `strict` every warning is an error."""
        self._strict = strict
        self._found: dict[tuple[object, ...], Problem] = {}
        self._held: dict[tuple[str, KeyPath], dict[str, str]] = {}
        self._closed: set[tuple[str, KeyPath]] = set()

    def error(self, place: Place, message: str, *, value: object = None, hint: str = "") -> None:
        """Add an error at `place`."""
        self._add("error", place, message, value, hint)

    def warning(self, place: Place, message: str, *, value: object = None, hint: str = "") -> None:
        """Add a warning at `place`."""
        self._add("warning", place, message, value, hint)

    def conceal(self, place: Place, variables: Mapping[str, str]) -> None:
        """Show these variables of the environment by name in problems of this place and of those around it."""
        for end in range(len(place.path) + 1 if variables else 0):
            self._held.setdefault((place.source.name, place.path[:end]), {}).update(variables)

    def report_nothing_more(self, place: Place) -> None:
        """Drop what is found wrong at this place from now on."""
        self._closed.add((place.source.name, place.path))

    def _add(self, severity: Severity, place: Place, message: str, value: object, hint: str) -> None:
        at = (place.source.name, place.path)
        if at in self._closed:
            return
        held = self._held.get(at, {})
        shown = shown_value(_concealed(value, held)) if place.shows and not _may_hold_a_password(place, value) else None
        problem = Problem(
            severity="error" if self._strict else severity,
            message=printable(_concealed(message, held, _SHORTEST_IN_WORDS)),
            file=place.source.name,
            line=place.source.line(place.path),
            path=printable(place.source.shown(place.path)),
            value=shown,
            hint=printable(_concealed(hint, held, _SHORTEST_IN_WORDS)),
        )
        self._found.setdefault((problem.file, problem.line, problem.path, problem.message), problem)

    @property
    def any_error(self) -> bool:
        """Whether one of them is an error."""
        return any(problem.severity == "error" for problem in self._found.values())

    def in_order(self, files: Iterable[str]) -> tuple[Problem, ...]:
        """Return them by file, in the order of `files`, and by line."""
        rank = {name: index for index, name in enumerate(dict.fromkeys(files))}
        return tuple(sorted(self._found.values(), key=lambda p: (rank.get(p.file, len(rank)), p.line or 0)))


_Value = TypeVar("_Value", bound=object)


def _concealed(value: _Value, variables: Mapping[str, str], shortest: int = 1) -> _Value | str:
    """Return a value with the names of variables in place of what they hold, or of a part with `shortest` letters."""
    if not variables or not isinstance(value, str | int | float):
        return value
    names: dict[str, str] = {}
    for name, held in variables.items():
        parts = {part for part in _SEPARATORS.split(held) if len(part) >= _SHORTEST_PART}
        names |= {form: f"${{{name}}}" for form in (held.strip(" \t\r\n,;"), *parts) if len(form) >= shortest}
    longest_first = sorted(names, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)) or "(?!)", lambda found: names[found[0]], str(value))


def _may_hold_a_password(place: Place, value: object) -> bool:
    """Return whether a credential's value may be a URL with user and password."""
    return place.path[:1] == ("credentials",) and isinstance(value, str) and "@" in value


def shown_value(value: object) -> str | None:
    """Return a number, or text in quotes with its blanks and control characters seen; None for anything else."""
    if isinstance(value, int) and value.bit_length() > _LONGEST_VALUE:
        return None
    if not isinstance(value, str | int | float):
        return None
    if not isinstance(value, str):
        return json.dumps(value)
    text = value if len(value) <= _LONGEST_VALUE else value[:_LONGEST_VALUE] + "..."
    return json.dumps(text, ensure_ascii=False) if text.isprintable() else json.dumps(text)


def closest(word: str, known: Iterable[str]) -> str:
    """Return the known word most like `word`, empty where none is like it."""
    return next(iter(get_close_matches(word[:_LONGEST_VALUE].lower(), sorted(known), n=1)), "")


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the known word most like `word`, or all of them where none is and they are few."""
    names = sorted(known)
    if close := closest(word, names):
        return f'did you mean "{close}"?'
    return f"known here: {', '.join(names)}" if 0 < len(names) <= 48 else ""
