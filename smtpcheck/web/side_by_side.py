"""Checks that go to one mailbox in several ways, as one group: which way works, and which is faster.

Rules of this file:
- A group is where its first row would be; rows without a group stay as they are.
- Only what the last runs showed is compared: what failed has no speed.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol, TypeVar

from smtpcheck.model.check import Check

_NAMES = {"smtp": "SMTP", "graph": "Graph", "gmail": "the Gmail API", "ses": "Amazon SES", "acs": "ACS"}
_WORKS = frozenset({"ok", "warning"})


class Compared(Protocol):
    """What is compared of a check's last run."""

    @property
    def check(self) -> Check: ...  # noqa: D102

    @property
    def status(self) -> str: ...  # noqa: D102

    @property
    def seconds(self) -> float | None: ...  # noqa: D102


_Row = TypeVar("_Row", bound=Compared)


def way_name(way: str) -> str:
    """Return what a way is called."""
    return _NAMES.get(way, way)


def groups_of(rows: Sequence[_Row]) -> tuple[tuple[_Row, ...], ...]:
    """Return the rows, those of one mailbox together, and rows without such company in groups of their own."""
    together: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        if row.check.side_by_side:
            together[row.check.side_by_side].append(row)
    found: list[list[_Row]] = []
    alone = True
    for row in rows:
        group = together.pop(row.check.side_by_side, None) if row.check.side_by_side else None
        if group is not None and len(group) > 1:
            found.append(group)
            alone = True
        elif not row.check.side_by_side or group is not None:
            if alone:
                found.append([])
                alone = False
            found[-1].append(row)
    return tuple(map(tuple, found))


def comparison(rows: Sequence[Compared]) -> str:
    """Return in one sentence how the ways to one mailbox compare; empty while nothing is known."""
    works = [row for row in rows if row.status in _WORKS]
    fails = [row for row in rows if row.status == "critical"]
    if works and fails:
        return f"By {_names(works)} it works, by {_names(fails)} it does not."
    if fails:
        return f"It works by none of {_names(fails)}." if len(fails) == len(rows) else ""
    timed = sorted(((row.seconds or 0.0, row) for row in works), key=lambda pair: pair[0])
    if len(timed) < max(2, len(rows)):
        return ""
    (least, first), (most, last) = timed[0], timed[-1]
    return f"All ways work; {way_name(first.check.way)} took {least:.2g} s, {way_name(last.check.way)} {most:.2g} s."


def _names(rows: Sequence[Compared]) -> str:
    return " and ".join(dict.fromkeys(way_name(row.check.way) for row in rows))
