"""What is known of a mailbox and its application, and the form of a rule that finds a defect in it.

Rules of this file:
- Pure. A defect is a state that cannot work, shown by facts; each rule names the facts that it looks at.
- Certain is what facts show in whole; what they show in part is likely.
"""

from collections.abc import Callable
from dataclasses import dataclass

from smtpcheck.model.cause import Cause
from smtpcheck.model.inspection import Fact, FactName, Inspection

PROVEN = 0.98
PROBABLE = 0.75
"""The certainty of a cause that facts show in part, or that a cache may still contradict."""
SMTP_PERMISSION = "SMTP.SendAsApp"
SMTP_ROLE = "Application SMTP.SendAsApp"


@dataclass(frozen=True, slots=True)
class Defect:
    """A state that cannot work, or soon will not."""

    cause: Cause
    facts: tuple[Fact, ...]
    """What shows it, the telling one first."""
    says: str
    """In a sentence about the first fact, without its source."""
    certainty: float = PROVEN


@dataclass(frozen=True, slots=True)
class View:
    """What is known of one mailbox and its application."""

    inspection: Inspection
    mailbox: str
    now: float
    """The time (Unix seconds)."""
    app_only: bool = True
    """Whether the application acts for itself, not for a user."""
    login: str = ""
    """The mailbox that logs in; empty where that is the same."""

    def fact(self, name: FactName) -> Fact | None:
        """Return the newest fact of this name."""
        return self.inspection.find(name, self.mailbox if name.is_of_mailbox else "")

    def when(self, name: FactName, value: object) -> Fact | None:
        """Return the fact of this name where it has this value."""
        fact = self.fact(name)
        return fact if fact is not None and fact.value == value and type(fact.value) is type(value) else None

    def texts(self, name: FactName) -> tuple[str, ...] | None:
        """Return the texts of a fact, None where it was not read."""
        fact = self.fact(name)
        return fact.value if fact is not None and isinstance(fact.value, tuple) else None


Decide = Callable[[View], Defect | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """When facts show a cause."""

    causes: frozenset[Cause]
    """The causes that it may show."""
    facts: tuple[FactName, ...]
    """What it looks at, in the order in which to read it."""
    decide: Decide
    apps_only: bool = False
    """Whether it holds for an application that acts for itself alone."""

    def __call__(self, view: View) -> Defect | None:
        """Return the defect that the facts show, None where they show none."""
        return None if self.apps_only and not view.app_only else self.decide(view)


def state(
    cause: Cause, name: FactName, says: str, *, value: bool, apps_only: bool = False, certainty: float = PROVEN
) -> Rule:
    """Return the rule that one fact of this value shows the cause."""

    def decide(view: View) -> Defect | None:
        fact = view.when(name, value)
        return Defect(cause, (fact,), says, certainty) if fact else None

    return Rule(frozenset({cause}), (name,), decide, apps_only)


def is_smtp_role(assignment: str) -> bool:
    """Return whether an assignment of Exchange is that of the role to send by SMTP."""
    return assignment.startswith(SMTP_ROLE)
