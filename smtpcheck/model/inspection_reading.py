"""What is kept of the readings of an inspection: hashes and decisions.

Rules of this file:
- Plain values, which outlive a restart under these names. No name, no address and no row of a log is in them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from smtpcheck.model.cause import Cause
from smtpcheck.model.inspection import FactName


@dataclass(frozen=True, slots=True)
class KeptFact:
    """A fact as it is kept."""

    digest: str
    shown: str
    """The value in words, empty where only its hash is kept."""
    at: float
    """When it was read (Unix seconds)."""


@dataclass(frozen=True, slots=True)
class Note:
    """What follows from a reading: a warning on the checks that it concerns."""

    cause: Cause
    about: str
    """The hash of the mailbox that it concerns; empty for all of the application's."""
    says: tuple[str, ...]
    at: float
    until: float | None = None
    """None: as long as no reading says otherwise."""


@dataclass(frozen=True, slots=True)
class KeptReading:
    """What is kept of the readings of one credential."""

    at: float
    """When the last one ended (Unix seconds)."""
    facts: Mapping[str, KeptFact] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    answered: frozenset[FactName] = frozenset()
    """The facts whose questions were answered, whatever they said."""
