"""Which of many patterns and rules are worth trying on a text, by what the text must have for them to match.

Rules of this file:
- It only leaves out what cannot match: what passes is still to be tried, and nothing that matches is left out.
- A pattern of which nothing certain can be said always passes.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from re import _parser  # type: ignore[attr-defined]
from typing import Any, Generic, Self, TypeVar

_SIZE = 4
"""How long the pieces are that a text is cut into; a shorter word is no condition."""

Item = TypeVar("Item")
Property = tuple[str, str]
"""Name and value of what is known of a text beside its words."""
Words = tuple[str, ...]
"""Words of which a text must have at least one; empty if nothing certain can be said."""


def pieces_of(text: str) -> frozenset[str]:
    """Return all pieces of a text, overlapping ones too."""
    return frozenset(text[at : at + _SIZE] for at in range(len(text) - _SIZE + 1))


def words_of(pattern: str, least: int = _SIZE) -> Words:
    """Return words of `least` letters or more, one of which a text must have to match the regular expression."""
    return _of_sequence(_parser.parse(pattern), least)


def usable(words: Collection[str], least: int = _SIZE) -> bool:
    """Return whether the words are a condition that can be looked up."""
    return bool(words) and min(map(len, words)) >= least


class Screen(Generic[Item]):
    """Items, each with a condition: words or properties of which a text must have at least one."""

    def __init__(self, items: Iterable[tuple[Item, Collection[str | Property]]]) -> None:
        """Take each item with its condition: words are looked up by a piece, properties whole; none: always passes."""
        self._items: list[Item] = []
        self._always: list[int] = []
        self._by_piece: dict[str | Property, list[int]] = {}
        listed = [(item, tuple(condition)) for item, condition in items]
        common = Counter(piece for _, condition in listed for word in condition for piece in _pieces(word))
        for number, (item, condition) in enumerate(listed):
            self._items.append(item)
            if not condition:
                self._always.append(number)
            for word in condition:
                rarest = min(_pieces(word), key=lambda piece: (common[piece], str(piece)))
                self._by_piece.setdefault(rarest, []).append(number)

    def passing(self, pieces: Collection[str | Property]) -> Iterator[Item]:
        """Yield the items whose condition may hold, in their order, for the pieces and the properties of a text."""
        numbers = set(self._always)
        for piece in self._by_piece.keys() & pieces:
            numbers.update(self._by_piece[piece])
        return (self._items[number] for number in sorted(numbers))


@dataclass(frozen=True, slots=True)
class Expression:
    """A regular expression without regard to case, and what a text must have to match it."""

    pattern: re.Pattern[str]
    words: Words
    """In small letters."""

    @classmethod
    def of(cls, pattern: str) -> Self:
        """Return the expression of a pattern."""
        words = tuple(word.lower() for word in words_of(pattern, 2))
        return cls(re.compile(pattern, re.IGNORECASE | re.MULTILINE), words)

    def search(self, text: str) -> re.Match[str] | None:
        """Return the first match in a text."""
        return self.pattern.search(text) if self.may_match(text.lower()) else None

    def matches(self, text: str) -> Iterator[re.Match[str]]:
        """Return all matches in a text."""
        return self.pattern.finditer(text) if self.may_match(text.lower()) else iter(())

    def may_match(self, lowered: str) -> bool:
        """Return whether the expression is worth trying on a text, given in small letters."""
        return not self.words or any(word in lowered for word in self.words)


def _pieces(word: str | Property) -> Collection[str | Property]:
    return pieces_of(word) if isinstance(word, str) else (word,)


def _of_sequence(parts: Sequence[Any], least: int) -> Words:
    """Return the best condition of what must follow one another: the one whose shortest word is the longest."""
    found: list[Words] = []
    run = ""
    for kind, value in parts:
        name = str(kind)
        if name == "LITERAL":
            run += chr(value)
            continue
        found.append((run,))
        run = ""
        found.append(_of_part(name, value, least))
    found.append((run,))
    return max((words for words in found if usable(words, least)), key=lambda words: min(map(len, words)), default=())


def _of_part(name: str, value: Any, least: int) -> Words:
    match name:
        case "SUBPATTERN":
            return _of_sequence(value[3], least)
        case "BRANCH":
            branches = [_of_sequence(branch, least) for branch in value[1]]
            return tuple(word for words in branches for word in words) if all(branches) else ()
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT" if value[0] > 0:
            return _of_sequence(value[2], least)
        case _:
            return ()
