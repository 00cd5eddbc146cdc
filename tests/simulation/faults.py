"""What is wrong in a world, and when it was: the conditions that the weather makes, and what they excuse.

Rule of this file: a condition has a kind and a subject (a host, a credential, a mailbox, a notifier, the agent itself).
What the world does to the agent once only is a condition of no length.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from math import inf


@dataclass(slots=True)
class Condition:
    """One thing that is wrong for a while (monotonic seconds)."""

    kind: str
    subject: str
    begin: float
    end: float = inf
    strength: float = 0.0
    """What the kind needs: seconds, or a share."""


class Conditions:
    """All that is and was wrong."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.counts: Counter[str] = Counter()
        self.chance_of_resets = 0.003
        """How often a connection is lost for no reason."""
        self._now = now
        self._active: dict[tuple[str, str], Condition] = {}
        self._past: dict[str, list[Condition]] = defaultdict(list)

    def begin(self, kind: str, subject: str, strength: float = 0.0) -> Condition:
        """Let something be wrong from now on."""
        condition = Condition(kind, subject, self._now(), strength=strength)
        self._active[kind, subject] = condition
        self._past[subject].append(condition)
        self.counts[kind] += 1
        return condition

    def end(self, condition: Condition) -> None:
        """Let it be right again."""
        condition.end = self._now()
        if self._active.get((condition.kind, condition.subject)) is condition:
            del self._active[condition.kind, condition.subject]

    def once(self, kind: str, subject: str, lasting: float = 0.0) -> None:
        """Note something that was wrong once, and spoils things for so many seconds."""
        self._past[subject].append(Condition(kind, subject, self._now(), self._now() + lasting))
        self.counts[kind] += 1

    def of(self, kind: str, subject: str) -> Condition | None:
        """Return what is wrong now in this way, if it is."""
        return self._active.get((kind, subject))

    def active(self) -> list[Condition]:
        """Return all that is wrong now."""
        return list(self._active.values())

    def held(self, kind: str, subject: str, at: float) -> bool:
        """Return whether something was wrong in this way at that time."""
        return any(each.kind == kind and each.begin <= at <= each.end for each in self._past.get(subject, ()))

    def count(self, since: float, *subjects: str) -> int:
        """Return how often anything was wrong with these subjects since then."""
        return sum(each.end >= since for subject in subjects for each in self._past.get(subject, ()))

    def was(self, subject: str, since: float, *kinds: str) -> Condition | None:
        """Return what was wrong with a subject at any time since then, in one of these ways or in any."""
        for condition in reversed(self._past.get(subject, ())):
            if condition.end >= since and (not kinds or condition.kind in kinds):
                return condition
        return None
