"""What an agent that runs a part of the checks says of all agents, so that checks that nobody runs are seen.

Rules of this file:
- Pure, and rendered once for a configuration.
- An agent that is gone says nothing, so the others speak for it: each of how many checks every shard has, and by name
  of those of the shard after its own. That is one series more for a check, however many agents there are.
- An agent that runs every check says nothing here.
"""

from collections.abc import Collection, Iterator

from smtpcheck.model.shard import WHOLE, ShardAssignment
from smtpcheck.output.metrics import families as table
from smtpcheck.output.metrics.check import identity, labels_of
from smtpcheck.output.metrics.families import Family


def render_shards(sharding: ShardAssignment, label_names: Collection[str]) -> tuple[tuple[Family, bytes], ...]:
    """Return the samples of each family, without its header."""
    if sharding.shard == WHOLE:
        return ()
    families = (
        (table.SHARD_INFO, _this(sharding)),
        (table.SHARD_CHECKS, _counts(sharding)),
        (table.NEXT_SHARD_CHECK_INFO, _following(sharding, label_names)),
    )
    rendered = (
        (family, "".join(f"{family.name}{{{labels}}} {number}\n" for labels, number in samples))
        for family, samples in families
    )
    return tuple((family, text.encode("utf-8", "replace")) for family, text in rendered if text)


_Samples = Iterator[tuple[str, int]]


def _this(sharding: ShardAssignment) -> _Samples:
    yield labels_of((("shard", str(sharding.shard.number)), ("shards", str(sharding.shard.of)))), 1


def _counts(sharding: ShardAssignment) -> _Samples:
    for number, names in enumerate(sharding.names):
        yield labels_of((("shard", str(number)),)), len(names)


def _following(sharding: ShardAssignment, label_names: Collection[str]) -> _Samples:
    shard = labels_of((("shard", str((sharding.shard.number + 1) % sharding.shard.of)),))
    for check in sharding.following:
        yield f"{identity(check, label_names)},{shard}", 1
