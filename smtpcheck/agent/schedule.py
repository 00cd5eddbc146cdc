"""When every check is due: a heap that a tick drains.

Rules of this file:
- Pure: all times are monotonic seconds, and the present is an argument.
- A check has slots `interval` apart, shifted by a stable hash of its name, so that checks are spread evenly and a
  name keeps its place among the others from start to start. The first run does not wait for a slot of a long
  interval: it comes within `first_within` seconds, spread by the same hash, and the slot after it is at least half
  an interval away.
- A check that is tried again soon runs between its slots; as after a first run, the next slot is at least half an
  interval away.
- There is never a backlog: a check that is late by several slots fires once, and the slots that passed are counted.
"""

import hashlib
import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass

from smtpcheck.model.check import Check


@dataclass(slots=True)
class _Slots:
    """The slots of one check: `anchor` plus whole intervals."""

    interval: float
    anchor: float
    next_at: float
    queued_at: float
    """The time of its entry in the heap; any other entry of the same check is stale, and each of one that has left."""
    postponed: bool = False

    def first_from(self, earliest: float) -> float:
        """Return the first slot later than `earliest`."""
        return self.anchor + (math.floor((earliest - self.anchor) / self.interval) + 1) * self.interval


class Schedule:
    """The due times of all checks."""

    def __init__(self, first_within: float = 60.0) -> None:
        """Spread first runs over `first_within` seconds, or over a check's interval if that is shorter."""
        self.skipped = 0
        """Slots that passed without a firing because the tick came too late."""
        self._first_within = first_within
        self._slots: dict[str, _Slots] = {}
        self._heap: list[tuple[float, str]] = []

    def replace(self, checks: Iterable[Check], now: float) -> None:
        """Schedule exactly these checks. One whose name and interval are unchanged keeps its next due time."""
        before, after = self._slots, dict[str, _Slots]()
        for check in checks:
            slots = before.get(check.name)
            if slots is None or slots.interval != check.interval:
                slots = self._first(check, now)
                heapq.heappush(self._heap, (slots.queued_at, check.name))
            after[check.name] = slots
        self._slots = after
        if len(self._heap) > 2 * len(self._slots):
            self._heap = [(slots.queued_at, name) for name, slots in self._slots.items()]
            heapq.heapify(self._heap)

    def due(self, now: float) -> list[tuple[str, float]]:
        """Return name and due time of every check that is due, earliest first, and set the next of each."""
        fired = []
        heap = self._heap
        while heap and heap[0][0] <= now:
            due_at, name = heap[0]
            if self._is_stale(due_at, name):
                heapq.heappop(heap)
                continue
            slots = self._slots[name]
            if slots.next_at > due_at:
                slots.queued_at = slots.next_at
                heapq.heapreplace(heap, (slots.next_at, name))
                continue
            fired.append((name, due_at))
            following = slots.first_from(due_at + slots.interval / 2)
            slots.next_at = following if following > now else slots.first_from(now)
            self.skipped += round((slots.next_at - following) / slots.interval)
            slots.queued_at = slots.next_at
            slots.postponed = False
            heapq.heapreplace(heap, (slots.next_at, name))
        return fired

    def earliest(self) -> float:
        """Return when the check is due that is due next; infinity without any."""
        while self._heap and self._is_stale(*self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf

    def next_at(self, name: str) -> float:
        """Return when a check is due next; KeyError for an unknown name."""
        return self._slots[name].next_at

    def postpone(self, name: str, until: float) -> None:
        """Move a check to its first slot later than `until`; one that is due later anyway stays."""
        slots = self._slots[name]
        if slots.next_at <= until:
            slots.next_at = slots.first_from(until)
            slots.postponed = True

    def hold(self, name: str, until: float) -> None:
        """Run a check no earlier than `until`, and then without waiting for its next slot."""
        slots = self._slots[name]
        slots.next_at = max(slots.next_at, until)

    def resume(self, name: str, now: float) -> None:
        """Move a check that is postponed back to its first slot later than `now`; any other stays."""
        slots = self._slots[name]
        if not slots.postponed:
            return
        slots.postponed = False
        self._advance(name, slots, slots.first_from(now))

    def bring_forward(self, name: str, at: float) -> None:
        """Run a check at `at` besides, where its next slot is later; its slots stay, and so does a postponed check."""
        slots = self._slots[name]
        if at < slots.next_at and not slots.postponed:
            self._advance(name, slots, at)

    def _is_stale(self, due_at: float, name: str) -> bool:
        slots = self._slots.get(name)
        return slots is None or slots.queued_at != due_at

    def _advance(self, name: str, slots: _Slots, at: float) -> None:
        slots.next_at = at
        if at < slots.queued_at:
            slots.queued_at = at
            heapq.heappush(self._heap, (at, name))

    def _first(self, check: Check, now: float) -> _Slots:
        """Return the slots of a check that is new at `now`."""
        shift = hash_fraction(check.name)
        first_at = now + shift * min(check.interval, self._first_within)
        return _Slots(check.interval, anchor=now + shift * check.interval, next_at=first_at, queued_at=first_at)


def hash_fraction(name: str) -> float:
    """Return a number from 0 to below 1 that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "replace")).digest()[:6], "big") / 2**48
