"""How long the event loop stood still: a paused or starved agent must not take its own standstill for a server's.

Rules of this file:
- Pure: times are arguments, monotonic seconds. A tick is due every `interval`; by what it comes later, the loop stood
  still.
- The tick may itself come after the run that it would excuse: being late right now counts too.
- A run that the standstill took a fifth of its time says nothing of the server. Shorter ones a server has to bear: with
  four fifths of its time it could have answered.
"""

from collections import deque

NOTICEABLE_SECONDS = 0.1
"""A tick that is later than this has been held up."""
KEPT_SECONDS = 900.0
"""For how long a standstill is remembered: longer than any run lasts."""
EXCUSING_SHARE, EXCUSING_SECONDS = 0.2, 1.0
"""A standstill excuses a run from this share of its time limit on, and this many seconds at least."""


class LoopWatch:
    """The standstills of one event loop."""

    def __init__(self, interval: float, now: float) -> None:
        """Expect a tick every `interval` seconds from `now` on."""
        self.total = 0.0
        """Seconds in which the loop stood still, since the start."""
        self._interval = interval
        self._ticked_at = now
        self._stalls: deque[tuple[float, float]] = deque()

    @property
    def ticked_at(self) -> float:
        """Return when the last tick came."""
        return self._ticked_at

    def tick(self, now: float) -> float:
        """Note a tick, and return by how many seconds it was held up; 0 if that is not noticeable."""
        late = self._late(now)
        self._ticked_at = now
        if late:
            self.total += late
            self._stalls.append((now, late))
        while self._stalls and self._stalls[0][0] < now - KEPT_SECONDS:
            self._stalls.popleft()
        return late

    def stalled_within(self, seconds: float, now: float) -> float:
        """Return for how long of the last `seconds` the loop stood still."""
        found = self._late(now)
        for ended_at, late in reversed(self._stalls):
            if ended_at <= now - seconds:
                break
            found += late
        return min(found, seconds)

    def _late(self, now: float) -> float:
        late = now - self._ticked_at - self._interval
        return late if late > NOTICEABLE_SECONDS else 0.0
