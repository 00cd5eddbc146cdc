"""How many runs in a row it takes until a check is part of an alert, and until it is no more.

Rules of this file:
- Pure. A streak is a value; a check has one for each issue that it has or just had, and none while it is healthy.
- A run of a check that seldom runs counts for more: nobody waits three days for what is checked once a day.
- A check that fails in another way joins the other alert after as many runs as it took for the first one: alerts do not
  come and go with a cause that flutters.
"""

from dataclasses import dataclass

from smtpcheck.alerts.grouping import Key

LONGEST_SECONDS = 3600.0
"""How long it may take at most, by a check's interval, until an alert fires."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How many runs in a row count."""

    fail_after: int = 3
    recover_after: int = 2

    def for_interval(self, interval: float) -> "Thresholds":
        """Return those of a check with this interval in seconds: fewer where so many would take more than an hour."""
        most = max(int(LONGEST_SECONDS // interval), 1)
        return Thresholds(min(self.fail_after, most), min(self.recover_after, most))


@dataclass(frozen=True, slots=True)
class Streak:
    """What the last runs of a check say of one issue. The state file has these names."""

    alert: Key | None = None
    """The alert that the check is part of."""
    seen: Key | None = None
    """The alert that the last failing run belongs to."""
    bad: int = 0
    """Failing runs in a row, until they make the check part of `seen`."""
    good: int = 0
    """Good runs in a row, until they take the check out of `alert`."""

    @property
    def keys(self) -> frozenset[Key]:
        """Return the alerts that the check is part of or on its way into."""
        return frozenset(key for key in (self.alert, self.seen) if key is not None)


def after_issue(streak: Streak | None, key: Key, thresholds: Thresholds) -> Streak:
    """Return the streak after a run with the issue."""
    streak = streak or Streak()
    if streak.alert == key:
        return Streak(alert=key, seen=key)
    if streak.bad + 1 >= thresholds.fail_after:
        return Streak(alert=key, seen=key)
    return Streak(alert=streak.alert, seen=key, bad=streak.bad + 1)


def after_success(streak: Streak, thresholds: Thresholds) -> Streak | None:
    """Return the streak after a run without the issue, None when it is over."""
    if streak.alert is None or streak.good + 1 >= thresholds.recover_after:
        return None
    return Streak(alert=streak.alert, seen=streak.alert, good=streak.good + 1)
