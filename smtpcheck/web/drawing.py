"""The geometry of the drawings: the waterfall of a report's phases, the chart of the recent runs, and their strip.

Rules of this file:
- Pure: numbers in the units of the drawing's own coordinates, never style, for the pages allow no inline style.
- An outcome is never shown by colour alone: the chart gives each a shape as well, the strip a height.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from smtpcheck.model.check import Phase
from smtpcheck.model.report import Outcome, Report, Step
from smtpcheck.state.history import HISTORY_LENGTH, Run

WATERFALL_WIDTH = 1000.0
_LEAST_WIDTH = 4.0
"""So that a phase of no length can still be seen."""

SLOT = 12.0
CHART_HEIGHT = 76.0
CHART_WIDTH = SLOT * HISTORY_LENGTH
_LEAST_HEIGHT = 2.0

STRIP_RUNS = 30
STRIP_SLOT = 4
STRIP_WIDTH = STRIP_RUNS * STRIP_SLOT
STRIP_HEIGHT = 14
_STRIP_TOP = {Outcome.OK: 9, Outcome.WARNING: 6, Outcome.UNKNOWN: 3, Outcome.CRITICAL: 0}
"""Where the ticks of an outcome begin, so that the worst is the tallest."""

PHASE_WORDS = {
    Phase.TOKEN: "Token",
    Phase.DNS: "Name resolution",
    Phase.CONNECT: "Connection",
    Phase.BANNER: "Banner",
    Phase.EHLO: "EHLO",
    Phase.STARTTLS: "STARTTLS",
    Phase.TLS: "TLS handshake",
    Phase.EHLO_TLS: "EHLO over TLS",
    Phase.AUTH: "AUTH",
    Phase.MAIL: "MAIL FROM",
    Phase.RCPT: "RCPT TO",
    Phase.DATA: "DATA",
    Phase.QUIT: "QUIT",
    Phase.REQUEST: "Request",
    Phase.DELIVERY: "Delivery",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One phase of the waterfall."""

    step: Step
    words: str
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Column:
    """One run of the chart."""

    run: Run
    x: float
    height: float


@dataclass(frozen=True, slots=True)
class Strip:
    """The last `STRIP_RUNS` runs of a check as ticks, the newest at the right edge."""

    paths: Mapping[Outcome, str]
    """The outline of all ticks of one outcome, as the `d` of a path."""
    counts: Mapping[Outcome, int]
    """How many there are of each, the best first."""


@dataclass(frozen=True, slots=True)
class Chart:
    """The recent runs."""

    columns: tuple[Column, ...]
    longest: float
    """Seconds: the top of the scale."""

    @property
    def counts(self) -> Mapping[Outcome, int]:
        """Return how many runs came out in each way, the best first; only those that occur."""
        count = Counter(column.run.outcome for column in self.columns)
        return {outcome: count[outcome] for outcome in Outcome if count[outcome]}


def waterfall(report: Report) -> tuple[Bar, ...]:
    """Return the phases of a report on one scale of `WATERFALL_WIDTH`."""
    end = max((step.start + step.seconds for step in report.steps), default=0.0)
    scale = WATERFALL_WIDTH / end if end > 0 else 0.0
    return tuple(_bar(step, scale) for step in report.steps)


def chart(runs: Sequence[Run]) -> Chart:
    """Return the runs as columns, oldest first, the newest at the right edge."""
    longest = max((run.seconds for run in runs), default=0.0)
    offset = HISTORY_LENGTH - len(runs)
    return Chart(
        columns=tuple(
            Column(run, round((offset + place) * SLOT, 1), _height(run.seconds, longest))
            for place, run in enumerate(runs)
        ),
        longest=longest,
    )


def strip(runs: Sequence[Run]) -> Strip:
    """Return the ticks of the last runs, oldest first."""
    recent = runs[-STRIP_RUNS:]
    paths: dict[Outcome, str] = {}
    for place, run in enumerate(recent, STRIP_RUNS - len(recent)):
        top = _STRIP_TOP[run.outcome]
        tick = f"M{place * STRIP_SLOT} {top}h3V{STRIP_HEIGHT}h-3z"
        paths[run.outcome] = paths.get(run.outcome, "") + tick
    count = Counter(run.outcome for run in recent)
    return Strip(paths, {outcome: count[outcome] for outcome in Outcome if count[outcome]})


def _bar(step: Step, scale: float) -> Bar:
    width = max(step.seconds * scale, _LEAST_WIDTH)
    x = min(step.start * scale, WATERFALL_WIDTH - width)
    return Bar(step, PHASE_WORDS[step.phase], round(x, 1), round(width, 1))


def _height(seconds: float, longest: float) -> float:
    return round(max(seconds / longest * CHART_HEIGHT, _LEAST_HEIGHT), 1) if longest > 0 else _LEAST_HEIGHT
