"""One copy of each value that many reports hold: exchanges, attempts, TLS facts.

Rules of this file:
- Pure. Equal values are interchangeable, for they are frozen: to forget one costs some sharing and never correctness.
- What a conversation makes is shared where it is made; `compact` is for reports that come from elsewhere.
"""

import functools
from collections.abc import Hashable
from typing import TypeVar, cast

from msgspec import structs

from smtpcheck.model.report import Report, Step

MOST = 4096
"""How many values are remembered. What only one report ever holds (a banner with a time in it) is among them, and gives
way to what is asked for again."""

_T = TypeVar("_T", bound=Hashable)


def shared(value: _T) -> _T:
    """Return the copy of an equal value that came first."""
    return cast(_T, _first(value))


@functools.lru_cache(maxsize=MOST)
def _first(value: Hashable) -> Hashable:
    return value


def compact(report: Report, before: Report | None = None) -> Report:
    """Return an equal report that shares its parts with other reports; `before` is one that already does."""
    if before is not None and _shares_all(report, before):
        return report
    steps = tuple(
        [
            Step(step.phase, step.start, step.seconds, shared(step.exchanges), step.fault) if step.exchanges else step
            for step in report.steps
        ]
    )
    return structs.replace(report, steps=steps, tls=shared(report.tls), attempts=shared(report.attempts))


def _shares_all(report: Report, before: Report) -> bool:
    if report.tls is not before.tls or report.attempts is not before.attempts:
        return False
    if len(report.steps) != len(before.steps):
        return False
    return all(one.exchanges is other.exchanges for one, other in zip(report.steps, before.steps, strict=True))
