"""When the loopback sends, and when it searches.

Rules of this file:
- Pure: the present is an argument, in Unix seconds. Slots are those of the wall clock, so that a restart knows which of
  them has been used.
- A message is searched for soon after it was sent, then less and less often, and when it becomes late and lost. One
  that is lost is searched for until `SEARCH_UNTIL`, for it may still turn up.
"""

import functools
import math
from bisect import bisect_right

from smtpcheck.loopback.finder import FinderError, FinderStep

FIRST_SEARCH = 2.0
"""Seconds from sending to the first search."""
SLOWEST_SEARCH = 60.0
"""The longest time between two searches for a message that is not lost yet."""
SEARCH_FOR_LOST_EVERY = 3600.0
"""The time between two searches for a message that is lost."""
SEARCH_UNTIL = 93600.0
"""How old a message is when it is not searched for any more; what Exchange Online cannot deliver returns after 24 h."""
SPACING = 2.0
"""The shortest time between two searches of one mailbox."""
PURGE_EVERY = 86400.0
"""How often left-overs are purged, and how old they must be."""

_BACKOFF = {FinderStep.TOKEN: (30.0, 3600.0), FinderStep.LOGIN: (30.0, 3600.0)}
"""The first and the longest wait after a failure; repeated refused logins are penalized."""
_OTHER_BACKOFF = (5.0, 300.0)
LONGEST_WAIT = 3600.0
"""No failure makes a search wait longer, whatever a server asks for."""


def slot(share: float, every: float, now: float) -> int:
    """Return when the present slot began, in whole Unix seconds: its number.

    `share`, from 0 to below 1, shifts the slots of one check; `every` is one second or more.
    """
    return math.floor(math.floor(now / every - share) * every + share * every)


def next_slot(share: float, every: float, now: float) -> float:
    """Return when the next slot begins."""
    return (math.floor(now / every - share) + 1 + share) * every


def next_search(sent_at: float, warn_after: float, lost_after: float, now: float) -> float | None:
    """Return when a message is searched for next, later than `now`; None when it is not searched for any more."""
    ages = search_ages(warn_after, lost_after)
    index = bisect_right(ages, now - sent_at)
    return sent_at + ages[index] if index < len(ages) else None


@functools.lru_cache(maxsize=256)
def search_ages(warn_after: float, lost_after: float) -> tuple[float, ...]:
    """Return the ages in seconds at which a message is searched for that is never found."""
    ages, age = {warn_after, lost_after}, FIRST_SEARCH
    while age < lost_after:
        ages.add(age)
        age += min(age, SLOWEST_SEARCH)
    later = range(1, max(0, math.floor((SEARCH_UNTIL - lost_after) / SEARCH_FOR_LOST_EVERY)) + 1)
    return tuple(sorted(ages | {lost_after + number * SEARCH_FOR_LOST_EVERY for number in later}))


def wait_after_failures(failures: int, error: FinderError) -> float:
    """Return how many seconds to wait after so many failed searches in a row, the last of them with this error."""
    first, longest = _BACKOFF.get(error.step, _OTHER_BACKOFF)
    return max(min(first * 2.0 ** min(failures - 1, 32), longest), min(error.retry_after or 0.0, LONGEST_WAIT))
