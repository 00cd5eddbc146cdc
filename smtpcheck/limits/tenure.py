"""How many messages an agent may send while others send too, and after its part of the checks has changed.

Rules of this file:
- Pure: times are Unix seconds, and the present is an argument.
- A cap is divided evenly among the agents whose checks draw on it. All have the same configuration, so each knows.
- What another agent sent before a check came here nobody tells. So for a day, as long as caps reach back, the smallest
  share counts of all that an agent had meanwhile: who is new to a check finds its cap spent, and no agent has more than
  was left to it. In any day the messages of all agents stay within the cap.
- Who was away for less than a day has missed nothing: whoever took its checks meanwhile found their caps spent.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from smtpcheck.limits.send_limits import DAY, Scope, scopes
from smtpcheck.model.shard import WHOLE, Sender, Shard, owner, share


@dataclass(frozen=True, slots=True)
class Tenure:
    """Since when an agent is which shard."""

    since: float
    shard: Shard


def joined(tenures: Sequence[Tenure], shard: Shard, last_seen: float | None, now: float) -> tuple[Tenure, ...]:
    """Return the tenures of an agent that starts as `shard`, oldest first; `last_seen` is when it last ran a check.

    An agent that has always run alone has nobody to mind.
    """
    alone = shard == WHOLE and all(tenure.shard == WHOLE for tenure in tenures)
    if alone:
        return (Tenure(0.0, WHOLE),)
    if tenures and now - max(last_seen or 0.0, tenures[-1].since) >= DAY:
        tenures = ()
    if tenures and tenures[-1].shard == shard:
        return tuple(tenures)
    return (
        *(tenure for tenure, after in pairwise(tenures) if after.since > now - DAY),
        *tenures[-1:],
        Tenure(now, shard),
    )


class Division:
    """An agent's shares of the caps."""

    def __init__(self, senders: Iterable[Sender], tenures: Sequence[Tenure]) -> None:
        """Take the checks that send, of all agents, and this agent's tenures, oldest first and at least one."""
        self._tenures = tuple(tenures)
        known = tuple(senders)
        self._drawing = {shards: _drawing(known, shards) for shards in {tenure.shard.of for tenure in self._tenures}}

    def share(self, scope: Scope, limit: int, now: float) -> int:
        """Return how many of `limit` messages are this agent's."""
        if self._tenures[0].since > now - DAY:
            return 0
        return min(self._share(tenure.shard, scope, limit) for tenure in self._of_the_day(now))

    def next_change(self, now: float) -> float:
        """Return when a share may become another (Unix seconds); infinity if it stays."""
        ends = (tenure.since + DAY for tenure in self._tenures)
        return min((end for end in ends if end > now), default=float("inf"))

    def _of_the_day(self, now: float) -> Iterable[Tenure]:
        yield from (tenure for tenure, after in pairwise(self._tenures) if after.since > now - DAY)
        yield self._tenures[-1]

    def _share(self, shard: Shard, scope: Scope, limit: int) -> int:
        drawing = self._drawing[shard.of].get(scope, ())
        return share(limit, drawing.index(shard.number), len(drawing)) if shard.number in drawing else 0


def _drawing(senders: Iterable[Sender], shards: int) -> dict[Scope, tuple[int, ...]]:
    """Return which of so many shards draw on each cap."""
    drawing: dict[Scope, set[int]] = defaultdict(set)
    for sender in senders:
        number = owner(sender.key, shards)
        for scope in scopes(sender.mailbox, sender.tenant):
            drawing[scope].add(number)
    return {scope: tuple(sorted(numbers)) for scope, numbers in drawing.items()}
