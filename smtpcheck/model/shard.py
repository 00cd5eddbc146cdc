"""Which agent of several runs a check.

Rules of this file:
- Pure. Every agent has the same configuration and decides alone: none asks another, so none can wait for another.
- Rendezvous hashing: of all shards that one takes a key which has the highest hash with it. One shard more takes its
  share from all the others, and nothing moves between those (D. Thaler, C. Ravishankar, "Using name-based mappings to
  increase hit rates", IEEE/ACM Transactions on Networking 6(1), 1998).
- Shards are counted from 0, as a StatefulSet counts its pods and kube-state-metrics its shards.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from smtpcheck.model.check import Check

MOST_SHARDS = 100
_FORM = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9.-]*-)?(?P<number>\d{1,4})/(?P<of>\d{1,4})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several agents that share the checks of a configuration."""

    number: int
    """From 0."""
    of: int
    """How many there are."""

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def owns(self, key: str) -> bool:
        """Return whether what has this key is run here."""
        return owner(key, self.of) == self.number


WHOLE = Shard(0, 1)
"""An agent that runs every check."""


class Sender(NamedTuple):
    """A check that sends messages, by what its caps are counted for."""

    shard: int
    """Which shard runs it."""
    mailbox: str
    tenant: str


@dataclass(frozen=True, slots=True)
class ShardAssignment:
    """All agents of a configuration, as one of them knows it."""

    shard: Shard = WHOLE
    """This agent."""
    names: tuple[tuple[str, ...], ...] = ((),)
    """The checks' names by shard, in the order of the configuration."""
    following: tuple[Check, ...] = ()
    """The checks of the shard after this one, the first one's for the last: which this agent reports for that one."""
    other_shards: Mapping[str, int] = field(default_factory=dict)
    """Which shard runs the checks that are not run here, by name."""
    senders: tuple[Sender, ...] = ()
    """The checks that send messages, of all shards."""


ALONE = ShardAssignment()
"""The assignment of an agent that runs every check."""


def parse_shard(text: str) -> Shard:
    """Return the shard that `I/N` names; I is a number or ends in one after a hyphen, as the name of a pod does.

    ValueError: what is wrong, and after a line end how to fix it.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(
            "is not a valid shard\nwrite I/N: 0/3, 1/3 and 2/3 for three agents; I may be a pod's name: mail-0/3"
        )
    shard = Shard(int(found["number"]), int(found["of"]))
    if not 1 <= shard.of <= MOST_SHARDS:
        raise ValueError(f"is not a valid number of agents\ntake 1 to {MOST_SHARDS}")
    if shard.number >= shard.of:
        raise ValueError(
            f"is beyond the last shard\nthey are counted from 0: 0/{shard.of} to {shard.of - 1}/{shard.of}"
        )
    return shard


def owner(key: str, shards: int) -> int:
    """Return which of so many shards has the key."""
    return max(range(shards), key=lambda shard: hashlib.sha256(f"{shard}\0{key}".encode()).digest())


def share(budget: int, rank: int, among: int) -> int:
    """Return the part of a budget for one of several, by its rank from 0; the parts of all are the whole."""
    return budget // among + (rank < budget % among)
