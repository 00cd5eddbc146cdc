"""Outages of a check: from the first run that failed to the first that reached its depth again.

Rules of this file:
- Pure. A run whose outcome is unknown neither begins nor ends an outage.
- A clock that was set back ends no outage before it began.
- An outage is what the agent saw of it: it begins with a run, not with the fault, and goes on while the check waits
  or the agent is stopped.
"""

from dataclasses import dataclass, replace

from smtpcheck.model.report import Outcome
from smtpcheck.state.check_state import CheckState


@dataclass(frozen=True, slots=True)
class Outage:
    """One outage."""

    number: int
    """Which one of its check it is, from 1."""
    began: float
    """When the first run that failed began (Unix seconds)."""
    ended: float | None
    """When the first run that succeeded began; None while it goes on."""
    cause: str
    """Why the first run failed: an id of the list of causes."""


def transition(latest: Outage | None, before: CheckState | None, after: CheckState) -> Outage | None:
    """Return the outage that a run began or ended, None if it did neither.

    `latest` is the last outage of the check, `before` and `after` its state around the run.
    """
    report = after.report
    open_one = latest if latest is not None and latest.ended is None else None
    if open_one is None and before is not None and before.report.outcome is Outcome.CRITICAL:
        # The file of an earlier version kept no outages: one that goes on began when its outcome did.
        open_one = _next(latest, before.since, before)
        if report.outcome is Outcome.CRITICAL:
            return open_one
    if report.outcome is Outcome.CRITICAL:
        return None if open_one else _next(latest, report.started_at, after)
    if open_one is not None and report.outcome in {Outcome.OK, Outcome.WARNING}:
        return replace(open_one, ended=max(report.started_at, open_one.began))
    return None


def _next(latest: Outage | None, began: float, state: CheckState) -> Outage:
    return Outage((latest.number if latest else 0) + 1, began, None, state.report.cause or "unknown")
